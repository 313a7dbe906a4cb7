"""No accepted job is lost: what falls silent is run again, what nobody hears of is announced again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from meshwright.errors import DiskFull
from meshwright.service.jobs.job import Job, Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.queue.reaper import Chore, Reaper, Swept, sweep
from service.jobs.making import CPU, Clock, claimed, submitted


@dataclass
class Bell:
    """A queue that notes who was announced."""

    rung: list[str] = field(default_factory=list)

    def announce(self, job: Job) -> None:
        self.rung.append(job.id)

    def wait(self, timeout_s: float) -> str | None:
        raise NotImplementedError(timeout_s)


def test_a_job_of_a_silent_worker_is_announced_again(repository: JobRepository, clock: Clock) -> None:
    bell = Bell()
    silent, alive = claimed(repository), claimed(repository, worker="alive")
    clock.advance(repository.settings.lease_s / 2)
    repository.heartbeat(alive.id, 1, "alive", None)
    assert sweep(repository, bell) == Swept()
    clock.advance(repository.settings.lease_s / 2 + 1)
    assert sweep(repository, bell) == Swept(reaped=1)
    assert bell.rung == [silent.id]
    assert repository.get(alive.id).status is Status.PROCESSING
    again = repository.claim("w", devices=CPU)
    assert again is not None
    clock.advance(repository.settings.lease_s / 4)
    repository.heartbeat(alive.id, 1, "alive", None)
    clock.advance(repository.settings.lease_s)
    repository.heartbeat(alive.id, 1, "alive", None)
    assert sweep(repository, bell) == Swept(reaped=1, ended=1), "it has crashed twice"


def test_jobs_that_the_broker_forgot_are_announced_again(repository: JobRepository, clock: Clock) -> None:
    bell = Bell()
    jobs = [submitted(repository).id for _ in range(5)]
    assert sweep(repository, bell) == Swept()
    clock.advance(60)
    assert sweep(repository, bell) == Swept(announced=5)
    assert sorted(bell.rung) == sorted(jobs)
    assert sweep(repository, bell) == Swept(), "once, not at every round"


def test_a_failing_chore_is_tried_again_and_keeps_no_other_from_its_turn(repository: JobRepository) -> None:
    done, tries = threading.Event(), []

    def fail() -> None:
        tries.append(1)
        raise DiskFull("full")

    def other() -> None:
        if len(tries) >= 2:
            done.set()

    chores = [Chore("fails", 0.01, fail), Chore("other", 0.01, other)]
    reaper = Reaper(repository, Bell(), chores, period_s=0.01)
    reaper.start()
    assert done.wait(10)
    reaper.stop()


def test_it_stops_at_once(repository: JobRepository) -> None:
    reaper = Reaper(repository, Bell(), period_s=3600)
    reaper.start()
    reaper.stop(timeout_s=5)
    assert "reaper" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("period_s", [0.02])
def test_it_sweeps_by_itself(repository: JobRepository, clock: Clock, period_s: float) -> None:
    job = claimed(repository)
    clock.advance(repository.settings.lease_s + 1)
    bell = Bell()
    reaper = Reaper(repository, bell, period_s=period_s)
    reaper.start()
    for _ in range(500):
        if bell.rung:
            break
        threading.Event().wait(0.01)
    reaper.stop()
    assert bell.rung == [job.id]
