"""The worker that ``meshwright serve`` starts beside the API, in a process of its own; started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from meshwright.service.logs import logger

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONG_LIFE_S = 60.0  # after which a death counts as the first one again
DRAIN_S = 60.0


class Companion:
    """One worker process, kept alive by a thread."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="companion", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The worker that runs now."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def stop(self, drain_s: float = DRAIN_S) -> None:
        """Let it finish or give back its job, then be gone; killed when that takes longer than ``drain_s``."""
        self._stopping.set()
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(drain_s)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(10.0)

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)
            if self._stopping.is_set():  # stop() may have looked before there was a process
                self._process.terminate()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            pause = FIRST_PAUSE_S if time.monotonic() - began > LONG_LIFE_S else pause
            logger().error("the worker died; it is started again", code=code, pause_s=pause)
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


def worker_command(devices: Sequence[str]) -> list[str]:
    """How a worker is started, with the interpreter that runs now."""
    options = [word for device in devices for word in ("--device", device)]
    return [sys.executable, "-m", "meshwright", "worker", *options]
