"""What clients may ask for, and when."""

from __future__ import annotations

import pytest

from meshwright.errors import IdempotencyConflict, InputError, JobExpired, JobNotFound, JobNotReady, RateLimited
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from service.jobs.making import CPU, FAILED, Clock, check_history, claimed, finished, new, submitted, with_settings


def test_a_submitted_job_is_queued_and_reads_as_it_was_written(repository: JobRepository, clock: Clock) -> None:
    wanted = new(name="shoe", options={"faces": 5, "nested": {"x": [1.5, None]}}, priority=3, deadline_s=60)
    job, is_new = repository.submit(wanted)
    assert is_new
    assert job == repository.get(wanted.id) == repository.get(wanted.id, "a")
    assert (job.status, job.name, job.options, job.priority) == (Status.QUEUED, "shoe", wanted.options, 3)
    assert job.created_at == clock.time
    assert job.created_at.utcoffset() is not None
    assert job.deadline_at is not None
    assert (job.deadline_at - job.created_at).total_seconds() == 60
    check_history(repository, job)


def test_another_tenants_job_does_not_exist(repository: JobRepository) -> None:
    job = finished(repository, tenant="a")
    calls = [
        lambda: repository.get(job.id, "b"),
        lambda: repository.request_cancel(job.id, "b"),
        lambda: repository.confirm_cancel(job.id, "b"),
        lambda: repository.retry(job.id, "b"),
        lambda: repository.delete(job.id, "b"),
        lambda: repository.pin(job.id, "b", True),
    ]
    for call in calls:
        with pytest.raises(JobNotFound):
            call()
    assert repository.list("b") == ([], None)
    assert repository.find_cached("b", job.input_hash, job.engine, {}) is None
    assert repository.get(job.id) == job


@pytest.mark.parametrize("job_id", ["", "x", "..%2f", "a\0b", "é" * 4000])
def test_an_id_that_is_none_is_not_found(repository: JobRepository, job_id: str) -> None:
    with pytest.raises(JobNotFound):
        repository.get(job_id)


def test_the_same_key_and_body_get_the_same_job(repository: JobRepository) -> None:
    first, is_new = repository.submit(new(), idempotency_key="k", body_hash="h")
    again, is_new_again = repository.submit(new(), idempotency_key="k", body_hash="h")
    assert (again.id, is_new, is_new_again) == (first.id, True, False)
    assert repository.find_idempotent("a", "k") == (first.id, "h")
    other, is_other_new = repository.submit(new(tenant="b"), idempotency_key="k", body_hash="h")
    assert is_other_new
    assert other.id != first.id


def test_the_same_key_with_another_body_is_a_conflict_and_leaves_nothing(repository: JobRepository) -> None:
    repository.submit(new(), idempotency_key="k", body_hash="h")
    with pytest.raises(IdempotencyConflict):
        repository.submit(new(), idempotency_key="k", body_hash="other")
    assert repository.counts()["queued"] == {"cpu": 1}


def test_a_key_is_forgotten_after_its_time(repository: JobRepository, clock: Clock) -> None:
    first, _ = repository.submit(new(), idempotency_key="k", body_hash="h")
    clock.advance(repository.settings.idempotency_s + 1)
    assert repository.find_idempotent("a", "k") is None
    second, is_new = repository.submit(new(), idempotency_key="k", body_hash="other")
    assert is_new
    assert second.id != first.id


def test_a_submission_whose_answer_was_lost_may_be_repeated(repository: JobRepository) -> None:
    wanted = new()
    assert repository.submit(wanted) == repository.submit(wanted)


def test_a_full_queue_refuses_one_tenant_only(repository: JobRepository) -> None:
    small = with_settings(repository, queue_limit=2)
    first, _ = submitted(small), submitted(small)
    with pytest.raises(RateLimited) as refusal:
        submitted(small)
    assert refusal.value.reason == "queue_full"
    submitted(small, tenant="b")
    small.claim("w", devices=CPU, job_id=first.id)
    submitted(small)  # one has left the queue


def test_cancelling_takes_two_steps(repository: JobRepository) -> None:
    job = submitted(repository)
    with pytest.raises(InputError) as refusal:
        repository.confirm_cancel(job.id, "a")
    assert refusal.value.reason == "cancel_not_requested"
    requested = repository.request_cancel(job.id, "a")
    assert requested.status is Status.QUEUED
    assert requested.cancel_requested_at is not None
    cancelled = repository.confirm_cancel(job.id, "a")
    assert cancelled.status is Status.CANCELLED
    assert repository.claim("w", devices=CPU) is None
    check_history(repository, cancelled)


def test_a_request_stays_valid_until_the_job_ends(repository: JobRepository, clock: Clock) -> None:
    job = submitted(repository)
    first = repository.request_cancel(job.id, "a").cancel_requested_at
    clock.advance(10 * 86_400)
    assert repository.request_cancel(job.id, "a").cancel_requested_at == first
    taken = repository.claim("w", devices=CPU)
    assert taken is not None
    assert repository.confirm_cancel(job.id, "a").cancel_confirmed_at is not None


def test_a_running_job_is_cancelled_by_its_worker(repository: JobRepository) -> None:
    job = claimed(repository)
    repository.request_cancel(job.id, "a")
    assert repository.heartbeat(job.id, 1, "w", None) == "go"
    assert not repository.finish_cancelled(job.id, 1)  # nobody has confirmed it
    for _ in range(3):
        assert repository.confirm_cancel(job.id, "a").status is Status.PROCESSING
    assert repository.heartbeat(job.id, 1, "w", None) == "cancel"
    assert repository.finish_cancelled(job.id, 1)
    check_history(repository, repository.get(job.id))
    for refused in (repository.request_cancel, repository.confirm_cancel):
        with pytest.raises(JobNotReady):
            refused(job.id, "a")


def test_a_retry_starts_over_and_counts_attempts_on(repository: JobRepository, clock: Clock) -> None:
    job = finished(repository, FAILED)
    repository.submit(new(tenant="b"))
    clock.advance(5)
    again = repository.retry(job.id, "a", {"faces": 7})
    assert (again.status, again.attempt, again.errors, again.crashes) == (Status.QUEUED, 1, 0, 0)
    assert (again.outcome, again.fraction, again.expires_at, again.options) == (None, 0.0, None, {"faces": 7})
    assert not repository.finish(job.id, 1, FAILED)  # the attempt before is no longer heard
    taken = repository.claim("w", devices=CPU, job_id=job.id)
    assert taken is not None
    assert taken.attempt == 2
    check_history(repository, taken)


def test_only_a_finished_job_is_run_again(repository: JobRepository) -> None:
    waiting, running = submitted(repository), claimed(repository)
    for job in (waiting, running):
        with pytest.raises(JobNotReady):
            repository.retry(job.id, "a")


def test_a_cancellation_does_not_outlive_a_retry(repository: JobRepository) -> None:
    job = submitted(repository)
    repository.request_cancel(job.id, "a")
    repository.confirm_cancel(job.id, "a")
    again = repository.retry(job.id, "a")
    assert (again.cancel_requested_at, again.cancel_confirmed_at) == (None, None)


def test_a_deleted_job_keeps_its_row_and_gives_nothing_out(repository: JobRepository) -> None:
    job = finished(repository)
    deleted = repository.delete(job.id, "a")
    assert deleted.is_gone
    assert repository.delete(job.id, "a") == deleted
    assert repository.get(job.id, "a").is_gone
    assert repository.list("a") == ([], None)
    assert repository.find_cached("a", job.input_hash, job.engine, {}) is None
    with pytest.raises(JobExpired):
        repository.retry(job.id, "a")
    with pytest.raises(JobExpired):
        repository.pin(job.id, "a", True)
    assert [each.id for each in repository.expire()] == [job.id]


def test_deleting_a_waiting_job_cancels_it_and_a_running_one_is_refused(repository: JobRepository) -> None:
    running, waiting = claimed(repository), submitted(repository)
    assert repository.delete(waiting.id, "a").status is Status.CANCELLED
    with pytest.raises(JobNotReady) as refusal:
        repository.delete(running.id, "a")
    assert refusal.value.reason == "still_processing"


def test_a_result_expires_unless_it_is_pinned(repository: JobRepository, clock: Clock) -> None:
    kept, lost, short = finished(repository), finished(repository), finished(repository, retention_s=60)
    repository.pin(kept.id, "a", True)
    clock.advance(61)
    assert [job.id for job in repository.expire()] == [short.id]
    repository.files_removed(short.id)
    clock.advance(repository.settings.result_retention_s)
    assert [job.id for job in repository.expire()] == [lost.id]
    assert [job.id for job in repository.expire()] == [lost.id], "until its files are said to be removed"
    repository.files_removed(lost.id)
    assert repository.expire() == []
    repository.pin(kept.id, "a", False)
    assert repository.expire() == []
    clock.advance(repository.settings.result_retention_s + 1)
    assert [job.id for job in repository.expire()] == [kept.id]


def test_a_job_without_an_end_does_not_expire(repository: JobRepository, clock: Clock) -> None:
    submitted(repository), claimed(repository, retention_s=1)
    clock.advance(1e8)
    assert repository.expire() == []
