"""Any order of calls, from clients, workers, crashes and the passing of time: never an illegal change of state."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from meshwright.errors import InputError, JobExpired, JobNotReady
from meshwright.service.db import Database
from meshwright.service.jobs.job import Job, Progress, Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from service.jobs.making import COMPLETED, CPU, FAILED, Clock, check_history, new

EXAMPLES = int(os.environ.get("MESHWRIGHT_MACHINE_EXAMPLES", "15"))
WORKERS = ("w1", "w2")
pick = st.integers(0, 7)


class Jobs(RuleBasedStateMachine):
    """Keeps what was promised beside the repository and compares: who holds a job, what was confirmed, what ended."""

    url: Callable[[], str]

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.database = Database(type(self).url(), clock=self.clock)
        self.repository = JobRepository(self.database, Settings(queue_limit=4))
        self.ids: list[str] = []
        self.held: list[Job] = []  # every attempt that was ever given out, the lost ones too
        self.seen: dict[str, Job] = {}

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()

    def job(self, number: int) -> Job | None:
        return self.repository.get(self.ids[number % len(self.ids)]) if self.ids else None

    def is_current(self, attempt: Job) -> bool:
        now = self.repository.get(attempt.id)
        return now.status is Status.PROCESSING and now.attempt == attempt.attempt

    @rule(deadline=st.sampled_from([None, 20.0]), priority=st.integers(0, 1))
    def submit(self, deadline: float | None, priority: int) -> None:
        if len(self.ids) < 4:
            job, _ = self.repository.submit(new(deadline_s=deadline, priority=priority, webhook_url="https://x.test"))
            self.ids.append(job.id)

    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> None:
        waiting = {job_id for job_id in self.ids if self.repository.get(job_id).status is Status.QUEUED}
        job = self.repository.claim(worker, devices=CPU)
        if job is None:
            assert all(self.repository.get(job_id).status is not Status.QUEUED for job_id in waiting)
            return
        assert job.id in waiting
        assert all((job.id, job.attempt) != (other.id, other.attempt) for other in self.held)
        self.held.append(job)

    @rule(number=pick, fraction=st.floats(0, 1))
    def beat(self, number: int, fraction: float) -> None:
        for attempt in self.some_attempt(number):
            is_current = self.is_current(attempt)
            before = self.repository.get(attempt.id)
            beat = self.repository.heartbeat(
                attempt.id, attempt.attempt, attempt.lease_owner or "", Progress("fuse", fraction)
            )
            assert (beat == "lost") == (not is_current)
            if is_current:
                assert (beat == "cancel") == (before.cancel_confirmed_at is not None)

    @rule(number=pick, how=st.sampled_from(["complete", "fail", "crash", "release", "cancelled"]))
    def end(self, number: int, how: str) -> None:
        for attempt in self.some_attempt(number):
            is_current = self.is_current(attempt)
            before = self.repository.get(attempt.id)
            is_confirmed = before.cancel_confirmed_at is not None
            outcome = COMPLETED if how == "complete" else FAILED
            if how in ("complete", "fail"):
                is_heard = self.repository.finish(attempt.id, attempt.attempt, outcome)
                is_repeated = before.attempt == attempt.attempt and before.outcome == outcome
                assert is_heard == (is_current or is_repeated)
                wanted = {outcome.status}
            elif how == "cancelled":
                is_heard = self.repository.finish_cancelled(attempt.id, attempt.attempt)
                assert is_heard == (is_current and is_confirmed)
                wanted = {Status.CANCELLED}
            else:
                is_heard = self.repository.release(attempt.id, attempt.attempt, crashed=how == "crash") is not None
                assert is_heard == is_current
                wanted = {Status.QUEUED, Status.FAILED}
            after = self.repository.get(attempt.id)
            if is_heard and is_current:
                assert after.status in ({Status.CANCELLED} if is_confirmed else wanted)
            else:
                assert after == before

    def some_attempt(self, number: int) -> list[Job]:
        return [self.held[-1 - number % len(self.held)]] if self.held else []

    @rule(number=pick)
    def request(self, number: int) -> None:
        job = self.job(number)
        if job is not None:
            self.refused(job.status.is_final, lambda: self.repository.request_cancel(job.id, "a"))

    @rule(number=pick)
    def confirm(self, number: int) -> None:
        job = self.job(number)
        if job is not None:
            may = not job.status.is_final and job.cancel_requested_at is not None
            self.refused(not may, lambda: self.repository.confirm_cancel(job.id, "a"))

    @rule(number=pick)
    def retry(self, number: int) -> None:
        job = self.job(number)
        if job is not None:
            self.refused(not job.status.is_final or job.is_gone, lambda: self.repository.retry(job.id, "a"))

    @rule(number=pick)
    def delete(self, number: int) -> None:
        job = self.job(number)
        if job is not None:
            self.refused(job.status is Status.PROCESSING, lambda: self.repository.delete(job.id, "a"))

    def refused(self, is_expected: bool, call: Callable[[], Job]) -> None:
        try:
            call()
        except (JobNotReady, JobExpired, InputError):
            assert is_expected
        else:
            assert not is_expected

    @rule(seconds=st.sampled_from([1, 15, 31]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def reap(self) -> None:
        for job in self.repository.reap():
            assert job.status is not Status.PROCESSING

    @invariant()
    def histories_are_whole(self) -> None:
        for job_id in getattr(self, "ids", []):
            job = self.repository.get(job_id)
            check_history(self.repository, job)
            before = self.seen.get(job_id)
            if before is not None and before.status.is_final and job.attempt == before.attempt:
                assert job.status in (before.status, Status.QUEUED)  # queued by a retry
            if before is not None and job.started_at == before.started_at and job.status is Status.PROCESSING:
                assert job.fraction >= before.fraction
            self.seen[job_id] = job


@pytest.fixture
def fresh_url(migrated_file: Path, tmp_path: Path) -> Callable[[], str]:
    """The URL of an empty database, each time."""

    def make() -> str:
        return f"sqlite:///{shutil.copy(migrated_file, tempfile.mkdtemp(dir=tmp_path))}"

    return make


def test_no_order_of_calls_leads_to_an_illegal_state(fresh_url: Callable[[], str]) -> None:
    machine = type("Machine", (Jobs,), {"url": staticmethod(fresh_url)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
