"""What the service answers, as values. Members that this version does not know are kept out of the way, not refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

FINAL = ("completed", "failed", "cancelled")


class Answer(BaseModel):
    """Base of all answers: immutable, and patient with a newer service."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Fault(Answer):
    """The inside of an error envelope."""

    code: str = "UNKNOWN_ERROR"
    message: str = ""
    details: dict[str, Any] = Field(default_factory=dict)
    suggestion: str = ""


class EngineResult(Answer):
    """How one engine of a job ended."""

    status: str
    verdict: str | None = None
    error: Fault | None = None
    quality: dict[str, Any] | None = None


class JobInfo(Answer):
    """A job as the service last told of it."""

    id: str = Field(validation_alias=AliasChoices("job_id", "id"))
    status: str
    progress: int | None = None  # whole percent
    fraction: float | None = None
    name: str | None = None
    engine: str | None = Field(default=None, validation_alias=AliasChoices("engine", "model_type"))
    options: dict[str, Any] = Field(default_factory=dict)
    stage: str | None = None
    message: str | None = None
    eta_s: float | None = None
    queue_position: int | None = None
    attempt: int | None = None
    verdict: str | None = None
    engines: dict[str, EngineResult] | None = None
    choice: str | None = None
    lowered_options: dict[str, Any] | None = None  # of a second run, after memory ran out
    error: Fault | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    pinned: bool | None = None
    expired: bool | None = None  # its files are gone
    cancel: str | None = None  # requested or confirmed
    cached: bool | None = None  # in the answer to a submission: an earlier job of the same bytes and options
    stage_seconds: dict[str, float] | None = None
    duration_s: float | None = None
    peak_memory_bytes: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing will change it any more."""
        return self.status in FINAL


class JobProgress(Answer):
    """A report on the way: ``fraction`` is of the whole job, in 0..1, and never goes back within a run."""

    status: str
    fraction: float = 0.0
    stage: str | None = None
    message: str | None = None
    eta_s: float | None = None
    queue_position: int | None = None


class JobEvent(Answer):
    """An entry of a job's history; a stream of them can be taken up again after any ``id``."""

    id: int
    kind: Literal["status", "progress", "log"] | str
    data: dict[str, Any] = Field(default_factory=dict)


class JobPage(Answer):
    """One page of a listing; ``next`` is the cursor of the one after it."""

    jobs: list[JobInfo]
    next: str | None = Field(default=None, validation_alias=AliasChoices("next_cursor", "next"))
