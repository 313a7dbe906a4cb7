"""Which job a worker gets next: the tenant with the fewest running jobs first, then priority, then age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, or_, select
from sqlalchemy.orm import Session, aliased

from meshwright.service.db.tables import JobRow
from meshwright.service.jobs.job import Outcome, Status
from meshwright.service.jobs.transitions import end, enter

OVERDUE_AT_ONCE = 50
RUNNING = aliased(JobRow)
LOAD = (  # running jobs by tenant; made once: to build it takes longer than to run it
    select(RUNNING.tenant, func.count().label("jobs"))
    .where(RUNNING.status == Status.PROCESSING)
    .group_by(RUNNING.tenant)
    .subquery()
)
AHEAD = (  # waiting jobs before one of the same device class, by tenant; made once for the same reason
    select(JobRow.tenant, func.count())
    .where(
        JobRow.status == Status.QUEUED,
        JobRow.device == bindparam("device"),
        or_(
            JobRow.priority > bindparam("priority"),
            and_(
                JobRow.priority == bindparam("priority"),
                or_(
                    JobRow.queued_at < bindparam("queued_at"),
                    and_(JobRow.queued_at == bindparam("queued_at"), JobRow.id < bindparam("id")),
                ),
            ),
        ),
    )
    .group_by(JobRow.tenant)
)
PASSED = Outcome(
    status=Status.FAILED,
    error={
        "code": "ENGINE_TIMEOUT",
        "message": "The job waited for a worker until its deadline had passed.",
        "details": {"reason": "deadline_passed"},
        "suggestion": "Submit it again with a later deadline, or without one.",
    },
)


def next_job(
    session: Session,
    now: datetime,
    *,
    devices: Sequence[str],
    engines: Sequence[str] | None,
    job_id: str | None,
    running_limit: int,
) -> JobRow | None:
    """The row to run next, locked; None when nothing waits that this worker may run."""
    waiting = [
        JobRow.status == Status.QUEUED,
        JobRow.device.in_(devices),
        or_(JobRow.not_before.is_(None), JobRow.not_before <= now),
    ]
    if engines is not None:
        waiting.append(JobRow.engine.in_(_runnable(session, frozenset(engines))))
    if job_id is not None:
        waiting.append(JobRow.id == job_id)
    return session.scalars(_fair(waiting, running_limit)).first()


def _fair(waiting: list[ColumnElement[bool]], running_limit: int) -> Select[Any]:
    busy = func.coalesce(LOAD.c.jobs, 0)
    statement = select(JobRow).outerjoin(LOAD, LOAD.c.tenant == JobRow.tenant).where(*waiting)
    if running_limit:
        statement = statement.where(busy < running_limit)
    order = (busy, JobRow.priority.desc(), JobRow.queued_at, JobRow.id)
    return statement.order_by(*order).limit(1).with_for_update(of=JobRow, skip_locked=True)


def _runnable(session: Session, engines: frozenset[str]) -> list[str]:
    """What was asked for by the waiting jobs and needs no engine beyond these; ``auto`` finds one that is here."""
    asked = session.scalars(select(JobRow.engine).where(JobRow.status == Status.QUEUED).distinct())
    return [engine for engine in asked if engine == "auto" or _names(engine) <= engines]


def _names(engine: str) -> frozenset[str]:
    return frozenset(("nvdiffrec", "reconviagen") if engine == "both" else (n.strip() for n in engine.split(",")))


def start(session: Session, row: JobRow, worker: str, now: datetime, lease_s: float) -> None:
    """Give the job to a worker, as its next attempt."""
    row.attempt += 1
    row.lease_owner = worker
    row.lease_until = now + timedelta(seconds=lease_s)
    row.started_at = now
    row.not_before = None
    enter(session, row, Status.PROCESSING, now)


def fail_overdue(session: Session, now: datetime, retention_s: float) -> int:
    """End waiting jobs whose deadline has passed; returns how many."""
    rows = session.scalars(
        select(JobRow)
        .where(JobRow.status == Status.QUEUED, JobRow.deadline_at <= now)
        .limit(OVERDUE_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        end(session, row, PASSED, now, retention_s=retention_s)
    return len(rows)


def position(connection: Connection, row: JobRow) -> int | None:
    """Its place among the waiting jobs of its device class, 1 being next, when tenants take turns."""
    if row.status != Status.QUEUED:
        return None
    own_place = {"device": row.device, "priority": row.priority, "queued_at": row.queued_at, "id": row.id}
    ahead: dict[str, int] = {tenant: count for tenant, count in connection.execute(AHEAD, own_place)}
    own = ahead.pop(row.tenant, 0)
    return 1 + own + sum(min(count, own + 1) for count in ahead.values())
