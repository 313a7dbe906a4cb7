"""Jobs for tests, a clock that tests set, and the law that holds for every job at every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from meshwright.service.db import Database
from meshwright.service.jobs.job import Artifact, Job, NewJob, Outcome, Status, new_job_id
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.jobs.transitions import LEGAL
from meshwright.service.settings import Settings

CPU = ("cpu",)
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COMPLETED = Outcome(
    status=Status.COMPLETED,
    engines={"fusion": {"status": "completed", "verdict": "normal"}},
    verdict="normal",
    artifacts=(Artifact("fusion/mesh.glb", 10, "a" * 64), Artifact("manifest.json", 5, "b" * 64)),
    stage_seconds={"fuse": 1.5},
    peak_memory_bytes=1000,
    choice="fusion: asked for",
)
FAILED = Outcome(
    status=Status.FAILED,
    error={"code": "MODEL_FAILED", "message": "No.", "details": {"reason": "views_inconsistent"}, "suggestion": ""},
)


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def new(**changes: Any) -> NewJob:
    values: dict[str, Any] = {
        "id": new_job_id(),
        "tenant": "a",
        "engine": "fusion",
        "options": {},
        "input_hash": "c" * 64,
        "input_bytes": 100,
    }
    return NewJob(**(values | changes))


def submitted(repository: JobRepository, **changes: Any) -> Job:
    return repository.submit(new(**changes))[0]


def claimed(repository: JobRepository, worker: str = "w", **changes: Any) -> Job:
    job = submitted(repository, **changes)
    taken = repository.claim(worker, devices=(job.device,), job_id=job.id)
    assert taken is not None
    return taken


def finished(repository: JobRepository, outcome: Outcome = COMPLETED, **changes: Any) -> Job:
    job = claimed(repository, **changes)
    assert repository.finish(job.id, job.attempt, outcome)
    return repository.get(job.id)


def with_settings(repository: JobRepository, **changes: Any) -> JobRepository:
    """A repository of the same database with other settings."""
    return JobRepository(repository.database, Settings(**changes))


def open_repository(url: str) -> JobRepository:
    """For another process: the real clock, the default settings."""
    return JobRepository(Database(url), Settings())


def check_history(repository: JobRepository, job: Job) -> None:
    """Events replay to the state that the row has, along arrows that the drawing has; ids and times grow."""
    events = repository.events_after(job.id, 0, limit=10_000)
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert [event.at for event in events] == sorted(event.at for event in events)
    statuses = [event.data for event in events if event.kind == "status"]
    path = [Status(data["status"]) for data in statuses]
    assert path[0] is Status.QUEUED
    assert all(later in LEGAL[earlier] for earlier, later in pairwise(path))
    assert (path[-1], statuses[-1]["attempt"]) == (job.status, job.attempt)
    assert path.count(Status.PROCESSING) == job.attempt
    assert (job.lease_owner is not None) == (job.status is Status.PROCESSING)
    assert (job.finished_at is not None) == (job.outcome is not None) == job.status.is_final
