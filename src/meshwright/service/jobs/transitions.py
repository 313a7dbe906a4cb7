"""What a job may become; every change of a status goes through :func:`enter`.

::

    submit                      deadline passed, or the last crash
      │        ┌───────────────────────────────────────────────┐
      ▼        │                                               ▼
    queued ────┴─ claim ──▶ processing ──── finish ──▶ completed | failed
      ▲ │                    │      │                          │
      │ └─ cancel ──────┐    │      └── cancel ──▶ cancelled   │
      │                 └────┼─────────────────▶     │         │
      ├──── released, ───────┘                       │         │
      │     or crashed once                          │         │
      └──────────────────────── retry ───────────────┴─────────┘

The job's row is locked by the caller. With the status come, in the same transaction: an event, and at the end of a job
its time of expiry and the webhook it asked for.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from meshwright.service.db.tables import DeliveryRow, JobRow
from meshwright.service.jobs import events
from meshwright.service.jobs.job import Outcome, Status
from meshwright.service.jobs.rows import outcome_to_json

FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
LEGAL: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELLED}),
    Status.PROCESSING: frozenset({Status.QUEUED, *FINAL}),
    **{status: frozenset({Status.QUEUED}) for status in FINAL},
}


class IllegalTransition(Exception):
    """A fault of this program: a change of status that the drawing above does not have."""


def enter(session: Session, row: JobRow, status: Status, now: datetime, **data: Any) -> None:
    """Change the status and append the event; ``data`` goes into it where it is not None.

    Raises:
        IllegalTransition: when the drawing has no such arrow.
    """
    if status not in LEGAL[Status(row.status)]:
        raise IllegalTransition(f"{row.id}: {row.status} to {status}")
    row.status = status
    announce(session, row, now, **data)


def announce(session: Session, row: JobRow, now: datetime, **data: Any) -> None:
    """Append the event of the status that a row has."""
    row.updated_at = now
    said = {key: value for key, value in data.items() if value is not None}
    events.append(session, row.id, "status", now, {"status": str(row.status), "attempt": row.attempt, **said})


def queue_again(session: Session, row: JobRow, now: datetime, *, reason: str, not_before_s: float = 0) -> None:
    """Back into the queue, at its old place."""
    _drop_lease(row)
    row.announced_at = now
    row.not_before = now + timedelta(seconds=not_before_s) if not_before_s > 0 else None
    enter(session, row, Status.QUEUED, now, reason=reason)


def end(session: Session, row: JobRow, outcome: Outcome, now: datetime, *, retention_s: float) -> None:
    """To a final status, with what belongs to it."""
    _drop_lease(row)
    row.outcome = outcome_to_json(outcome)
    row.verdict = outcome.verdict
    row.result_bytes = sum(artifact.size for artifact in outcome.artifacts)
    row.finished_at = now
    row.expires_at = now + timedelta(seconds=row.retention_s or retention_s)
    if outcome.status is Status.COMPLETED:
        row.fraction = 1.0
    if outcome.status is Status.FAILED:
        row.errors += 1
    row.peak_memory_bytes = max(row.peak_memory_bytes or 0, outcome.peak_memory_bytes or 0) or None
    row.eta_s = None
    error = outcome.error or {}
    reason = error.get("details", {}).get("reason")
    enter(session, row, outcome.status, now, error_code=error.get("code"), verdict=outcome.verdict, reason=reason)
    if row.webhook_url:
        session.add(_delivery(row, outcome, now))


def _drop_lease(row: JobRow) -> None:
    row.lease_owner = None
    row.lease_until = None


def _delivery(row: JobRow, outcome: Outcome, now: datetime) -> DeliveryRow:
    kind = f"job.{outcome.status}"
    started = row.started_at.isoformat() if row.started_at else None
    summary = {
        "id": row.id,
        "name": row.name,
        "status": str(outcome.status),
        "engine": row.engine,
        "attempt": row.attempt,
        "verdict": outcome.verdict,
        "error": outcome.error,
        "created_at": row.created_at.isoformat(),
        "started_at": started,
        "finished_at": now.isoformat(),
    }
    return DeliveryRow(
        id=f"msg_{secrets.token_urlsafe(16)}",
        job_id=row.id,
        tenant=row.tenant,
        url=row.webhook_url or "",
        event=kind,
        payload={"type": kind, "timestamp": now.isoformat(), "data": summary},
        created_at=now,
        due_at=now,
    )
