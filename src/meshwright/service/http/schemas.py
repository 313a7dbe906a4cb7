"""What the service answers: one model for each answer, with an example. The reference's members come first."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from meshwright.service.http.answers import Answer
from meshwright.service.jobs.job import Status

JOB_ID = "Vq3p0d7RSTyGyv2xk1mZ8w"
NOW = "2026-11-27T15:04:05.120000Z"
ERROR = {
    "code": "INVALID_FILE_COUNT",
    "message": "There are 6 views and 5 depth files.",
    "details": {"reason": "depth_count", "views": 6, "files": 5},
    "suggestion": "Send one depth file for each view, in the same order, or none at all.",
}


def example(value: dict[str, Any]) -> ConfigDict:
    """The model's configuration with its example."""
    return ConfigDict(frozen=True, json_schema_extra={"example": value})


class ErrorInfo(Answer):
    """What went wrong: a stable code, a sentence, values for programs, and what to do."""

    model_config = example(ERROR)
    code: str
    message: str
    details: dict[str, Any]
    suggestion: str


class Problem(Answer):
    """Any error: the envelope, and the members of RFC 9457 beside it."""

    model_config = example(
        {
            "error": ERROR,
            "type": "urn:meshwright:error:INVALID_FILE_COUNT",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": ERROR["message"],
            "instance": "/v1/jobs",
            "request_id": "5f0c1d2e3a4b5c6d",
        }
    )
    error: ErrorInfo
    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None


class Submitted(Answer):
    """An accepted job."""

    model_config = example(
        {
            "job_id": JOB_ID,
            "status": "queued",
            "model_type": "auto",
            "created_at": NOW,
            "name": "red robot",
            "cached": False,
            "queue_position": 1,
        }
    )
    job_id: str
    status: Status
    model_type: str
    created_at: datetime
    name: str | None
    cached: bool = Field(description="Whether this is an earlier job of the same bytes and options.")
    queue_position: int | None


class EngineState(Answer):
    """What one engine of a job did."""

    status: Literal["completed", "failed"] | str
    verdict: str | None = None
    error: ErrorInfo | None = None
    quality: dict[str, Any] | None = None


class JobView(Answer):
    """A job as it stands."""

    model_config = example(
        {
            "job_id": JOB_ID,
            "status": "processing",
            "progress": 42,
            "current_model": "fusion",
            "created_at": NOW,
            "updated_at": NOW,
            "error": None,
            "model_type": "fusion",
            "name": "red robot",
            "stage": "fusion/fuse",
            "message": "carving",
            "fraction": 0.42,
            "eta_s": 12.5,
            "queue_position": None,
            "attempt": 1,
            "started_at": NOW,
            "finished_at": None,
            "deadline_at": None,
            "expires_at": None,
            "pinned": False,
            "expired": False,
            "cancel": None,
            "verdict": None,
            "engines": {},
            "choice": None,
            "options": {"faces": 20000},
            "lowered_options": None,
            "stage_seconds": {},
            "duration_s": None,
            "peak_memory_bytes": 734003200,
            "input_bytes": 9437184,
            "input_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "artifact_count": 0,
        }
    )
    job_id: str
    status: Status
    progress: int = Field(ge=0, le=100, description="Percent; it never goes back within an attempt.")
    current_model: str | None = Field(description="The engine that runs.")
    created_at: datetime
    updated_at: datetime
    error: ErrorInfo | None
    model_type: str
    name: str | None
    stage: str | None
    message: str | None
    fraction: float
    eta_s: float | None = Field(description="Seconds that are left, as measured on earlier jobs.")
    queue_position: int | None = Field(description="1 is next; only while queued.")
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    expires_at: datetime | None
    pinned: bool
    expired: bool = Field(description="Whether its files are gone.")
    cancel: Literal["requested", "confirmed"] | None
    verdict: str | None = Field(description="Quality of the best mesh: normal, warning or failure.")
    engines: dict[str, EngineState]
    choice: str | None = Field(description="Which engines ran, and why.")
    options: dict[str, Any]
    lowered_options: dict[str, Any] | None = Field(description="Options of a second run after memory ran out.")
    stage_seconds: dict[str, float]
    duration_s: float | None = Field(description="From the start of the last attempt to its end.")
    peak_memory_bytes: int | None
    input_bytes: int
    input_sha256: str
    artifact_count: int


class JobPage(Answer):
    """A page of jobs, newest first."""

    model_config = example({"jobs": [], "next_cursor": None})
    jobs: list[JobView]
    next_cursor: str | None = Field(description="Give it as cursor to get the next page; null on the last.")


class CancelAnswer(Answer):
    """Where a cancellation stands."""

    model_config = example(
        {
            "job_id": JOB_ID,
            "status": "cancel_requested",
            "message": 'Confirm the cancellation with {"confirm": true}; the job goes on until then.',
        }
    )
    job_id: str
    status: Literal["cancel_requested", "cancelling", "cancelled"]
    message: str


class Deleted(Answer):
    """A deleted job: its files are given out no more."""

    model_config = example({"job_id": JOB_ID, "deleted": True})
    job_id: str
    deleted: bool


class ArtifactInfo(Answer):
    """One file of a result."""

    model_config = example(
        {
            "path": "fusion/mesh.glb",
            "size": 2432696,
            "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "url": f"/v1/jobs/{JOB_ID}/artifacts/fusion/mesh.glb",
            "signed_url": None,
        }
    )
    path: str
    size: int
    sha256: str
    url: str
    signed_url: str | None = Field(description="A URL of the object storage that works for 15 minutes, on S3.")


class ArtifactList(Answer):
    """The files of a result."""

    job_id: str
    attempt: int
    artifacts: list[ArtifactInfo]


class BatchItem(Answer):
    """One capture of a batch: the job that it became, or why it was not accepted."""

    index: int
    file: str
    job: Submitted | None
    error: ErrorInfo | None


class BatchAnswer(Answer):
    """What became of each archive of a batch, in the order of the upload."""

    accepted: int
    items: list[BatchItem]


class OptionView(Answer):
    """One option of an engine."""

    name: str
    type: str
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]


class EngineView(Answer):
    """An engine, and whether the machine of this API can run it."""

    name: str
    summary: str
    available: bool
    accelerated: bool
    reason: str
    how: str = Field(description="How to get it, where it is not available.")
    options: list[OptionView]


class EngineList(Answer):
    """The engines, and what else may be asked for as model_type."""

    engines: list[EngineView]
    choices: list[str]


class GpuInfo(Answer):
    """The first GPU of this machine, in the reference's members."""

    name: str
    driver_version: str
    memory_total_gb: float
    memory_free_gb: float
    memory_used_gb: float


class Health(Answer):
    """The service can serve; ``gpu`` is null where there is none."""

    model_config = example({"status": "healthy", "gpu": None, "version": "0.1.0"})
    status: Literal["healthy", "unhealthy"]
    gpu: GpuInfo | None
    version: str


class Check(Answer):
    """One condition of being ready."""

    name: str
    ok: bool
    message: str


class Readiness(Answer):
    """Whether new work is accepted, and which condition says no."""

    model_config = example({"ready": True, "checks": [{"name": "database", "ok": True, "message": ""}]})
    ready: bool
    checks: list[Check]


class DeliveryView(Answer):
    """One webhook of a job, and what became of it."""

    id: str
    event: str
    created_at: datetime
    due_at: datetime | None
    tries: int
    delivered_at: datetime | None
    abandoned_at: datetime | None
    last_status: int | None
    last_error: str | None


class DeliveryList(Answer):
    """The webhooks of a job, oldest first."""

    deliveries: list[DeliveryView]
