"""Jobs as answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from meshwright.engines.registry import engine_names
from meshwright.service.http.schemas import (
    ArtifactInfo,
    ArtifactList,
    EngineState,
    ErrorInfo,
    JobView,
    Submitted,
)
from meshwright.service.jobs.job import Job, Outcome, Status
from meshwright.service.storage.store import Store

SIGNED_S = 900
NO_OUTCOME = Outcome(status=Status.QUEUED)


def job_view(job: Job) -> JobView:
    """Everything that its owner may know of a job."""
    outcome = job.outcome or NO_OUTCOME
    return JobView(
        job_id=job.id,
        status=job.status,
        progress=job.progress,
        current_model=_current_model(job),
        created_at=job.created_at,
        updated_at=job.updated_at,
        error=error_info(outcome.error),
        model_type=job.engine,
        name=job.name,
        stage=job.stage,
        message=job.message,
        fraction=job.fraction,
        eta_s=job.eta_s,
        queue_position=job.queue_position,
        attempt=job.attempt,
        started_at=job.started_at,
        finished_at=job.finished_at,
        deadline_at=job.deadline_at,
        expires_at=None if job.pinned else job.expires_at,
        pinned=job.pinned,
        expired=job.is_gone,
        cancel=_cancel(job),
        verdict=outcome.verdict,
        engines={name: _engine_state(state) for name, state in outcome.engines.items()},
        choice=outcome.choice or None,
        options=job.options,
        lowered_options=outcome.lowered,
        stage_seconds=outcome.stage_seconds,
        duration_s=_duration(job),
        peak_memory_bytes=job.peak_memory_bytes,
        input_bytes=job.input_bytes,
        input_sha256=job.input_hash,
        artifact_count=len(outcome.artifacts),
    )


def submitted(job: Job, *, cached: bool = False) -> Submitted:
    """A job that was accepted now, or was there already."""
    return Submitted(
        job_id=job.id,
        status=job.status,
        model_type=job.engine,
        created_at=job.created_at,
        name=job.name,
        cached=cached,
        queue_position=job.queue_position,
    )


def artifact_list(job: Job, store: Store, base: str) -> ArtifactList:
    """The files of a result, with their URLs."""
    artifacts = (job.outcome or NO_OUTCOME).artifacts
    return ArtifactList(
        job_id=job.id,
        attempt=job.attempt,
        artifacts=[
            ArtifactInfo(
                path=artifact.path,
                size=artifact.size,
                sha256=artifact.sha256,
                url=f"{base}/jobs/{job.id}/artifacts/{quote(artifact.path)}",
                signed_url=store.sign(f"{job.result_prefix}/{artifact.path}", SIGNED_S),
            )
            for artifact in artifacts
        ],
    )


def error_info(error: dict[str, Any] | None) -> ErrorInfo | None:
    """The inside of an error envelope as stored with a job; members that are missing are empty."""
    if error is None:
        return None
    return ErrorInfo(
        code=error.get("code", "UNKNOWN_ERROR"),
        message=error.get("message", ""),
        details=error.get("details") or {},
        suggestion=error.get("suggestion") or "",
    )


def _engine_state(state: dict[str, Any]) -> EngineState:
    return EngineState(
        status=state.get("status", "failed"),
        verdict=state.get("verdict"),
        error=error_info(state.get("error")),
        quality=state.get("quality"),
    )


def _current_model(job: Job) -> str | None:
    """The engine whose stage it is; before any engine has its turn, the one that was asked for."""
    if job.status is not Status.PROCESSING:
        return None
    words = (job.stage or "").split("/")
    running = next((word for word in words if word in engine_names()), None)
    return running or (job.engine if job.engine in engine_names() else None)


def _cancel(job: Job) -> Any:
    if job.cancel_confirmed_at is not None:
        return "confirmed"
    return "requested" if job.cancel_requested_at is not None else None


def _duration(job: Job) -> float | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return round((job.finished_at - job.started_at).total_seconds(), 3)
