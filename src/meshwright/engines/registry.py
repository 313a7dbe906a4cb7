"""Which engines there are, which of them can run here, and what ``auto``, ``both`` and a list of names mean.

An engine is a folder: ``meshwright/engines/NAME/engine.py`` with ``ENGINE`` in it. The three of the product are known
by name also where their folder is absent, so that a listing can say how to get them.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.capture.capture import Capture
from meshwright.engines.protocol import Availability, Engine, EngineOptions, machine_options
from meshwright.errors import EngineUnavailable, InputError

BOTH = ("nvdiffrec", "reconviagen")
SUMMARIES = {
    "fusion": "Depth fusion with free-space carving and a view-blended texture. CPU, seconds.",
    "nvdiffrec": "Fusion's shape and texture, made to explain the views by differentiable rendering. CPU or CUDA.",
    "reconviagen": "Generative, from RGB alone, no depth needed. Weights; CUDA to be fast.",
}
HOW_TO_GET = {
    "fusion": "It is part of every installation: install meshwright again.",
    "nvdiffrec": "It is part of every installation: install meshwright again.",
    "reconviagen": "This version does not contain it; use --engine fusion, or a version that lists it.",
}


@dataclass(frozen=True)
class EngineStatus:
    """One line of a listing: an engine's name, what it does and whether it can run here."""

    name: str
    summary: str
    availability: Availability


@dataclass(frozen=True)
class Choice:
    """Which engines a request resolved to, and why: it goes into the manifest."""

    requested: str
    engines: tuple[str, ...]
    why: str


def engine_names() -> tuple[str, ...]:
    """Every engine name that a request may carry, besides ``auto`` and ``both``."""
    return tuple(SUMMARIES)


def find_engine(name: str) -> Engine:
    """The engine of that name, ready or not.

    Raises:
        InputError: there is no engine of that name.
        EngineUnavailable: it is known, but its code is not in this installation.
    """
    if name not in SUMMARIES:
        known = ", ".join((*SUMMARIES, "both", "auto"))
        raise InputError(
            f"There is no engine named {name!r}.", suggestion=f"Use one of: {known}.", reason="unknown_engine"
        )
    module = f"meshwright.engines.{name}"
    if importlib.util.find_spec(module) is None or importlib.util.find_spec(f"{module}.engine") is None:
        message = f"The engine {name!r} is not in this installation."
        raise EngineUnavailable(message, suggestion=HOW_TO_GET[name], reason="engine_not_installed", engine=name)
    engine: Engine = importlib.import_module(f"{module}.engine").ENGINE
    return engine


def ready_engine(name: str) -> Engine:
    """The engine of that name, which can run on this machine; raises as `find_engine`, or `EngineUnavailable`."""
    engine = find_engine(name)
    state = engine.availability()
    if not state.ok:
        message = f"The engine {name!r} cannot run here: {state.reason}"
        raise EngineUnavailable(message, suggestion=state.how, reason="engine_not_ready", engine=name)
    return engine


def availability(name: str) -> Availability:
    """Whether the engine can run here; a missing one answers with how to get it."""
    try:
        return find_engine(name).availability()
    except EngineUnavailable as error:
        return Availability(False, error.message, error.suggestion)


def engine_statuses() -> tuple[EngineStatus, ...]:
    """All known engines with their state on this machine."""
    return tuple(EngineStatus(name, SUMMARIES[name], availability(name)) for name in SUMMARIES)


def known_machine_options() -> frozenset[str]:
    """The options, of all engines of this installation, that name files of the machine they run on."""
    found: set[str] = set()
    for name in engine_names():
        try:
            found |= machine_options(find_engine(name).options_type)
        except EngineUnavailable:
            continue
    return frozenset(found)


def parse_options(engine: Engine, values: Mapping[str, Any]) -> EngineOptions:
    """``values`` as the engine's own options.

    Raises:
        InputError: a name is unknown or a value is out of its range; the message says which.
    """
    try:
        return engine.options_type.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "options"
        known = ", ".join(engine.options_type.model_fields)
        raise InputError(
            f"Option {name!r} of engine {engine.name!r}: {first['msg'].lower()}.",
            suggestion=f"Its options are: {known} (meshwright engines shows their ranges).",
            reason="bad_option",
            option=name,
        ) from error


def resolve(requested: str, capture: Capture | CalibratedCapture) -> Choice:
    """Turn ``auto``, ``both``, one name or a comma-separated list into engines to run, in order.

    ``auto`` takes reconviagen for RGB alone where its weights are, nvdiffrec with depth where CUDA is, else fusion.
    Names are checked here; whether each can run is asked when it is run, so that one never hides the other.

    Raises:
        InputError: a name is unknown or none is given.
    """
    if requested == "auto":
        return _automatic(capture)
    if requested == "both":
        return Choice(requested, BOTH, "both means nvdiffrec and reconviagen; each result stands alone")
    names = tuple(dict.fromkeys(part.strip() for part in requested.split(",") if part.strip()))
    if not names:
        raise InputError("No engine was named.", suggestion="Use --engine fusion.", reason="unknown_engine")
    for name in names:
        if name not in SUMMARIES:
            find_engine(name)
    return Choice(requested, names, "asked for by name")


def _automatic(capture: Capture | CalibratedCapture) -> Choice:
    has_depth = any(view.depth is not None for view in capture.views)
    wanted = "nvdiffrec" if has_depth else "reconviagen"
    kind = "the capture has depth" if has_depth else "the capture is RGB only"
    state = availability(wanted)
    if state.ok and state.accelerated:
        return Choice("auto", (wanted,), f"{kind}, and {wanted} can run here at full speed")
    reason = state.reason or "its fast path is not on this machine"
    return Choice("auto", ("fusion",), f"{kind}; {wanted} was passed over: {reason}")
