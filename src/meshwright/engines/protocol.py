"""What every engine is: a name, typed options, whether it can run here, and one function from capture to mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.geometry.mesh import TexturedMesh
    from meshwright.progress import Context


# `json_schema_extra` of an option that names files of the machine it runs on: not for whoever sends a job to a service.
OF_THE_MACHINE: dict[str, Any] = {"of_the_machine": True}


class EngineOptions(BaseModel):
    """The options that every engine understands. An engine adds its own in a subclass; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faces: int = Field(default=30_000, ge=100, le=2_000_000, description="Triangles of the result, at most.")
    texture_size: int = Field(
        default=2048, ge=256, le=8192, multiple_of=64, description="Width and height of the texture, in texels."
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Seed of everything random; the same seed, the same bytes."
    )


@dataclass(frozen=True)
class Availability:
    """Whether an engine can run on this machine.

    ``reason`` is one sentence on why not (or on what it would run), ``how`` one on how to get it. ``accelerated`` is
    True when its fast path is there (CUDA, weights): ``auto`` prefers such an engine to fusion and no other.
    """

    ok: bool
    reason: str = ""
    how: str = ""
    accelerated: bool = False


@dataclass(frozen=True, eq=False)
class EngineResult:
    """A textured mesh in the capture's world, with what the engine assumed and what the user should know."""

    mesh: TexturedMesh
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


class Engine(Protocol):
    """A reconstruction engine. ``meshwright.engines.NAME.engine`` holds one as ``ENGINE``; importing it is cheap."""

    name: str
    summary: str
    options_type: type[EngineOptions]

    def availability(self) -> Availability:
        """Whether this machine can run the engine now. Cheap enough to ask on every listing, and never raises."""
        ...

    def reconstruct(self, capture: CalibratedCapture, options: EngineOptions, context: Context) -> EngineResult:
        """Make the mesh.

        Raises:
            EngineError: a valid capture could not be turned into a mesh.
            Cancelled: ``context`` asked to stop.
        """
        ...


@dataclass(frozen=True)
class OptionInfo:
    """One option as a listing shows it (``meshwright engines``, ``GET /engines``)."""

    name: str
    type: str
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def describe_options(options_type: type[EngineOptions]) -> tuple[OptionInfo, ...]:
    """The options of an engine in declaration order, with their ranges."""
    return tuple(_describe(name, field) for name, field in options_type.model_fields.items())


def machine_options(options_type: type[EngineOptions]) -> frozenset[str]:
    """The names of the options that are marked as `OF_THE_MACHINE`."""
    fields = options_type.model_fields.items()
    return frozenset(name for name, field in fields if field.json_schema_extra == OF_THE_MACHINE)


def _bound(field: FieldInfo, *names: str) -> float | None:
    return next((getattr(rule, name) for rule in field.metadata for name in names if hasattr(rule, name)), None)


def _describe(name: str, field: FieldInfo) -> OptionInfo:
    low = _bound(field, "ge", "gt")
    high = _bound(field, "le", "lt")
    kind = field.annotation
    choices = tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
    shown = "choice" if choices else getattr(kind, "__name__", str(kind))
    return OptionInfo(name, shown, field.default, field.description or "", low, high, choices)
