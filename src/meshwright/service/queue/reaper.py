"""What keeps the promise that no accepted job is lost: every process that serves or works does a round now and then."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from meshwright.errors import MeshwrightError
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.queue.protocol import Queue

STALE_S = 60.0  # a waiting job that nobody took for so long is announced again
PERIOD_S = 5.0
JITTER = 0.2  # of a period: processes that started together do not stay together
log = structlog.get_logger("meshwright.reaper")


@dataclass(frozen=True)
class Swept:
    """What a round has done: jobs taken from silent workers, ended among them, and announced again."""

    reaped: int = 0
    ended: int = 0
    announced: int = 0


def sweep(repository: JobRepository, queue: Queue, *, stale_s: float = STALE_S) -> Swept:
    """One round: take jobs from silent workers, end those past their deadline, ring again for those that wait."""
    reaped = repository.reap()
    for job in reaped:
        if job.status is Status.QUEUED:
            queue.announce(job)
    stale = repository.stale_queued(stale_s)
    for job in stale:
        queue.announce(job)
    return Swept(len(reaped), sum(job.status.is_final for job in reaped), len(stale))


@dataclass(frozen=True)
class Chore:
    """Something else to be done every ``period_s`` seconds: the janitor, deliveries."""

    name: str
    period_s: float
    do: Callable[[], object]


class Reaper:
    """A thread that sweeps, and does the other chores, until it is stopped; a failure is logged and tried again."""

    def __init__(
        self,
        repository: JobRepository,
        queue: Queue,
        chores: Sequence[Chore] = (),
        *,
        period_s: float = PERIOD_S,
        stale_s: float = STALE_S,
    ) -> None:
        def sweep_once() -> Swept:
            return sweep(repository, queue, stale_s=stale_s)

        self._chores = (Chore("sweep", period_s, sweep_once), *chores)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def start(self) -> None:
        """Begin; the first round is done at once."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after what is being done."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        due = dict.fromkeys(self._chores, time.monotonic())
        while not self._stop.is_set():
            for chore in self._chores:
                if due[chore] <= time.monotonic() and not self._stop.is_set():
                    _attempt(chore)
                    due[chore] = time.monotonic() + chore.period_s * random.uniform(1 - JITTER, 1 + JITTER)
            self._stop.wait(max(0.0, min(due.values()) - time.monotonic()))


def _attempt(chore: Chore) -> None:
    try:
        chore.do()
    except (MeshwrightError, SQLAlchemyError, OSError) as error:
        log.warning("chore_failed", chore=chore.name, error=str(error).splitlines()[0] if str(error) else repr(error))
