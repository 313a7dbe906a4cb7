"""Claims, leases and fences: what workers may do, and what a worker that lost its job may not."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import select

from meshwright.errors import JobNotFound
from meshwright.service.db.tables import DeliveryRow
from meshwright.service.jobs.events import LOG_LIMIT
from meshwright.service.jobs.job import Outcome, Progress, Status
from meshwright.service.jobs.repository import JobRepository
from service.jobs.making import (
    COMPLETED,
    CPU,
    FAILED,
    Clock,
    check_history,
    claimed,
    finished,
    submitted,
    with_settings,
)


def test_an_empty_queue_gives_nothing(repository: JobRepository) -> None:
    assert repository.claim("w", devices=CPU) is None


def test_a_claim_is_a_new_attempt_with_a_lease(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    assert (job.status, job.attempt, job.lease_owner, job.started_at) == (Status.PROCESSING, 1, "w", clock.time)
    assert job.lease_until is not None
    assert (job.lease_until - clock.time).total_seconds() == repository.settings.lease_s
    assert repository.claim("other", devices=CPU) is None
    assert repository.claim("other", devices=CPU, job_id=job.id) is None


def test_a_worker_gets_only_what_it_can_run(repository: JobRepository) -> None:
    submitted(repository, engine="nvdiffrec", device="cuda")
    submitted(repository, engine="fusion, nvdiffrec")
    submitted(repository, engine="both")
    automatic = submitted(repository, engine="auto")
    taken = repository.claim("w", devices=CPU, engines=("fusion",))
    assert taken is not None
    assert taken.id == automatic.id
    assert repository.claim("w", devices=CPU, engines=("fusion",)) is None
    engines = ("fusion", "nvdiffrec", "reconviagen")
    several = [repository.claim("w", devices=CPU, engines=engines) for _ in range(3)]
    assert {job.engine if job else None for job in several} == {"fusion, nvdiffrec", "both", None}
    on_gpu = repository.claim("w", devices=("cpu", "cuda"))
    assert on_gpu is not None
    assert on_gpu.engine == "nvdiffrec"


def test_priority_goes_before_age(repository: JobRepository, clock: Clock) -> None:
    order = []
    for priority in (0, 5, 0, 9):
        order.append((-priority, len(order), submitted(repository, priority=priority).id))
        clock.advance(1)
    taken = [repository.claim("w", devices=CPU) for _ in order]
    assert [job and job.id for job in taken] == [job_id for *_, job_id in sorted(order)]


def test_tenants_take_turns(repository: JobRepository, clock: Clock) -> None:
    """One that has submitted a hundred jobs does not keep another, who came later, from the next free worker."""
    for _ in range(20):
        submitted(repository, tenant="many")
    clock.advance(1)
    late = [submitted(repository, tenant="late").id for _ in range(2)]
    taken = [repository.claim("w", devices=CPU) for _ in range(4)]
    assert [job and job.tenant for job in taken] == ["many", "late", "many", "late"]
    assert {job.id for job in taken if job and job.tenant == "late"} == set(late)


def test_a_tenants_running_jobs_are_limited(repository: JobRepository) -> None:
    limited = with_settings(repository, running_limit=1)
    first = claimed(limited)
    submitted(limited)
    assert limited.claim("w", devices=CPU) is None
    assert limited.finish(first.id, 1, COMPLETED)
    assert limited.claim("w", devices=CPU) is not None


def test_a_position_counts_those_that_come_before_it(repository: JobRepository, clock: Clock) -> None:
    jobs = []
    for tenant in ("a", "a", "a", "b", "c"):
        jobs.append(submitted(repository, tenant=tenant))
        clock.advance(1)
    submitted(repository, device="cuda")
    assert [repository.position(job.id) for job in jobs] == [1, 2, 3, 2, 3]
    urgent = submitted(repository, priority=1)
    assert repository.position(urgent.id) == 1
    assert repository.position(jobs[0].id) == 2
    running = claimed(repository)
    assert repository.position(running.id) is None
    placed = replace(repository.get(jobs[1].id), queue_position=repository.position(jobs[1].id))
    assert repository.get_placed(jobs[1].id, "a") == placed
    assert repository.get_placed(running.id, running.tenant) == repository.get(running.id)
    with pytest.raises(JobNotFound):
        repository.get_placed(jobs[0].id, "b")


def test_a_job_past_its_deadline_fails_unrun(repository: JobRepository, clock: Clock) -> None:
    job = submitted(repository, deadline_s=10)
    clock.advance(10)
    assert repository.claim("w", devices=CPU) is None
    ended = repository.get(job.id)
    assert ended.outcome is not None
    assert ended.outcome.error is not None
    assert (ended.status, ended.outcome.error["code"], ended.attempt) == (Status.FAILED, "ENGINE_TIMEOUT", 0)
    assert ended.outcome.error["details"]["reason"] == "deadline_passed"
    check_history(repository, ended)


def test_a_deadline_passes_without_any_worker(repository: JobRepository, clock: Clock) -> None:
    job = submitted(repository, deadline_s=10)
    clock.advance(10)
    repository.reap()
    assert repository.get(job.id).status is Status.FAILED


def test_a_deadline_does_not_stop_a_running_job(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository, deadline_s=10)
    clock.advance(20)
    assert repository.heartbeat(job.id, 1, "w", None) == "go"


def test_a_heartbeat_extends_the_lease(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    for _ in range(5):
        clock.advance(repository.settings.lease_s * 0.9)
        assert repository.heartbeat(job.id, 1, "w", None) == "go"
        assert repository.reap() == []


def test_progress_never_goes_back(repository: JobRepository) -> None:
    job = claimed(repository)
    for fraction, shown in (
        (0.2, 0.2),
        (math.nan, 0.2),
        (0.1, 0.2),
        (0.5, 0.5),
        (7.0, 1.0),
        (math.nan, 1.0),
        (0.0, 1.0),
    ):
        repository.heartbeat(job.id, 1, "w", Progress("fuse", fraction))
        assert repository.get(job.id).fraction == shown
    assert repository.get(job.id).progress == 99, "100 is said of a completed job only"


def test_progress_is_an_event_where_it_is_news(repository: JobRepository) -> None:
    job = claimed(repository)
    for fraction in (0.101, 0.102, 0.103, 0.2):
        repository.heartbeat(job.id, 1, "w", Progress("fuse", fraction, "view\0 3", eta_s=math.inf))
    repository.heartbeat(job.id, 1, "w", Progress("bake", 0.2))
    told = [event.data for event in repository.events_after(job.id, 0) if event.kind == "progress"]
    assert [(data["stage"], data["fraction"]) for data in told] == [("fuse", 0.101), ("fuse", 0.2), ("bake", 0.2)]
    assert (told[0]["message"], told[0]["eta_s"]) == ("view 3", None)


def test_log_lines_are_kept_up_to_a_limit(repository: JobRepository) -> None:
    job = claimed(repository)
    assert repository.log(job.id, 1, "one", "two\0" + "x" * 10_000)
    assert not repository.log(job.id, 2, "of another attempt")
    lines = [event.data["line"] for event in repository.events_after(job.id, 0) if event.kind == "log"]
    assert [line[:4] for line in lines] == ["one", "twox"]
    assert len(lines[1]) == 2000
    repository.log(job.id, 1, *["x"] * LOG_LIMIT)
    assert not repository.log(job.id, 1, "too much")


def test_a_result_is_published_once_and_reads_as_it_was_written(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    clock.advance(5)
    assert repository.finish(job.id, 1, COMPLETED)
    ended = repository.get(job.id)
    assert (ended.status, ended.outcome, ended.progress) == (Status.COMPLETED, COMPLETED, 100)
    assert ended.finished_at == clock.time
    assert ended.expires_at is not None
    assert (ended.expires_at - clock.time).total_seconds() == repository.settings.result_retention_s
    assert repository.finish(job.id, 1, COMPLETED), "the same call again, because its answer was lost"
    assert not repository.finish(job.id, 1, FAILED)
    assert repository.get(job.id) == ended
    check_history(repository, ended)


def test_numbers_that_are_none_are_stored_as_null(repository: JobRepository) -> None:
    outcome = Outcome(status=Status.COMPLETED, engines={"fusion": {"quality": {"psnr": math.inf, "x": [math.nan]}}})
    job = finished(repository, outcome)
    assert job.outcome is not None
    assert job.outcome.engines == {"fusion": {"quality": {"psnr": None, "x": [None]}}}


def test_a_worker_that_lost_its_job_changes_nothing(repository: JobRepository, clock: Clock) -> None:
    """The fence: a worker that was frozen while its job was given away wakes up and writes."""
    job = claimed(repository, worker="frozen")
    clock.advance(repository.settings.lease_s + 1)
    assert [each.status for each in repository.reap()] == [Status.QUEUED]
    for when in ("before", "while"):
        if when == "while":
            taken = repository.claim("next", devices=CPU)
            assert taken is not None
            assert taken.attempt == 2
        before = repository.get(job.id)
        assert repository.heartbeat(job.id, 1, "frozen", Progress("bake", 0.9)) == "lost"
        assert not repository.finish(job.id, 1, COMPLETED)
        assert not repository.finish_cancelled(job.id, 1)
        assert repository.release(job.id, 1, crashed=True) is None
        assert not repository.log(job.id, 1, "still here")
        assert repository.get(job.id) == before
    assert repository.heartbeat(job.id, 2, "frozen", None) == "lost", "the number alone is not enough"
    assert repository.finish(job.id, 2, COMPLETED)
    assert repository.get(job.id).result_prefix == f"jobs/{job.id}/attempt-2"


def test_a_late_heartbeat_keeps_a_job_that_nobody_took(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    clock.advance(repository.settings.lease_s * 3)
    assert repository.heartbeat(job.id, 1, "w", None) == "go"
    assert repository.reap() == []


def test_a_job_that_crashes_twice_is_given_up(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    assert repository.release(job.id, 1, crashed=True) is Status.QUEUED
    assert repository.claim("w", devices=CPU) is not None
    clock.advance(repository.settings.lease_s + 1)
    assert [each.status for each in repository.reap()] == [Status.FAILED]
    ended = repository.get(job.id)
    assert ended.outcome is not None
    assert ended.outcome.error is not None
    assert (ended.crashes, ended.outcome.error["code"]) == (2, "ENGINE_CRASHED")
    assert repository.claim("w", devices=CPU) is None
    check_history(repository, ended)


def test_a_released_job_counts_no_crash_and_keeps_its_place(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    clock.advance(1)
    submitted(repository)
    for attempt in range(1, 6):
        assert repository.release(job.id, attempt) is Status.QUEUED
        taken = repository.claim("w", devices=CPU)
        assert taken is not None
        assert (taken.id, taken.crashes) == (job.id, 0)


def test_a_job_can_be_put_off(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    repository.release(job.id, 1, not_before_s=30)
    assert repository.claim("w", devices=CPU) is None
    clock.advance(30)
    assert repository.claim("w", devices=CPU) is not None


@pytest.mark.parametrize("end", ["finish", "crash", "release", "silence"])
def test_a_confirmed_cancellation_wins_over_every_other_end(repository: JobRepository, clock: Clock, end: str) -> None:
    job = claimed(repository)
    repository.request_cancel(job.id, "a")
    repository.confirm_cancel(job.id, "a")
    if end == "finish":
        assert repository.finish(job.id, 1, COMPLETED)
    elif end == "silence":
        clock.advance(repository.settings.lease_s + 1)
        repository.reap()
    else:
        assert repository.release(job.id, 1, crashed=end == "crash") is Status.CANCELLED
    ended = repository.get(job.id)
    assert ended.status is Status.CANCELLED
    assert ended.outcome is not None
    assert ended.outcome.artifacts == ()
    check_history(repository, ended)


def test_every_end_rings_the_webhook_once(repository: JobRepository, clock: Clock) -> None:
    url = "https://example.com/hook"
    finished(repository, webhook_url=url)
    finished(repository, FAILED, webhook_url=url)
    waiting = submitted(repository, webhook_url=url)
    repository.request_cancel(waiting.id, "a")
    repository.confirm_cancel(waiting.id, "a")
    submitted(repository, webhook_url=url, deadline_s=1)
    clock.advance(1)
    repository.reap()
    finished(repository)
    with repository.database.read() as session:
        rows = session.scalars(select(DeliveryRow)).all()
    assert sorted(row.event for row in rows) == ["job.cancelled", "job.completed", "job.failed", "job.failed"]
    for row in rows:
        job = repository.get(row.job_id)
        assert (row.url, row.tenant, row.tries, row.delivered_at) == (url, "a", 0, None)
        assert (row.payload["type"], row.payload["data"]["id"], row.due_at) == (row.event, job.id, job.finished_at)


def test_a_waiting_job_is_announced_again_and_then_less_often(repository: JobRepository, clock: Clock) -> None:
    job = submitted(repository)
    rings = []
    for second in range(0, 1200, 10):
        rings += [second for _ in repository.stale_queued(60)]
        clock.advance(10)
    assert rings[0] == 60
    assert all(later - earlier >= 60 for earlier, later in pairwise(rings))
    assert max(later - earlier for earlier, later in pairwise(rings)) == 300
    repository.claim("w", devices=CPU)
    clock.advance(1000)
    assert repository.stale_queued(60) == []
    assert repository.get(job.id).status is Status.PROCESSING
