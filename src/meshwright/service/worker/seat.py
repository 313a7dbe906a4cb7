"""A place for one engine's process: kept warm for the next job of the same kind, replaced after any trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from meshwright.service.failpoints import failpoint
from meshwright.service.worker.process import CHILD_COMMAND, EngineProcess
from meshwright.service.worker.scratch import Scratch

RUNS = 50  # after which a process is replaced: what leaks, leaks no further
IDLE_S = 300.0  # a process that has waited for so long gives its memory back


class Seat:
    """Holds at most one process. Only the thread that serves the seat uses it."""

    def __init__(
        self, scratch: Scratch, name: str, *, memory_bytes: int = 0, command: Sequence[str] = CHILD_COMMAND
    ) -> None:
        self._scratch, self._name = scratch, name
        self._memory_bytes, self._command = memory_bytes, tuple(command)
        self._process: EngineProcess | None = None
        self._kind = ("", "")
        self._since = 0.0

    @property
    def pid(self) -> int | None:
        """The process's number, while there is one."""
        return None if self._process is None else self._process.pid

    def take(self, engine: str, device: str, on_line: Callable[[str], None]) -> EngineProcess:
        """A process for this engine: the warm one if it fits, else a new one."""
        process = self._process
        if process is None or self._kind != (engine, device) or process.runs >= RUNS or process.has_exited:
            self.drop()
            failpoint("worker.before_child")
            # CUDA reserves address space far beyond the memory that it takes: a limit on it would only break it.
            memory = 0 if device == "cuda" else self._memory_bytes
            scratch = self._scratch.fresh(self._name)
            process = EngineProcess(self._command, scratch, device=device, memory_bytes=memory, on_line=on_line)
            self._process, self._kind = process, (engine, device)
            failpoint("worker.child_started")
        process.on_line = on_line
        return process

    def keep(self) -> None:
        """The job has ended well: the process waits for the next."""
        self._since = time.monotonic()
        if self._process is not None:
            self._process.on_line = None

    def drop(self, grace_s: float = 0.0) -> int | None:
        """End the process and all that it started; returns how it ended."""
        process, self._process = self._process, None
        return None if process is None else process.stop(grace_s)

    def drop_idle(self) -> None:
        """End a process that nobody has needed for long, or that has ended by itself."""
        process = self._process
        if process is not None and (process.has_exited or time.monotonic() - self._since > IDLE_S):
            self.drop()
