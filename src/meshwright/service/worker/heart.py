"""The signs of life of an attempt, from a thread of its own: whatever the engine does, the lease goes on.

On the same beats go progress and log lines up to the table, and from there comes whether the job was cancelled or lost.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from meshwright.errors import JobNotFound, MeshwrightError
from meshwright.service.jobs.attempts import Beat
from meshwright.service.jobs.job import Job, Progress, Status
from meshwright.service.jobs.repository import JobRepository

TICK_S = 0.25  # progress is written at most this often
LOOK_S = 1.0  # a confirmed cancellation is seen after at most this long
LINES = 200  # that wait to be written: older ones are dropped
LINES_A_TICK = 10
log = structlog.get_logger("meshwright.worker")


class Heart:
    """Beats while its block runs. ``verdict`` turns from ``go`` to ``cancel`` or ``lost`` once, and stays so."""

    def __init__(self, repository: JobRepository, job: Job, worker: str, heartbeat_s: float) -> None:
        self.verdict: Beat = "go"
        self._repository, self._job, self._worker, self._heartbeat_s = repository, job, worker, heartbeat_s
        self._progress: Progress | None = None
        self._lines: deque[str] = deque(maxlen=LINES)
        self._takes_lines = True
        self._stop = threading.Event()
        self._beat_due = time.monotonic() + heartbeat_s
        self._look_due = time.monotonic() + LOOK_S
        self._thread = threading.Thread(target=self._run, name=f"heart-{job.id[:6]}", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def note(self, progress: Progress) -> None:
        """Progress to be written with the next beat; a newer one takes its place."""
        self._progress = progress

    def log(self, line: str) -> None:
        """A line for the job's log."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write the lines that wait, before the job ends and takes no more."""
        while self._lines and self._takes_lines:
            self._write_lines()

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            try:
                self._tick()
            except (MeshwrightError, SQLAlchemyError) as error:
                log.warning("heartbeat_failed", job_id=self._job.id, error=str(error))

    def _tick(self) -> None:
        now = time.monotonic()
        progress, self._progress = self._progress, None
        if progress is not None or now >= self._beat_due:
            beat = self._repository.heartbeat(self._job.id, self._job.attempt, self._worker, progress)
            self._beat_due = now + self._heartbeat_s
            self._look_due = now + LOOK_S
            self._take(beat)
        elif now >= self._look_due:
            self._look_due = now + LOOK_S
            self._take(self._look())
        self._write_lines()

    def _look(self) -> Beat:
        """The same answer without a write."""
        try:
            job = self._repository.get(self._job.id)
        except JobNotFound:
            return "lost"
        if job.status is not Status.PROCESSING or job.attempt != self._job.attempt or job.lease_owner != self._worker:
            return "lost"
        return "go" if job.cancel_confirmed_at is None else "cancel"

    def _take(self, beat: Beat) -> None:
        if self.verdict == "go":
            self.verdict = beat

    def _write_lines(self) -> None:
        for _ in range(LINES_A_TICK):
            if not self._lines or not self._takes_lines:
                return
            self._takes_lines = self._repository.log(self._job.id, self._job.attempt, self._lines.popleft())
