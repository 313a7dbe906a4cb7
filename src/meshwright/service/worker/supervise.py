"""One run of an engine's process, watched: its messages, the clock, and what the table and the operator want."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

from meshwright.service.jobs.job import Progress
from meshwright.service.settings import Settings
from meshwright.service.worker.eta import Eta
from meshwright.service.worker.heart import Heart
from meshwright.service.worker.process import EngineProcess
from meshwright.service.worker.protocol import Advance, Done, Failed, Log, Plan, Ready, Request

LISTEN_S = 0.1


@dataclass(frozen=True)
class Stopped:
    """Somebody wants the run to end: the client, the one who has the job now, or the operator."""

    why: Literal["cancel", "lost", "drain"]


@dataclass(frozen=True)
class Overran:
    """A time limit was passed."""

    limit: Literal["wall", "stall"]
    seconds: float


@dataclass(frozen=True)
class Died:
    """The process ended without a word."""


Ending: TypeAlias = Done | Failed | Stopped | Overran | Died


class Drain:
    """The operator's wish to stop: no new job, and some grace for the one that runs."""

    def __init__(self, stop: threading.Event, grace_s: float) -> None:
        self._stop, self._grace_s = stop, grace_s
        self._since: float | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the worker is to stop."""
        return self._stop.is_set()

    @property
    def is_over(self) -> bool:
        """Whether the grace has passed."""
        if self._since is None and self._stop.is_set():
            self._since = time.monotonic()
        return self._since is not None and time.monotonic() - self._since >= self._grace_s


class Watch:
    """Watches one run. ``stage`` and ``plan`` are what the process told last; who calls ends the process."""

    def __init__(self, process: EngineProcess, heart: Heart, settings: Settings, drain: Drain, began: float) -> None:
        self.stage = ""
        self.plan: Plan | None = None
        self.peak_memory_bytes: int | None = None
        self._process, self._heart, self._settings, self._drain = process, heart, settings, drain
        self._began = began
        self._moved = time.monotonic()

    def run(self, request: Request, eta: Eta) -> Ending:
        """Send the request and watch until it ends, one way or another; the time limits run from ``began``."""
        self._process.send(request)
        while True:
            had_exited = self._process.has_exited
            message = self._process.receive(LISTEN_S)
            if isinstance(message, Done):
                eta.done(time.monotonic() - self._began)
                return message
            if isinstance(message, Failed):
                return message
            self._hear(message, eta)
            if (ending := self._wish() or self._overran()) is not None:
                return ending
            if message is None and had_exited:
                return Died()

    def _hear(self, message: Ready | Plan | Advance | Log | None, eta: Eta) -> None:
        if isinstance(message, Advance):
            now = time.monotonic()
            self.stage, self._moved = message.stage, now
            self.peak_memory_bytes = message.peak_memory_bytes or self.peak_memory_bytes
            left = eta.estimate(message.fraction, now - self._began)
            self._heart.note(
                Progress(message.stage, message.fraction, message.message, left, message.peak_memory_bytes)
            )
        elif isinstance(message, Plan):
            self.plan = message
        elif isinstance(message, Log):
            self._heart.log(message.line)

    def _wish(self) -> Stopped | None:
        if self._heart.verdict != "go":
            return Stopped(self._heart.verdict)
        return Stopped("drain") if self._drain.is_over else None

    def _overran(self) -> Overran | None:
        now, settings = time.monotonic(), self._settings
        if now - self._began > settings.wall_time_s:
            return Overran("wall", settings.wall_time_s)
        if now - self._moved > settings.stall_s:
            return Overran("stall", settings.stall_s)
        return None
