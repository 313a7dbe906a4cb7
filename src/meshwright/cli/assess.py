"""``meshwright assess``: score any mesh, from any tool, against a capture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from meshwright.cli.output import emit_json, merge_views, progress_context, stdout, verdict_text

if TYPE_CHECKING:
    from meshwright.progress import Context
    from meshwright.quality.assess import Assessment
    from meshwright.quality.metrics import Metrics
    from meshwright.quality.report import QualityReport

COLUMNS = {"psnr": "PSNR dB", "ssim": "SSIM", "mask_iou": "IoU", "depth_mae": "depth %", "psnr_full": "full-frame dB"}


def assess(
    capture: Annotated[Path, typer.Argument(help="A capture: a folder or a ZIP of views.")],
    mesh: Annotated[Path, typer.Argument(help="A GLB, glTF, OBJ, PLY or STL, in the capture's frame.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for quality.json and errors/VIEW.png.")
    ] = None,
    holdout: Annotated[str, typer.Option(help="Views to score apart, names with commas.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line, then quality.json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something goes wrong.")] = False,
) -> None:
    """Score any mesh against a capture: per view, on the object's own pixels, with a verdict.

    The mesh must stand in the capture's frame: that of its cameras.json, else +Y up, front +Z, box diagonal 1.

    Examples:

    * `meshwright assess shoe/ other_tool.glb`
    * `meshwright assess shoe/ out/fusion/mesh.glb --out scores --json | tail -1`
    """
    held = tuple(name.strip() for name in holdout.split(",") if name.strip())
    with progress_context(as_json=as_json, quiet=quiet) as context:
        assessment = _measure(capture, mesh, held, context)
    report = assessment.report(model=mesh.name, input_file=capture.name)
    if out is not None:
        _write(assessment, report, out)
    if as_json:
        emit_json({"event": "result", **report.model_dump(mode="json")})
    elif not quiet:
        _show(assessment, out)


def _measure(capture: Path, mesh: Path, holdout: tuple[str, ...], context: Context) -> Assessment:
    from meshwright.cameras.calibrate import calibrate
    from meshwright.capture.load import load_capture
    from meshwright.package.readback import load_mesh
    from meshwright.quality.assess import assess as measure

    with context.stage("load", 0.0, 0.1):
        loaded = load_mesh(mesh)
        given = load_capture(capture)
    with context.stage("calibrate", 0.1, 0.8):
        calibrated = calibrate(given, context=context)
    with context.stage("assess", 0.8, 1.0):
        return measure(calibrated, loaded, holdout=holdout, context=context)


def _write(assessment: Assessment, report: QualityReport, out: Path) -> None:
    from PIL import Image

    from meshwright.package.writer import safe_name

    (out / "errors").mkdir(parents=True, exist_ok=True)
    for name, image in assessment.heat_maps.items():
        Image.fromarray(image).save(out / "errors" / f"{safe_name(name)}.png")
    (out / "quality.json").write_text(report.to_json(), encoding="utf-8")


def _show(assessment: Assessment, out: Path | None) -> None:
    table = Table("view", "verdict", *COLUMNS.values())
    for view, remark in (*((v, "") for v in assessment.views), *((v, " (held out)") for v in assessment.held_out)):
        table.add_row(view.name + remark, verdict_text(_status(view.metrics)), *_cells(view.metrics))
    table.add_section()
    table.add_row("mean", verdict_text(assessment.verdict), *_cells(assessment.metrics))
    stdout.print(table)
    stdout.print(Text(assessment.summary))
    for _, text in merge_views(assessment.warnings):
        stdout.print(Text(text, style="yellow"))
    if out is not None:
        stdout.print(Text(f"written   {out / 'quality.json'}, {out / 'errors'}"))


def _status(metrics: Metrics) -> str:
    from meshwright.quality.verdict import judge

    return judge(metrics).status


def _cells(metrics: Metrics) -> list[str]:
    scores = {name: getattr(metrics, name) for name in COLUMNS}
    digits = {"psnr": 2, "psnr_full": 2, "ssim": 3, "mask_iou": 3, "depth_mae": 3}
    factor = {"depth_mae": 100}
    return [
        {"unbounded": "perfect"}.get(score.kind, "-")
        if score.value is None
        else f"{score.value * factor.get(name, 1):.{digits[name]}f}"
        for name, score in scores.items()
    ]
