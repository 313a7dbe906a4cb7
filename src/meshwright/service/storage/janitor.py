"""Removes what nobody needs any more: expired and deleted results, leftovers of attempts and of crashes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meshwright.service.failpoints import failpoint
from meshwright.service.jobs.job import Job, Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.storage.store import Store

ORPHAN_S = 3600.0  # what is younger may belong to a submission or an attempt that is under way
IDS_AT_ONCE = 200


@dataclass(frozen=True)
class Swept:
    """What a round has removed: whole jobs, folders without a row, folders of attempts, temporary files."""

    expired: int = 0
    orphans: int = 0
    attempts: int = 0
    temporaries: int = 0


def remove_expired(repository: JobRepository, store: Store) -> int:
    """Remove the files of expired and deleted jobs; what a crash left half done is done by the next round."""
    jobs = repository.expire()
    for job in jobs:
        failpoint("janitor.before_delete")
        store.delete_prefix(f"jobs/{job.id}")
        failpoint("janitor.after_delete")
        repository.files_removed(job.id)
    return len(jobs)


def sweep_files(repository: JobRepository, store: Store, *, older_s: float = ORPHAN_S) -> Swept:
    """A whole round; it lists the storage, so once an hour is often enough."""
    expired = remove_expired(repository, store)
    orphans = attempts = 0
    ids = store.children("jobs")
    before = datetime.now(UTC) - timedelta(seconds=older_s)
    for first in range(0, len(ids), IDS_AT_ONCE):
        some = ids[first : first + IDS_AT_ONCE]
        jobs = repository.existing(some)
        for job_id in some:
            job = jobs.get(job_id)
            if job is None:
                orphans += _remove_old(store, f"jobs/{job_id}", before)
            else:
                attempts += _remove_attempts(store, job, before)
    return Swept(expired, orphans, attempts, store.remove_temporaries(older_s))


def _remove_attempts(store: Store, job: Job, before: datetime) -> int:
    """Remove the folders of attempts that were not published; a running attempt's is kept."""
    if job.status is Status.COMPLETED and job.attempt <= 1:
        return 0  # there was no other attempt
    is_kept = job.status in (Status.COMPLETED, Status.PROCESSING)
    kept = {"input", f"attempt-{job.attempt}"} if is_kept else {"input"}
    others = [name for name in store.children(f"jobs/{job.id}") if name not in kept]
    return sum(_remove_old(store, f"jobs/{job.id}/{name}", before) for name in others)


def _remove_old(store: Store, prefix: str, before: datetime) -> bool:
    entries = store.entries(prefix)
    if not entries or any(entry.modified > before for entry in entries):
        return False  # a folder without a finished file may be one that is being written to at this moment
    store.delete_prefix(prefix)
    return True
