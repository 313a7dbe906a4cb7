"""What a reconstruction says at its end: where things are, and how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from meshwright.cli.output import stdout, verdict_text

if TYPE_CHECKING:
    from meshwright.engines.run import EngineRun
    from meshwright.pipeline import Result
    from meshwright.quality.assess import Assessment


def summarise(result: Result, out: Path, archive: bool) -> dict[str, Any]:
    """The end of a job as JSON: the verdict, and per engine the paths, the metrics or the error."""
    return {
        "verdict": result.verdict,
        "engine": list(result.choice.engines),
        "why": result.choice.why,
        "out": str(out),
        "zip": str(zip_path(out)) if archive else None,
        "engines": {name: _engine_json(result, run, out) for name, run in result.engines.items()},
        "stage_seconds": {name: round(seconds, 3) for name, seconds in result.stage_seconds.items()},
    }


def show_result(result: Result, out: Path, archive: bool) -> None:
    """The end of a job for a person."""
    if result.choice.requested == "auto":
        stdout.print(f"Engine: {', '.join(result.choice.engines)} ({result.choice.why})")
    for name, run in result.engines.items():
        if run.error is not None:
            stdout.print(Text(f"{name} failed: {run.error.message} {run.error.suggestion}", style="red"))
        else:
            stdout.print(_paths(name, result.assessments[name], out))
    stdout.print(Text(f"cameras   {out / 'cameras.json'}\nmanifest  {out / 'manifest.json'}"))
    if archive:
        stdout.print(Text(f"archive   {zip_path(out)}"))


def zip_path(out: Path) -> Path:
    """Where the ZIP of the result folder ``out`` goes."""
    return out.with_name(out.name + ".zip")


def _paths(name: str, assessment: Assessment, out: Path) -> Table:
    table = Table.grid(padding=(0, 2))
    folder = out / name
    table.add_row("mesh", Text(str(folder / "mesh.glb")))
    table.add_row("previews", Text(str(folder / "previews")))
    table.add_row("quality", Text(str(folder / "quality.json")))
    table.add_row("verdict", verdict_text(assessment.verdict))
    table.add_row("", Text(assessment.summary))
    for remark in assessment.warnings:
        table.add_row("note", Text(" ".join(part for part in (remark.message, remark.remedy) if part), style="yellow"))
    return table


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
        "quality": str(folder / "quality.json"),
    }
