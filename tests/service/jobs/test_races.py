"""Many at once: threads, and processes of their own; the real clock."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from meshwright.errors import JobNotReady, RateLimited
from meshwright.service.db import Database
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from service.jobs.making import COMPLETED, CPU, check_history, new, submitted, with_settings

CLAIMER = """
import sys
from service.jobs.making import CPU, COMPLETED, open_repository
repository = open_repository(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
while (job := repository.claim(sys.argv[2], devices=CPU)) is not None:
    print(job.id, job.attempt, int(repository.finish(job.id, job.attempt, COMPLETED)), flush=True)
"""


@pytest.fixture
def shared(database_url: str) -> Iterator[JobRepository]:
    """On the real clock."""
    database = Database(database_url)
    yield JobRepository(database, Settings())
    database.close()


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_fifty_with_one_key_make_one_job(shared: JobRepository) -> None:
    answers = at_once(50, lambda _: shared.submit(new(), idempotency_key="k", body_hash="h"))
    assert len({job.id for job, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1
    assert shared.counts()["queued"] == {"cpu": 1}


def test_the_limit_of_the_queue_holds_for_many_at_once(shared: JobRepository) -> None:
    small = with_settings(shared, queue_limit=5)

    def submit(_: int) -> bool:
        try:
            submitted(small)
        except RateLimited:
            return False
        return True

    assert sum(at_once(20, submit)) == 5
    assert shared.counts()["queued"] == {"cpu": 5}


def test_the_limit_of_running_jobs_holds_for_many_at_once(shared: JobRepository) -> None:
    limited = with_settings(shared, running_limit=3)
    for _ in range(10):
        submitted(limited)
    taken = at_once(16, lambda n: limited.claim(f"w{n}", devices=CPU))
    assert sum(job is not None for job in taken) == 3


def test_sixteen_workers_run_each_job_once(shared: JobRepository) -> None:
    jobs = [submitted(shared, tenant=f"t{number % 3}") for number in range(64)]

    def work(number: int) -> list[tuple[str, int]]:
        done = []
        while (job := shared.claim(f"w{number}", devices=CPU)) is not None:
            assert shared.finish(job.id, job.attempt, COMPLETED)
            done.append((job.id, job.attempt))
        return done

    runs = Counter(run for done in at_once(16, work) for run in done)
    assert runs == Counter((job.id, 1) for job in jobs)
    for job in jobs:
        check_history(shared, shared.get(job.id))


def test_processes_run_each_job_once(shared: JobRepository, database_url: str) -> None:
    jobs = [submitted(shared) for _ in range(60)]
    command = [sys.executable, "-c", CLAIMER, database_url]
    workers = [
        subprocess.Popen(
            [*command, f"w{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        for number in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    done = [worker.communicate(timeout=60)[0].splitlines() for worker in workers]
    assert sum(len(lines) > 0 for lines in done) > 1, "at the same time, not one after the other"
    runs = [line for lines in done for line in lines]
    assert sorted(runs) == sorted(f"{job.id} 1 1" for job in jobs)
    assert shared.counts()["completed"] == {"cpu": 60}


def test_a_job_ends_once_however_many_end_it(shared: JobRepository) -> None:
    """Finish, crash, cancel and delete of the same running job at the same time."""
    for _ in range(5):
        job = submitted(shared)
        shared.request_cancel(job.id, "a")
        assert shared.claim("w", devices=CPU) is not None

        def end(number: int, job_id: str = job.id) -> object:
            try:
                match number % 4:
                    case 0:
                        return shared.finish(job_id, 1, COMPLETED)
                    case 1:
                        return shared.release(job_id, 1, crashed=True)
                    case 2:
                        return shared.confirm_cancel(job_id, "a")
                    case _:
                        return shared.finish_cancelled(job_id, 1)
            except JobNotReady:
                return None

        at_once(8, end)
        after = shared.get(job.id)
        check_history(shared, after)
        assert after.status in (Status.COMPLETED, Status.CANCELLED, Status.QUEUED)
        if after.status is Status.QUEUED:
            shared.request_cancel(job.id, "a")
            shared.confirm_cancel(job.id, "a")
