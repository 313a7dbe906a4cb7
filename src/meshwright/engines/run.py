"""Running engines so that each stands alone: a failure is a value, and cannot hide what another engine made."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from meshwright.engines.protocol import Engine, EngineOptions, EngineResult
from meshwright.engines.registry import parse_options, ready_engine
from meshwright.errors import EngineError, EngineUnavailable, MeshwrightError, OutOfMemory

if TYPE_CHECKING:
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.geometry.mesh import TexturedMesh
    from meshwright.progress import Context


@dataclass(frozen=True, eq=False)
class EngineRun:
    """What one engine did in how long: a result, or the error that ended it. ``options`` has the defaults filled in."""

    name: str
    options: dict[str, Any]
    seconds: float
    result: EngineResult | None = None
    error: MeshwrightError | None = None

    @property
    def status(self) -> Literal["completed", "failed"]:
        """The state of this engine, whatever became of the others."""
        return "failed" if self.result is None else "completed"


def checked_options(names: Iterable[str], wanted: Mapping[str, Any] | EngineOptions | None) -> dict[str, EngineOptions]:
    """The options of each engine that is ready, so that a wrong one is refused before any work.

    Raises:
        InputError: an option is unknown or out of its range.
        EngineUnavailable: none of the engines can run here.
    """
    values = wanted.model_dump(exclude_unset=True) if isinstance(wanted, EngineOptions) else dict(wanted or {})
    ready: dict[str, Engine] = {}
    missing: list[EngineRun] = []
    for name in names:
        try:
            ready[name] = ready_engine(name)
        except EngineUnavailable as error:
            missing.append(EngineRun(name, {}, 0.0, error=error))
    if not ready:
        require_one(missing)
    # With several engines, an option that only one of them has is no fault of the others.
    known = {option for engine in ready.values() for option in engine.options_type.model_fields}
    foreign = {name: known - set(engine.options_type.model_fields) for name, engine in ready.items()}
    return {
        name: parse_options(engine, {key: value for key, value in values.items() if key not in foreign[name]})
        for name, engine in ready.items()
    }


def run_engine(name: str, capture: CalibratedCapture, options: EngineOptions | None, context: Context) -> EngineRun:
    """One engine on one capture. Only what its caller must see (cancelling, wrong input) is raised."""
    began = time.monotonic()
    used = {} if options is None else options.model_dump(mode="json")
    try:
        engine = ready_engine(name)
        result = engine.reconstruct(capture, options or engine.options_type(), context)
        _require_sound(name, result.mesh)
    except MemoryError:
        error: MeshwrightError = OutOfMemory(
            f"The engine {name!r} ran out of memory.",
            suggestion="Lower the resolution or the texture size.",
            reason="engine_out_of_memory",
        )
    except EngineError as caught:
        error = caught
    except MeshwrightError:
        raise
    except Exception as fault:  # noqa: BLE001 - whatever an engine stumbles over must not take the others' meshes along
        error = EngineError(
            f"The engine {name!r} ended with {type(fault).__name__}: {fault}",
            suggestion="This is a fault of the engine: run again with --debug and report it.",
            reason="engine_fault",
        )
        error.__cause__ = fault
    else:
        return EngineRun(name, used, time.monotonic() - began, result)
    return EngineRun(name, used, time.monotonic() - began, error=error)


def _require_sound(name: str, mesh: TexturedMesh) -> None:
    """A mesh that nothing can be measured on is this engine's failure; what else it must hold, the package checks."""
    count = len(mesh.vertices)
    if len(mesh.faces) == 0:
        fault = "has no faces"
    elif mesh.faces.min() < 0 or mesh.faces.max() >= count:
        fault = "has a face that names a vertex that does not exist"
    elif not np.isfinite(mesh.vertices).all():
        fault = "has vertices that are not finite numbers"
    else:
        return
    raise EngineError(
        f"The mesh of the engine {name!r} {fault}.",
        suggestion="This is a fault of the engine: try other options or another engine, and report it.",
        reason="bad_output",
    )


def require_one(runs: Iterable[EngineRun]) -> None:
    """Raise when no run gave a mesh: the one error there is, or one that carries all of them."""
    runs = tuple(runs)
    errors = {run.name: run.error for run in runs if run.error is not None}
    if len(errors) < len(runs):
        return
    if len(errors) == 1:
        raise next(iter(errors.values()))
    told = "; ".join(f"{name}: {error.message}" for name, error in errors.items())
    bodies = {name: error.to_json()["error"] for name, error in errors.items()}
    if all(isinstance(error, EngineUnavailable) for error in errors.values()):
        raise EngineUnavailable(
            f"None of the engines can run here: {told}",
            suggestion=_remedies(errors.values()),
            reason="no_engine_available",
            engines=bodies,
        )
    raise EngineError(
        f"No engine gave a mesh: {told}",
        suggestion="Use --engine fusion, which runs everywhere.",
        reason="all_engines_failed",
        engines=bodies,
    )


def _remedies(errors: Iterable[MeshwrightError]) -> str:
    """What the errors suggest, each sentence once."""
    return " ".join(dict.fromkeys(error.suggestion for error in errors if error.suggestion))
