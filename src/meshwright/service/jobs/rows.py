"""Between a row of the table and the values that the rest of the service sees."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from meshwright.service.db.tables import JobRow
from meshwright.service.jobs.job import Artifact, Job, NewJob, Outcome, Status


def to_job(row: JobRow, position: int | None = None) -> Job:
    """The row as a frozen value."""
    return Job(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        status=Status(row.status),
        engine=row.engine,
        options=row.options,
        device=row.device,
        priority=row.priority,
        input_hash=row.input_hash,
        input_bytes=row.input_bytes,
        webhook_url=row.webhook_url,
        created_at=row.created_at,
        updated_at=row.updated_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        deadline_at=row.deadline_at,
        expires_at=row.expires_at,
        pinned=row.pinned,
        attempt=row.attempt,
        crashes=row.crashes,
        errors=row.errors,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        cancel_requested_at=row.cancel_requested_at,
        cancel_confirmed_at=row.cancel_confirmed_at,
        stage=row.stage,
        fraction=row.fraction,
        message=row.message,
        eta_s=row.eta_s,
        peak_memory_bytes=row.peak_memory_bytes,
        outcome=None if row.outcome is None else outcome_from_json(row.outcome),
        queue_position=position,
        retention_s=row.retention_s,
        expired_at=row.expired_at,
        deleted_at=row.deleted_at,
    )


def new_row(new: NewJob, now: datetime) -> JobRow:
    """The row of a job that has just been submitted."""
    return JobRow(
        id=new.id,
        tenant=new.tenant,
        name=new.name,
        status=Status.QUEUED,
        engine=new.engine,
        options=clean(new.options),
        options_hash=options_hash(new.options),
        device=new.device,
        priority=new.priority,
        input_hash=new.input_hash,
        input_bytes=new.input_bytes,
        result_bytes=0,
        webhook_url=new.webhook_url,
        retention_s=new.retention_s,
        created_at=now,
        updated_at=now,
        queued_at=now,
        announced_at=now,
        deadline_at=None if new.deadline_s is None else now + timedelta(seconds=new.deadline_s),
        pinned=False,
        attempt=0,
        crashes=0,
        errors=0,
        fraction=0.0,
        log_lines=0,
    )


def start_over(row: JobRow, now: datetime) -> None:
    """As it was before its first attempt, but for the number of attempts."""
    row.queued_at = row.announced_at = now
    row.crashes = row.errors = 0
    row.result_bytes = 0
    row.fraction = 0.0
    row.stage = row.message = row.eta_s = row.peak_memory_bytes = None
    row.verdict = row.outcome = None
    row.not_before = row.started_at = row.finished_at = row.deadline_at = row.expires_at = None
    row.cancel_requested_at = row.cancel_confirmed_at = None


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """As it is stored."""
    return clean({**asdict(outcome), "status": outcome.status.value})


def outcome_from_json(stored: dict[str, Any]) -> Outcome:
    """As it was before it was stored."""
    artifacts = tuple(Artifact(**entry) for entry in stored["artifacts"])
    values: dict[str, Any] = {**stored, "status": Status(stored["status"]), "artifacts": artifacts}
    return Outcome(**values)


def options_hash(options: dict[str, Any]) -> str:
    """Equal for equal options, whatever their order."""
    return hashlib.sha256(json.dumps(clean(options), sort_keys=True).encode()).hexdigest()


def clean(value: Any) -> Any:
    """As JSON that every database takes: numbers that are none become null, NUL characters go."""
    if isinstance(value, dict):
        return {str(key): clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [clean(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return clean_text(value) if isinstance(value, str) else value


def clean_text(text: str, limit: int | None = None) -> str:
    """Text without what PostgreSQL refuses, of at most ``limit`` characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:limit]
