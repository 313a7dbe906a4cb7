"""Lists, the cache by content, counts and the event log."""

from __future__ import annotations

import base64

import pytest

from meshwright.errors import InputError
from meshwright.service.jobs.job import Progress, Status
from meshwright.service.jobs.repository import JobRepository
from service.jobs.making import COMPLETED, FAILED, Clock, claimed, finished, submitted


def test_pages_go_through_all_jobs_once_newest_first(repository: JobRepository, clock: Clock) -> None:
    made = []
    for number in range(25):
        made.append(submitted(repository).id)
        clock.advance(number % 3)  # some at the same time
    submitted(repository, tenant="b")
    seen: list[str] = []
    cursor = None
    while True:
        jobs, cursor = repository.list("a", before=cursor, limit=4)
        seen += [job.id for job in jobs]
        submitted(repository)  # what comes in meanwhile does not shift the pages
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 25
    assert set(seen) == set(made)
    times = [repository.get(job_id).created_at for job_id in seen]
    assert times == sorted(times, reverse=True)


def test_a_list_is_filtered(repository: JobRepository) -> None:
    good = finished(repository, name="Red shoe 100%")
    bad = finished(repository, FAILED, name="blue shoe", engine="nvdiffrec")
    waiting = submitted(repository, name="hat")

    def ids(**filters: object) -> set[str]:
        return {job.id for job in repository.list("a", **filters)[0]}  # type: ignore[arg-type]

    assert ids(status=[Status.COMPLETED]) == {good.id}
    assert ids(status=[Status.FAILED, Status.QUEUED]) == {bad.id, waiting.id}
    assert ids(engine="nvdiffrec") == {bad.id}
    assert ids(verdict="normal") == {good.id}
    assert ids(name="SHOE") == {good.id, bad.id}
    assert ids(name="100%") == {good.id}
    assert ids(name="%") == {good.id}


CURSORS = [b"", b"null", b"[1, 2]", b'["0001-01-01T00:00:00+23:00", "x"]', b'["2026-01-01T00:00:00+00:00", 1]']


@pytest.mark.parametrize("cursor", ["", "x", "é", "AAAA", *(base64.urlsafe_b64encode(c).decode() for c in CURSORS)])
def test_a_cursor_that_is_none_is_refused(repository: JobRepository, cursor: str) -> None:
    with pytest.raises(InputError) as refusal:
        repository.list("a", before=cursor)
    assert refusal.value.reason == "cursor_invalid"


def test_the_same_content_and_options_find_the_finished_result(repository: JobRepository, clock: Clock) -> None:
    job = finished(repository, options={"faces": 1, "size": 2.0})
    key = ("a", job.input_hash, "fusion")
    found = repository.find_cached(*key, {"size": 2.0, "faces": 1})
    assert found is not None
    assert found.id == job.id
    assert repository.find_cached(*key, {"faces": 2, "size": 2.0}) is None
    assert repository.find_cached("a", "d" * 64, "fusion", job.options) is None
    assert repository.find_cached("a", job.input_hash, "auto", job.options) is None
    clock.advance(repository.settings.result_retention_s)
    assert repository.find_cached(*key, job.options) is None


def test_only_a_completed_job_is_a_cached_result(repository: JobRepository) -> None:
    finished(repository, FAILED), claimed(repository), submitted(repository)
    assert repository.find_cached("a", "c" * 64, "fusion", {}) is None


def test_events_go_on_from_the_one_named(repository: JobRepository) -> None:
    job = claimed(repository)
    other = claimed(repository)
    for each in (job, other):
        repository.heartbeat(each.id, 1, "w", Progress("fuse", 0.5))
        repository.log(each.id, 1, "hello")
    repository.finish(job.id, 1, COMPLETED)
    everything = repository.events_after(job.id, 0)
    assert [event.kind for event in everything] == ["status", "status", "progress", "log", "status"]
    assert everything[-1].data == {"status": "completed", "attempt": 1, "verdict": "normal"}
    for count in range(6):
        last_id = everything[count - 1].id if count else 0
        assert repository.events_after(job.id, last_id) == everything[count:]
    assert repository.events_after(job.id, 0, limit=2) == everything[:2]
    assert repository.events_after("none", 0) == []


def test_counts_ages_and_bytes(repository: JobRepository, clock: Clock) -> None:
    assert repository.oldest_s(Status.QUEUED) is None
    submitted(repository), submitted(repository, device="cuda")
    clock.advance(30)
    finished(repository, tenant="b")
    counts = repository.counts()
    assert (counts["queued"], counts["processing"], counts["completed"]) == ({"cpu": 1, "cuda": 1}, {}, {"cpu": 1})
    assert repository.oldest_s(Status.QUEUED) == 30
    assert (repository.stored_bytes("a"), repository.stored_bytes("b"), repository.stored_bytes("c")) == (200, 115, 0)


def test_log_lines_go_with_the_files(repository: JobRepository, clock: Clock) -> None:
    job = claimed(repository)
    repository.log(job.id, 1, "a secret")
    repository.finish(job.id, 1, COMPLETED)
    repository.delete(job.id, "a")
    repository.files_removed(job.id)
    assert {event.kind for event in repository.events_after(job.id, 0)} == {"status"}
    assert repository.stored_bytes("a") == 0
    clock.advance(1)
    assert repository.expire() == []
