"""The janitor removes what nobody needs, and nothing else."""

from __future__ import annotations

import pytest

from meshwright.service import failpoints
from meshwright.service.failpoints import VARIABLE
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.storage import Store
from meshwright.service.storage.janitor import Swept, remove_expired, sweep_files
from service.jobs.making import CPU, FAILED, Clock, claimed, finished, submitted


def fill(store: Store, job_id: str, *folders: str) -> None:
    for folder in folders:
        store.put_bytes(f"jobs/{job_id}/{folder}/file", b"x")


def kept(store: Store) -> set[str]:
    return {key.removeprefix("jobs/").removesuffix("/file") for key, _ in store.list("jobs")}


def test_expired_and_deleted_jobs_lose_their_files(store: Store, repository: JobRepository, clock: Clock) -> None:
    expired, deleted, pinned = (finished(repository) for _ in range(3))
    repository.pin(pinned.id, "a", True)
    clock.advance(repository.settings.result_retention_s + 1)
    fresh = finished(repository)
    repository.delete(deleted.id, "a")
    for job in (expired, deleted, pinned, fresh):
        fill(store, job.id, "input", "attempt-1")
    assert remove_expired(repository, store) == 2
    assert kept(store) == {f"{job.id}/{folder}" for job in (pinned, fresh) for folder in ("input", "attempt-1")}
    assert remove_expired(repository, store) == 0
    assert repository.get(expired.id).is_gone


@pytest.mark.parametrize("stage", ["janitor.before_delete", "janitor.after_delete"])
def test_a_janitor_that_died_is_followed_by_one_that_finishes(
    store: Store, repository: JobRepository, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    jobs = [finished(repository) for _ in range(3)]
    for job in jobs:
        fill(store, job.id, "input", "attempt-1")
        repository.delete(job.id, "a")
    failpoints.reset()
    monkeypatch.setenv(VARIABLE, f"{stage}:2:raise")
    with pytest.raises(OSError, match="janitor"):
        remove_expired(repository, store)
    monkeypatch.delenv(VARIABLE)
    assert remove_expired(repository, store) == 2
    assert kept(store) == set()


def test_folders_without_a_job_go_when_they_are_old(store: Store, repository: JobRepository) -> None:
    job = submitted(repository)
    fill(store, job.id, "input")
    fill(store, "orphan", "input", "attempt-3")
    assert sweep_files(repository, store) == Swept(), "it may be a submission that is under way"
    assert sweep_files(repository, store, older_s=-60) == Swept(orphans=1)
    assert kept(store) == {f"{job.id}/input"}


def test_only_the_published_attempt_is_kept(store: Store, repository: JobRepository) -> None:
    done = claimed(repository)
    repository.release(done.id, 1, crashed=True)
    assert repository.claim("w", devices=CPU) is not None
    running, waiting, failed, first = (
        claimed(repository), submitted(repository), finished(repository, FAILED), finished(repository)
    )  # fmt: skip
    repository.finish(done.id, 2, FAILED)
    repository.retry(done.id, "a")
    assert repository.claim("w", devices=CPU, job_id=done.id) is not None
    for job in (done, running, waiting, failed, first):
        fill(store, job.id, "input", "attempt-1", "attempt-3")
    swept = sweep_files(repository, store, older_s=-60)
    assert kept(store) >= {f"{job.id}/input" for job in (done, running, waiting, failed, first)}
    assert kept(store) - {f"{first.id}/attempt-3"} == {
        *(f"{job.id}/input" for job in (done, running, waiting, failed, first)),
        f"{done.id}/attempt-3",
        f"{running.id}/attempt-1",
        f"{first.id}/attempt-1",
    }
    assert swept == Swept(attempts=6)


def test_young_leftovers_of_attempts_are_left(store: Store, repository: JobRepository) -> None:
    job = finished(repository, FAILED)
    fill(store, job.id, "input", "attempt-1")
    assert sweep_files(repository, store) == Swept()
