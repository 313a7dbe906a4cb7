"""A second run at a lower resolution, after memory ran out: which options it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshwright.engines.protocol import EngineOptions, describe_options
from meshwright.engines.registry import BOTH, engine_names, find_engine
from meshwright.errors import MeshwrightError

LOWERED = ("resolution", "texture_size", "size")  # what memory grows with, faster than linearly
STEP = 64  # texture sizes come in steps of it


def lowered_options(engine: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Half of each option that memory grows with, for the engines that ``engine`` may mean; empty when there is none.

    A value that an option cannot go below stays out; with several engines the smallest default is the one halved.
    """
    types = [found for name in _names(engine) if (found := _options_type(name)) is not None]
    halves = {name: _half(name, options, types) for name in LOWERED}
    return {name: value for name, value in halves.items() if value is not None}


def _half(name: str, options: Mapping[str, Any], types: Iterable[type[EngineOptions]]) -> int | None:
    known = [option for kind in types for option in describe_options(kind) if option.name == name]
    if not known:
        return None
    given = int(options[name]) if name in options else min(int(option.default) for option in known)
    half = given // 2 // STEP * STEP if name == "texture_size" else given // 2
    least = max(int(option.minimum or 1) for option in known)
    lower = max(half, least)
    return lower if lower < given else None


def _names(engine: str) -> Iterator[str]:
    if engine == "auto":
        yield from engine_names()
    elif engine == "both":
        yield from BOTH
    else:
        yield from (part.strip() for part in engine.split(","))


def _options_type(name: str) -> type[EngineOptions] | None:
    try:
        return find_engine(name).options_type
    except MeshwrightError:
        return None
