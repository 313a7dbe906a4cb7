"""A job as a frozen value: what was asked, where it stands, how it ended."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

LOCAL = "local"  # the tenant of a service that runs open


class Status(StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def new_job_id() -> str:
    """128 random bits, URL-safe, 22 characters; none begins with a dash, which a shell takes for an option."""
    while (job_id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return job_id


@dataclass(frozen=True)
class NewJob:
    """What a submission asks for. The input lies in storage under ``jobs/<id>/input/`` already."""

    id: str
    tenant: str
    engine: str  # as asked: a name, several with commas, "both" or "auto"
    options: dict[str, Any]  # of the engine, checked
    input_hash: str  # sha256 over the files' names and hashes, hex
    input_bytes: int
    name: str | None = None
    webhook_url: str | None = None
    deadline_s: float | None = None  # seconds from now after which it is not worth running
    retention_s: float | None = None  # None: the service's
    device: str = "cpu"  # the class of worker it needs: "cpu" or "cuda"
    priority: int = 0


@dataclass(frozen=True)
class Progress:
    """A report from a running attempt; ``fraction`` is of the whole job and never goes back."""

    stage: str
    fraction: float
    message: str = ""
    eta_s: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Artifact:
    """One file of a published result: its path in the package, and its place in storage."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: completed with a package, or failed with an error envelope.

    ``engines`` maps each engine to ``{"status", "error", "verdict", "quality"}``; ``error`` is the inside of the error
    envelope (code, message, details, suggestion).
    """

    status: Status
    engines: dict[str, Any] = field(default_factory=dict)
    verdict: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    error: dict[str, Any] | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    choice: str = ""  # which engines ran and why
    lowered: dict[str, Any] | None = None  # options of a second run after memory ran out


@dataclass(frozen=True)
class Job:
    """One row of the table of jobs."""

    id: str
    tenant: str
    name: str | None
    status: Status
    engine: str
    options: dict[str, Any]
    device: str
    priority: int
    input_hash: str
    input_bytes: int
    webhook_url: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    expires_at: datetime | None
    pinned: bool
    attempt: int
    crashes: int
    errors: int
    lease_owner: str | None
    lease_until: datetime | None
    cancel_requested_at: datetime | None
    cancel_confirmed_at: datetime | None
    stage: str | None
    fraction: float
    message: str | None
    eta_s: float | None
    peak_memory_bytes: int | None
    outcome: Outcome | None
    queue_position: int | None = None  # 1 is next; only while queued, and only where it was asked for
    retention_s: float | None = None  # how long its result is kept after its end; None: the service's
    expired_at: datetime | None = None  # since when its files are not given out
    deleted_at: datetime | None = None  # the same, because the client asked for it

    @property
    def is_gone(self) -> bool:
        """Whether its files are not given out any more; its row stays."""
        return self.expired_at is not None or self.deleted_at is not None

    @property
    def progress(self) -> int:
        """Whole percent; 100 only when completed."""
        return 100 if self.status is Status.COMPLETED else min(int(self.fraction * 100), 99)

    @property
    def result_prefix(self) -> str:
        """Where the published attempt lies in storage."""
        return attempt_prefix(self.id, self.attempt)


def input_prefix(job_id: str) -> str:
    """Where a job's input lies in storage."""
    return f"jobs/{job_id}/input"


def attempt_prefix(job_id: str, attempt: int) -> str:
    """Where an attempt writes its result in storage; published by one write to the database."""
    return f"jobs/{job_id}/attempt-{attempt}"
