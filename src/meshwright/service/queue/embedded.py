"""The queue that needs nothing: workers look into the table, and one in the same process is woken at once."""

from __future__ import annotations

import threading

from meshwright.service.failpoints import failpoint
from meshwright.service.jobs.job import Job


class EmbeddedQueue:
    """Implements :class:`.protocol.Queue` by polling every ``poll_s`` seconds."""

    def __init__(self, poll_s: float) -> None:
        self._poll_s = poll_s
        self._rung = threading.Event()

    def announce(self, job: Job) -> None:
        """Wake a worker of this process; those of others see the job when they look next."""
        del job
        failpoint("announce.before")
        self._rung.set()
        failpoint("announce.after")

    def wait(self, timeout_s: float) -> None:
        """Return when a job was announced here, and after ``poll_s`` at the latest."""
        if self._rung.wait(min(timeout_s, self._poll_s)):
            self._rung.clear()
