"""Reading many jobs: pages of a tenant's list, the cache by content, and the counts that metrics show."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from meshwright.errors import InputError
from meshwright.service.db.tables import JobRow
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.rows import options_hash

PAGE_LIMIT = 200


def page(
    session: Session,
    tenant: str,
    *,
    status: Sequence[Status],
    engine: str | None,
    verdict: str | None,
    name: str | None,
    before: str | None,
    limit: int,
) -> tuple[list[JobRow], str | None]:
    """A tenant's jobs, newest first, and the cursor of the next page. Deleted ones are left out.

    Raises:
        InputError: reason ``cursor_invalid``.
    """
    limit = max(1, min(limit, PAGE_LIMIT))
    statement = select(JobRow).where(JobRow.tenant == tenant, JobRow.deleted_at.is_(None))
    if status:
        statement = statement.where(JobRow.status.in_([str(each) for each in status]))
    if engine is not None:
        statement = statement.where(JobRow.engine == engine)
    if verdict is not None:
        statement = statement.where(JobRow.verdict == verdict)
    if name:
        statement = statement.where(JobRow.name.icontains(name, autoescape=True))
    if before is not None:
        at, job_id = _read_cursor(before)
        statement = statement.where(or_(JobRow.created_at < at, and_(JobRow.created_at == at, JobRow.id < job_id)))
    order = (JobRow.created_at.desc(), JobRow.id.desc())
    rows = list(session.scalars(statement.order_by(*order).limit(limit + 1)))
    return rows[:limit], _cursor(rows[limit - 1]) if len(rows) > limit else None


def _cursor(row: JobRow) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.created_at.isoformat(), row.id]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        at, job_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(job_id, str) or "\0" in job_id:
            raise ValueError(cursor)
        return datetime.fromisoformat(at).astimezone(UTC), job_id
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise InputError(
            "The cursor is not one that this list gave out.",
            suggestion="Start at the first page again, without a cursor.",
            reason="cursor_invalid",
        ) from error


def cached(
    session: Session, tenant: str, input_hash: str, engine: str, options: dict[str, Any], now: datetime
) -> JobRow | None:
    """The newest result of the same bytes and options that is still there."""
    return session.scalars(
        select(JobRow)
        .where(
            JobRow.tenant == tenant,
            JobRow.input_hash == input_hash,
            JobRow.engine == engine,
            JobRow.options_hash == options_hash(options),
            JobRow.status == Status.COMPLETED,
            JobRow.deleted_at.is_(None),
            JobRow.expired_at.is_(None),
            or_(JobRow.pinned, JobRow.expires_at > now),
        )
        .order_by(JobRow.finished_at.desc())
        .limit(1)
    ).first()


def counts(session: Session) -> dict[str, dict[str, int]]:
    """How many jobs there are: by status, then by device class."""
    found: dict[str, dict[str, int]] = {str(status): {} for status in Status}
    statement = select(JobRow.status, JobRow.device, func.count()).group_by(JobRow.status, JobRow.device)
    for status, device, count in session.execute(statement):
        found[status][device] = count
    return found


def oldest(session: Session, status: Status) -> datetime | None:
    """Since when the job has waited, or run, that has done so for longest."""
    since = JobRow.queued_at if status is Status.QUEUED else JobRow.started_at
    return session.scalar(select(since).where(JobRow.status == status).order_by(since).limit(1))


def stored_bytes(session: Session, tenant: str) -> int:
    """What a tenant's jobs hold in storage: inputs and results."""
    held = func.sum(JobRow.input_bytes + JobRow.result_bytes)
    return int(session.scalar(select(held).where(JobRow.tenant == tenant, JobRow.files_removed_at.is_(None))) or 0)


def active(session: Session, tenant: str, status: Status) -> int:
    """How many jobs of a tenant have a status."""
    return session.scalar(select(func.count()).where(JobRow.tenant == tenant, JobRow.status == status)) or 0
