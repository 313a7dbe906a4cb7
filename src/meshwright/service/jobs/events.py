"""What happened to a job, in order: what the event stream replays and the repository appends to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from meshwright.service.db.tables import EventRow

EventKind = Literal["status", "progress", "log"]
LINE_LENGTH = 2000  # characters of a log line that are kept
LOG_LIMIT = 5000  # log lines of a job that are kept


@dataclass(frozen=True)
class Event:
    """One event; ``id`` grows, and is what a client names to go on from (``Last-Event-ID``).

    ``data`` of a status: status, attempt and where they apply error_code, verdict and reason; of progress: stage,
    fraction, message, eta_s; of a log line: line, attempt.
    """

    id: int
    job_id: str
    kind: EventKind
    at: datetime
    data: dict[str, Any]


def append(session: Session, job_id: str, kind: EventKind, at: datetime, data: dict[str, Any]) -> None:
    """Add an event to the transaction that makes it true. The job's row must be locked: that keeps ids in order."""
    session.add(EventRow(job_id=job_id, kind=kind, at=at, data=data))


def after(session: Session, job_id: str, last_id: int, limit: int) -> list[Event]:
    """The events of a job after the one named, oldest first."""
    rows = session.scalars(
        select(EventRow).where(EventRow.job_id == job_id, EventRow.id > last_id).order_by(EventRow.id).limit(limit)
    )
    return [
        Event(id=row.id, job_id=row.job_id, kind=cast("EventKind", row.kind), at=row.at, data=row.data) for row in rows
    ]
