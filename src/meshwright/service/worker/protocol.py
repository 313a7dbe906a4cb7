"""What a worker and its engine's process say to each other: one JSON object a line.

Down, to the process's standard input: requests. Up, through a pipe of its own (the engine may print what it likes):
``ready``, then for each request ``plan``, ``progress``, ``log`` and at last ``done`` or ``error``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast


@dataclass(frozen=True)
class Request:
    """One run of an engine: read ``source``, leave a package in ``out`` and its ZIP beside it."""

    job_id: str
    engine: str
    options: dict[str, Any]
    source: str
    out: str

    @property
    def archive(self) -> Path:
        """Where the package's ZIP is left."""
        return Path(self.out + ".zip")


@dataclass(frozen=True)
class Ready:
    """The process has started and waits for a request."""

    kind: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Plan:
    """The options of a second run, should memory run out in this one; empty when nothing can be lowered."""

    lowered: dict[str, Any]
    kind: Literal["plan"] = "plan"


@dataclass(frozen=True)
class Advance:
    """Progress: ``fraction`` is of the whole job."""

    stage: str
    fraction: float
    message: str = ""
    peak_memory_bytes: int | None = None
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True)
class Log:
    """A line for the job's log."""

    line: str
    kind: Literal["log"] = "log"


@dataclass(frozen=True)
class Done:
    """The package is in its place and was checked. ``reusable``: no engine failed, the process can be used again."""

    engines: dict[str, Any]
    verdict: str
    choice: str
    stage_seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    reusable: bool = True
    gpu_fault: bool = False
    kind: Literal["done"] = "done"


@dataclass(frozen=True)
class Failed:
    """There is no package: ``error`` is the inside of an error envelope."""

    error: dict[str, Any]
    out_of_memory: bool = False
    gpu_fault: bool = False
    stage_seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    kind: Literal["error"] = "error"


Message: TypeAlias = Ready | Plan | Advance | Log | Done | Failed
KINDS: dict[str, type[Message]] = {
    "ready": Ready,
    "plan": Plan,
    "progress": Advance,
    "log": Log,
    "done": Done,
    "error": Failed,
}


def to_line(value: Message | Request) -> bytes:
    """One line of JSON."""
    return json.dumps(asdict(value), allow_nan=False, separators=(",", ":")).encode() + b"\n"


def to_request(line: bytes) -> Request:
    """A request from its line."""
    return Request(**json.loads(line))


def to_message(line: bytes) -> Message | None:
    """A message from its line; None when it is none, as from a process that died while it wrote."""
    try:
        fields = json.loads(line)
        return KINDS[cast(Mapping[str, str], fields)["kind"]](**fields)
    except (ValueError, KeyError, TypeError):
        return None
