"""One job, inside the engine's process: capture in, checked package and its ZIP out."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshwright.errors import EngineError, IncompleteResults, InputError
from meshwright.service.worker.lower import lowered_options
from meshwright.service.worker.outcome import Fault, fault_of
from meshwright.service.worker.protocol import Done, Log, Plan, Request

if TYPE_CHECKING:
    from meshwright.pipeline import Result
    from meshwright.progress import Context
    from meshwright.service.worker.link import Link

AFTER_ENGINES = frozenset({"assess", "package"})
QUALITY = ("status", "summary", "metrics", "thresholds", "worst_view", "coverage", "mesh", "warnings")


def run_job(request: Request, context: Context, link: Link) -> Done:
    """Reconstruct, measure, pack and verify.

    Raises:
        MeshwrightError: as `meshwright.pipeline.reconstruct` and `Result.save`, and IncompleteResults when the package
            does not verify.
    """
    from meshwright.pipeline import reconstruct

    refuse_machine_options(request.options)
    link.send(Plan(lowered_options(request.engine, request.options)))
    seed = int(request.options.get("seed", 0))
    with _own_fault(context):
        result = reconstruct(Path(request.source), request.engine, request.options, seed=seed, context=context)
    for finding in result.capture.findings:
        link.send(Log(f"{finding.code}: {finding.message}"))
    faults = {name: fault_of(run.error) for name, run in result.engines.items() if run.error is not None}
    for name, fault in faults.items():
        link.send(Log(f"{name}: {fault.message}"))
    with _own_fault(context):
        result.save(request.out, zip=True, job_id=request.job_id, context=context)
    check_package(Path(request.out))
    return Done(
        engines={name: _engine(result, name, faults.get(name), request) for name in result.engines},
        verdict=result.verdict,
        choice=f"{', '.join(result.choice.engines)}: {result.choice.why}",
        stage_seconds={name: round(s, 3) for name, s in context.stage_seconds.items()},
        reusable=not faults,
        gpu_fault=any(fault.gpu_fault for fault in faults.values()),
    )


def check_package(folder: Path) -> None:
    """Open everything again before anyone sees it.

    Raises:
        IncompleteResults: reason ``verify_failed``; the message names the first file that is wrong.
    """
    from meshwright.package.verify import verify

    report = verify(folder, check_quality=_check_quality)
    if not report.ok:
        first = report.failures[0]
        raise IncompleteResults(
            f"The result failed {len(report.failures)} of {len(report.checks)} checks: {first.message}",
            suggestion="Run the job again, with another engine if it happens again.",
            reason="verify_failed",
            file=first.file,
        )


@contextmanager
def _own_fault(context: Context) -> Generator[None]:
    """What goes wrong while a mesh is measured or written is no fault of the input: the engine's mesh is broken."""
    try:
        yield
    except (InputError, ValueError, IndexError, ArithmeticError) as error:
        if not AFTER_ENGINES & context.stage_seconds.keys():
            raise
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EngineError(
            f"The engine's mesh cannot be measured: {told}",
            suggestion="Run again with other options or another engine; please report this with the capture.",
            reason="bad_output",
        ) from error


def _check_quality(content: Any) -> None:
    from meshwright.quality.report import QualityReport

    QualityReport.model_validate(content)


def refuse_machine_options(options: Mapping[str, Any]) -> None:
    """Refuse what names files of this machine, of whichever engine: a job comes from elsewhere.

    Raises:
        InputError: reason ``bad_option``.
    """
    from meshwright.engines.registry import known_machine_options

    for name in sorted(known_machine_options() & options.keys()):
        raise InputError(
            f"Option {name!r} cannot be set for a job of the service.",
            suggestion="Leave it out.",
            reason="bad_option",
            option=name,
        )


def _engine(result: Result, name: str, fault: Fault | None, request: Request) -> dict[str, Any]:
    """One engine's entry of the outcome; its quality as in ``quality.json``, without what grows with the views."""
    from meshwright.package.strict_json import load_json

    if fault is not None:
        return {"status": "failed", "error": fault.error, "verdict": None, "quality": None}
    report = load_json((Path(request.out) / name / "quality.json").read_bytes())
    quality = {key: report[key] for key in QUALITY if key in report}
    verdict = result.assessments[name].verdict
    return {"status": "completed", "error": None, "verdict": verdict, "quality": quality}
