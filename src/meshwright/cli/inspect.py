"""``meshwright inspect``: what is in a capture, what is doubtful about it, and which cameras fit it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from meshwright.cli.output import emit_json, merge_views, progress_context, stdout

if TYPE_CHECKING:
    from meshwright.capture.capture import Capture
    from meshwright.capture.report import InputReport, ViewInfo
    from meshwright.progress import Context

_STYLES = {"good": "bold green", "info": "cyan", "warning": "bold yellow", "error": "bold red"}


def inspect(
    capture: Annotated[Path, typer.Argument(help="Folder or ZIP of the capture.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the report as one HTML page.")] = None,
    no_rig: Annotated[bool, typer.Option("--no-rig", help="Do not solve the cameras: quicker.")] = False,
) -> None:
    """Report what is in a capture: sizes, sharpness, exposure, masks, depth, doubtful views and the rig that fits.

    Example: `meshwright inspect my_object/ --html report.html`
    """
    from meshwright.capture.load import load_capture
    from meshwright.capture.report_html import report_html

    with progress_context(as_json=False, quiet=as_json) as context:
        loaded = load_capture(capture)
        report = _report(loaded, None if no_rig else context)
    if html is not None:
        html.write_text(report_html(report, loaded), encoding="utf-8")
    if as_json:
        emit_json(report.model_dump(mode="json"))
    else:
        show_report(report)


def _report(capture: Capture, context: Context | None) -> InputReport:
    """The report; a rig that cannot be solved is a finding, not a failure of ``inspect``."""
    from dataclasses import replace

    from meshwright.capture.capture import Finding
    from meshwright.capture.report import inspect_capture
    from meshwright.errors import Cancelled, MeshwrightError

    if context is None:
        return inspect_capture(capture)
    from meshwright.cameras.calibrate import calibrate

    try:
        return inspect_capture(capture, calibrate(capture, context=context))
    except Cancelled:
        raise
    except MeshwrightError as error:
        finding = Finding("rig_not_solved", error.message, error.suggestion, severity="error")
        return inspect_capture(replace(capture, findings=(*capture.findings, finding)))


def show_report(report: InputReport) -> None:
    """The report as tables on stdout."""
    cameras = report.camera_format or "none given"
    stdout.print(f"{report.source or 'capture'}: {report.view_count} views, cameras: {cameras}", highlight=False)
    stdout.print(_view_table(report.views))
    if report.rig is not None:
        stdout.print(_rig_table(report))
    for finding, text in merge_views(report.findings):
        stdout.print(Text(f"{finding.severity:8}", style=_STYLES[finding.severity]).append(text, style="default"))
    stdout.print(Text("The capture is ").append(report.verdict, style=_STYLES[report.verdict]))


def _view_table(views: list[ViewInfo]) -> Table:
    table = Table(title="Views", title_justify="left", box=SIMPLE, pad_edge=False)  # fits into 80 columns
    for name in ("view", "image", "sharp", "bright", "object", "depth", "values", "IoU/aligned"):
        table.add_column(name, justify="left" if name == "view" else "right", no_wrap=True)
    for view in views:
        depth, overlap = view.depth, view.silhouette
        table.add_row(
            view.name,
            f"{view.width}x{view.height}",
            f"{view.sharpness:.2f}",
            f"{view.exposure.mean:.0f}",
            f"{view.mask.coverage:.1%}",
            f"{depth.width}x{depth.height}/{depth.bits}" if depth else "-",
            f"{depth.minimum:.4g}..{depth.maximum:.4g}" if depth else "-",
            f"{overlap.iou:.3f}/{overlap.aligned_iou:.3f}" if overlap else "-",
        )
    return table


def _rig_table(report: InputReport) -> Table:
    from meshwright.capture.report import told_hypothesis

    rig, table = report.rig, Table(title="Rig", title_justify="left", show_header=False, box=SIMPLE, pad_edge=False)
    assert rig is not None
    table.add_row("cameras", rig.source)
    for key, told in told_hypothesis(rig.hypothesis).items():
        table.add_row(key, told)
    if rig.fov_deg is not None:
        table.add_row("field of view", f"{rig.fov_deg:.2f} degrees")
    if rig.residual_pct is not None:
        table.add_row("residual", f"{rig.residual_pct:.3f} % of the diagonal")
    if rig.margin is not None:
        table.add_row("margin", f"{rig.margin:.2f}" + (" (a tie)" if rig.tie else ""))
    for view in report.views:
        if view.depth is not None and view.depth.solved_scale is not None:
            table.add_row(f"depth scale, {view.name}", f"{view.depth.solved_scale:.6g}")
    return table
