"""A process dies at each stage of a job's life in the table; what comes after finds a state that is whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from meshwright.service.failpoints import KILLED, NAMES, VARIABLE
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from service.jobs.making import COMPLETED, CPU, Clock, check_history, new

LIFE = """
import sys
from service.jobs.making import COMPLETED, CPU, Clock, new
from meshwright.service.db import Database
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings

clock = Clock()
repository = JobRepository(Database(sys.argv[1], clock=clock), Settings())
repository.submit(new(webhook_url="https://x.test"), idempotency_key="k", body_hash="h")
job = repository.claim("dead", devices=CPU)
clock.advance(100)
repository.reap()
job = repository.claim("dead", devices=CPU)
repository.heartbeat(job.id, job.attempt, "dead", None)
repository.finish(job.id, job.attempt, COMPLETED)
"""
PARTS = ("submit.", "claim.", "heartbeat.", "reap.", "finish.")
STAGES = sorted(name for name in NAMES - {"submit.before_answer"} if name.startswith(PARTS))


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_ends_once_wherever_a_process_died(
    repository: JobRepository, clock: Clock, database_url: str, stage: str
) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path), VARIABLE: stage}
    died = subprocess.run([sys.executable, "-c", LIFE, database_url], env=environment, check=False)
    assert died.returncode == KILLED
    job, is_new = repository.submit(new(webhook_url="https://x.test"), idempotency_key="k", body_hash="h")
    assert is_new == (stage == "submit.before_commit"), "the client's second try finds the job if it was accepted"
    for _ in range(3):
        clock.advance(1000)
        repository.reap()
        taken = repository.claim("alive", devices=CPU)
        if taken is not None:
            assert repository.finish(taken.id, taken.attempt, COMPLETED)
    ended = repository.get(job.id)
    assert sum(repository.counts()["queued"].values()) == sum(repository.counts()["processing"].values()) == 0
    assert ended.status is (Status.COMPLETED if ended.crashes < 2 else Status.FAILED)
    check_history(repository, ended)
    assert len([event for event in repository.events_after(job.id, 0) if event.data.get("status") == ended.status]) == 1
