"""The whole job, top to bottom: load -> calibrate -> engines -> assess -> package.

With given cameras the result stays in their world and unit; otherwise calibration delivers +Y up, front +Z and a
bounding box of diagonal 1. Nothing here moves a mesh.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from meshwright.engines.protocol import EngineOptions, EngineResult
from meshwright.engines.registry import Choice, parse_options, ready_engine, resolve
from meshwright.errors import Cancelled, EngineError, InputError, MeshwrightError, OutOfMemory
from meshwright.progress import Context

if TYPE_CHECKING:
    from meshwright.cameras.calibrate import CalibrationOptions
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.capture.capture import Capture
    from meshwright.quality.assess import Assessment

Verdict = Literal["normal", "warning", "failure"]
MIN_VIEWS_FOR_HOLDOUT = 8


@dataclass(frozen=True, eq=False)
class EngineRun:
    """What one engine did: a result with its assessment, or the error that ended it."""

    name: str
    options: dict[str, Any]
    seconds: float
    result: EngineResult | None = None
    assessment: Assessment | None = None
    error: MeshwrightError | None = None

    @property
    def status(self) -> Literal["completed", "failed"]:
        """The state of this engine, whatever became of the others."""
        return "failed" if self.error is not None else "completed"

    @property
    def verdict(self) -> Verdict | None:
        """The quality verdict; None where the engine failed."""
        return None if self.assessment is None else self.assessment.verdict


@dataclass(frozen=True, eq=False)
class Result:
    """The meshes of one job, each measured, with all that the manifest says about how they came about."""

    source: Capture
    capture: CalibratedCapture
    choice: Choice
    engines: dict[str, EngineRun]
    settings: dict[str, Any]
    stage_seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None

    @property
    def completed(self) -> tuple[EngineRun, ...]:
        """The runs that gave a mesh."""
        return tuple(run for run in self.engines.values() if run.result is not None)

    @property
    def verdict(self) -> Verdict:
        """The best verdict among the engines that completed."""
        order: tuple[Verdict, ...] = ("normal", "warning", "failure")
        return min((run.verdict or "failure" for run in self.completed), key=order.index)

    def save(
        self,
        out: str | Path,
        *,
        formats: Sequence[str] = ("glb", "obj", "ply"),
        zip: bool = False,  # noqa: A002 - the word that a user looks for
        overwrite: bool = False,
        context: Context | None = None,
    ) -> Path:
        """Write the package to the folder ``out`` (and ``out.zip``); all of it or, on any error, nothing.

        Raises:
            InputError: ``out`` holds something already and ``overwrite`` is False, or a format is unknown.
            DiskFull: there is no room.
        """
        raise NotImplementedError


def reconstruct(
    source: Capture | str | Path,
    engine: str = "fusion",
    options: Mapping[str, Any] | EngineOptions | None = None,
    *,
    faces: int | None = None,
    texture_size: int | None = None,
    calibration: CalibrationOptions | None = None,
    holdout: int | Sequence[str] = 0,
    seed: int = 0,
    context: Context | None = None,
) -> Result:
    """Reconstruct an object from a capture (or the path of one) and measure the result.

    ``engine`` is a name, several with commas, ``both`` or ``auto``. ``options`` are the engine's own (`meshwright
    engines` lists them); ``faces``, ``texture_size`` and ``seed`` are those that all engines share. ``holdout`` views
    (a count or names, out of at least 8 views) are kept from the engines and measured apart.

    Raises:
        InputError: the capture, an engine's name or an option cannot be used.
        EngineUnavailable: the only engine asked for cannot run here.
        EngineError: no engine gave a mesh; with several, ``details["engines"]`` says why for each.
        Cancelled: ``context`` asked to stop.
    """
    from meshwright.cameras.calibrate import CalibrationOptions, calibrate
    from meshwright.capture.load import load_capture

    context, calibration = context or Context(), calibration or CalibrationOptions()
    shared = {"faces": faces, "texture_size": texture_size, "seed": seed}
    wanted = _merged(options, {name: value for name, value in shared.items() if value is not None})
    with context.stage("load", 0.0, 0.04):
        capture = source if not isinstance(source, (str, Path)) else load_capture(Path(source))
    choice = resolve(engine, capture)
    held = choose_holdout(capture.names, holdout)
    with context.stage("calibrate", 0.04, 0.3):
        calibrated = calibrate(capture, calibration, context)
    runs: dict[str, EngineRun] = {}
    width = 0.6 / len(choice.engines)
    for i, name in enumerate(choice.engines):
        with context.stage(name, 0.3 + i * width, 0.3 + (i + 1) * width):
            runs[name] = _run(name, calibrated, wanted, held, context)
    _refuse_if_none_completed(runs)
    settings = {"engine": engine, "why": choice.why, "holdout": list(held), "seed": seed, "calibration": calibration}
    seconds = dict(context.stage_seconds)
    return Result(capture, calibrated, choice, runs, settings, seconds, peak_memory_bytes())


def choose_holdout(names: Sequence[str], holdout: int | Sequence[str]) -> tuple[str, ...]:
    """The views to keep back: those named, or ``holdout`` of them spread evenly over the order of views.

    Raises:
        InputError: a view is not there, there are fewer than 8 views, or fewer than half would be left.
    """
    if isinstance(holdout, int):
        count = max(holdout, 0)
        held = tuple(names[int((i + 0.5) * len(names) / count)] for i in range(min(count, len(names))))
    else:
        held = tuple(holdout)
    unknown = [name for name in held if name not in names]
    if unknown:
        known = ", ".join(names)
        raise InputError(
            f"There is no view {unknown[0]!r} to hold out.", suggestion=f"Views: {known}.", reason="unknown_view"
        )
    if held and (len(names) < MIN_VIEWS_FOR_HOLDOUT or 2 * len(held) > len(names)):
        raise InputError(
            f"{len(held)} of {len(names)} views cannot be held out.",
            suggestion=f"Hold out at most half of at least {MIN_VIEWS_FOR_HOLDOUT} views.",
            reason="too_few_views_for_holdout",
        )
    return held


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held so far; None where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _merged(options: Mapping[str, Any] | EngineOptions | None, shared: dict[str, Any]) -> dict[str, Any]:
    own = options.model_dump(exclude_unset=True) if isinstance(options, EngineOptions) else dict(options or {})
    return {**shared, **own}


def _run(
    name: str, calibrated: CalibratedCapture, wanted: Mapping[str, Any], held: tuple[str, ...], context: Context
) -> EngineRun:
    """One engine, and the measure of what it made. Its failure is a value, so that it cannot hide another's result."""
    from meshwright.quality.assess import assess

    began = time.monotonic()
    options: dict[str, Any] = dict(wanted)
    seen = replace(calibrated, views=tuple(view for view in calibrated.views if view.name not in held))
    try:
        engine = ready_engine(name)
        parsed = parse_options(engine, wanted)
        options = parsed.model_dump()
        result = engine.reconstruct(seen, parsed, context)
        assessment = assess(calibrated, result.mesh, holdout=held, context=context)
    except (Cancelled, InputError):
        raise
    except MemoryError as fault:
        error: MeshwrightError = OutOfMemory(
            f"The engine {name!r} ran out of memory.", suggestion="Lower the resolution or the texture size."
        )
        error.__cause__ = fault
    except MeshwrightError as fault:
        error = fault
    else:
        return EngineRun(name, options, time.monotonic() - began, result, assessment)
    return EngineRun(name, options, time.monotonic() - began, error=error)


def _refuse_if_none_completed(runs: dict[str, EngineRun]) -> None:
    errors = {name: run.error for name, run in runs.items() if run.error is not None}
    if len(errors) < len(runs):
        return
    if len(errors) == 1:
        raise next(iter(errors.values()))
    raise EngineError(
        "No engine gave a mesh: " + "; ".join(f"{name}: {error.message}" for name, error in errors.items()),
        suggestion="Use --engine fusion, which runs everywhere.",
        reason="all_engines_failed",
        engines={name: error.to_json()["error"] for name, error in errors.items()},
    )
