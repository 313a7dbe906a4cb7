"""The rows of webhooks to be sent: claimed under a lease, tried over a day, given up, and sent again on request.

A row is written with the job change it tells of (``jobs/``). It is sent at least once; over all tries, and when it is
replayed, its id is the same, so that a receiver can leave out what it has had. Order is not promised.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from meshwright.errors import JobNotFound
from meshwright.service.db import Database
from meshwright.service.db.tables import DeliveryRow

# When the tries are due after the first one (Standard Webhooks); a setting may end them sooner.
LADDER_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
GONE = 410
MAX_ERROR = 200


@dataclass(frozen=True)
class Delivery:
    """One webhook. ``lease`` proves that whoever writes its end is who claimed it."""

    id: str
    job_id: str
    tenant: str
    url: str
    event: str
    payload: dict[str, Any]
    tries: int  # with the present one
    created_at: datetime
    due_at: datetime | None
    delivered_at: datetime | None
    abandoned_at: datetime | None
    last_status: int | None
    last_error: str | None
    lease: str | None = None


class Outbox:
    """The webhooks of a database; ``tries`` is how often one is tried."""

    def __init__(self, database: Database, *, tries: int = len(LADDER_S), lease_s: float = 60.0) -> None:
        self.database = database
        self.tries = tries
        self.lease_s = lease_s

    def claim(self, limit: int = 16) -> list[Delivery]:
        """The webhooks that are due, longest due first, for this caller alone until the lease ends."""
        with self.database.read() as session:  # most looks find nothing: they cost no write lock
            due = select(DeliveryRow.id).where(_is_due(self.database.now(session))).limit(1)
            if session.execute(due).first() is None:
                return []
        return self.database.run(lambda session: self._claim(session, limit))

    def _claim(self, session: Session, limit: int) -> list[Delivery]:
        now = self.database.now(session)
        query = select(DeliveryRow).where(_is_due(now)).order_by(DeliveryRow.due_at).limit(limit)
        rows = session.execute(query.with_for_update(skip_locked=True)).scalars().all()
        lease = secrets.token_hex(8)
        claimed: list[Delivery] = []
        for row in rows:
            if self._is_gone(session, row):
                _abandon(row, now, f"The endpoint answered {GONE} before.")
                continue
            row.tries += 1
            row.lease_owner, row.lease_until = lease, now + timedelta(seconds=self.lease_s)
            claimed.append(_value(row))
        return claimed

    def _is_gone(self, session: Session, row: DeliveryRow) -> bool:
        return session.execute(select(DeliveryRow.id).where(_gone_at(row)).limit(1)).first() is not None

    def succeed(self, delivery: Delivery, status: int) -> None:
        """Write down that it was received."""

        def work(session: Session) -> None:
            row = _leased(session, delivery)
            if row is not None:
                row.delivered_at = self.database.now(session)
                row.due_at = row.lease_owner = row.lease_until = row.last_error = None
                row.last_status = status

        self.database.run(work)

    def fail(self, delivery: Delivery, error: str, status: int | None = None) -> None:
        """Write down a failed try: it is due again, or given up after the last one; 410 closes the endpoint."""

        def work(session: Session) -> None:
            row = _leased(session, delivery)
            if row is None:
                return
            now = self.database.now(session)
            row.last_status, row.last_error = status, error[:MAX_ERROR]
            row.lease_owner = row.lease_until = None
            if status == GONE or row.tries >= self.tries:
                _abandon(row, now, error)
            else:
                row.due_at = now + pause_after(row.tries)

        self.database.run(work)

    def of_job(self, job_id: str, tenant: str) -> list[Delivery]:
        """The webhooks of a job, oldest first."""
        query = select(DeliveryRow).where(DeliveryRow.job_id == job_id, DeliveryRow.tenant == tenant)
        with self.database.read() as session:
            return [_value(row) for row in session.execute(query.order_by(DeliveryRow.created_at)).scalars()]

    def replay(self, delivery_id: str, tenant: str) -> Delivery:
        """Send one again now, with its old id and a full count of tries; a closed endpoint is opened by it.

        Raises:
            JobNotFound: reason ``delivery_unknown``, also for another tenant's.
        """

        def work(session: Session) -> Delivery:
            row = session.get(DeliveryRow, delivery_id, with_for_update=True)
            if row is None or row.tenant != tenant:
                raise JobNotFound(
                    "There is no such webhook delivery.", suggestion="Check its id.", reason="delivery_unknown"
                )
            session.execute(update(DeliveryRow).where(_gone_at(row)).values(last_status=None))
            row.due_at, row.tries = self.database.now(session), 0
            row.delivered_at = row.abandoned_at = row.last_status = row.lease_owner = row.lease_until = None
            return _value(row)

        return self.database.run(work)


def pause_after(tries: int) -> timedelta:
    """The time from a failed try to the next; ``tries`` counts those that were made."""
    last = len(LADDER_S) - 1
    return timedelta(seconds=LADDER_S[min(tries, last)] - LADDER_S[min(tries, last) - 1])


def _is_due(now: datetime) -> ColumnElement[bool]:
    is_free = or_(DeliveryRow.lease_until.is_(None), DeliveryRow.lease_until < now)
    return DeliveryRow.due_at.is_not(None) & (DeliveryRow.due_at <= now) & is_free


def _gone_at(row: DeliveryRow) -> ColumnElement[bool]:
    is_same = (DeliveryRow.tenant == row.tenant) & (DeliveryRow.url == row.url)
    return is_same & (DeliveryRow.last_status == GONE)


def _leased(session: Session, delivery: Delivery) -> DeliveryRow | None:
    row = session.get(DeliveryRow, delivery.id, with_for_update=True)
    return row if row is not None and delivery.lease and row.lease_owner == delivery.lease else None


def _abandon(row: DeliveryRow, now: datetime, error: str) -> None:
    row.abandoned_at, row.due_at, row.last_error = now, None, error[:MAX_ERROR]


def _value(row: DeliveryRow) -> Delivery:
    return Delivery(
        id=row.id,
        job_id=row.job_id,
        tenant=row.tenant,
        url=row.url,
        event=row.event,
        payload=row.payload,
        tries=row.tries,
        created_at=row.created_at,
        due_at=row.due_at,
        delivered_at=row.delivered_at,
        abandoned_at=row.abandoned_at,
        last_status=row.last_status,
        last_error=row.last_error,
        lease=row.lease_owner,
    )
