"""What a reconstruction says at its end: where things are, and how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from meshwright.cli.output import VERDICT_STYLE, merge_views, stdout

if TYPE_CHECKING:
    from meshwright.engines.run import EngineRun
    from meshwright.pipeline import Result
    from meshwright.progress import Context
    from meshwright.quality.assess import Assessment


def summarise(result: Result, out: Path, archive: bool, context: Context) -> dict[str, Any]:
    """The end of a job as JSON: the verdict, and per engine the paths, the metrics or the error."""
    return {
        "verdict": result.verdict,
        "engine": list(result.choice.engines),
        "why": result.choice.why,
        "out": str(out),
        "zip": str(zip_path(out)) if archive else None,
        "engines": {name: _engine_json(result, run, out) for name, run in result.engines.items()},
        "stage_seconds": {name: round(seconds, 3) for name, seconds in context.stage_seconds.items()},
    }


def show_result(result: Result, out: Path, archive: bool) -> None:
    """The end of a job for a person. Paths are printed whole, however long, so that they can be copied."""
    if result.choice.requested == "auto":
        _line("engine", f"{', '.join(result.choice.engines)} ({result.choice.why})")
    for name, run in result.engines.items():
        if run.error is not None:
            _line(name, f"failed: {run.error.message} {run.error.suggestion}", "red")
        else:
            _show_engine(out / name, result.assessments[name])
    _line("cameras", str(out / "cameras.json"))
    _line("manifest", str(out / "manifest.json"))
    if archive:
        _line("archive", str(zip_path(out)))


def zip_path(out: Path) -> Path:
    """Where the ZIP of the result folder ``out`` goes."""
    return out.with_name(out.name + ".zip")


def _show_engine(folder: Path, assessment: Assessment) -> None:
    _line("mesh", str(folder / "mesh.glb"))
    _line("previews", str(folder / "previews"))
    for film in sorted(folder.glob("turntable.*")):
        _line("turntable", str(film))
    _line("quality", str(folder / "quality.json"))
    _line("verdict", assessment.summary, VERDICT_STYLE[assessment.verdict])
    for _, text in merge_views(assessment.warnings):
        _line("note", text, "yellow")


def _line(label: str, text: str, style: str = "") -> None:
    stdout.print(Text.assemble((f"{label:<10}", "dim"), (text, style)), soft_wrap=True)


def _engine_json(result: Result, run: EngineRun, out: Path) -> dict[str, Any]:
    if run.error is not None:
        return {"status": run.status, "seconds": round(run.seconds, 3), **run.error.to_json()}
    assessment, folder = result.assessments[run.name], out / run.name
    return {
        "status": run.status,
        "seconds": round(run.seconds, 3),
        "verdict": assessment.verdict,
        "summary": assessment.summary,
        "metrics": {name: score.value for name, score in assessment.metrics.items()},
        "worst_view": assessment.worst_view,
        "glb": str(folder / "mesh.glb"),
        "previews": str(folder / "previews"),
        "turntable": next((str(film) for film in sorted(folder.glob("turntable.*"))), None),
        "quality": str(folder / "quality.json"),
    }
