"""What a queue can do."""

from __future__ import annotations

from typing import Protocol

from meshwright.service.jobs.job import Job


class Queue(Protocol):
    """A doorbell. Losing what it carries delays a job and never loses one: the reaper rings again."""

    def announce(self, job: Job) -> None:
        """Say that a job waits; called after it is in the table. It does not raise when nobody can be told."""
        ...

    def wait(self, timeout_s: float) -> str | None:
        """Wait for at most so long for something to do; the id of a job, where the queue carries ids."""
        ...
