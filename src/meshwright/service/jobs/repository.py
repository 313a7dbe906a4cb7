"""The one way to the table of jobs: all SQL on jobs and their events is in this package, behind this class.

``requests`` is its part for clients, ``attempts`` for workers; here are reading and housekeeping.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, delete, or_, select
from sqlalchemy.orm import Session

from meshwright.service.db.tables import EventRow, IdempotencyRow, JobRow
from meshwright.service.jobs import claims, events, listing
from meshwright.service.jobs.attempts import Attempts
from meshwright.service.jobs.events import Event
from meshwright.service.jobs.job import Job, Status
from meshwright.service.jobs.requests import Requests
from meshwright.service.jobs.rows import to_job

AT_ONCE = 100  # rows that one round of housekeeping takes
LONGEST_PAUSE = timedelta(minutes=4)  # that is added between two announcements of a job that waits


class JobRepository(Requests, Attempts):
    """Jobs as values; each method is one transaction."""

    def get(self, job_id: str, tenant: str | None = None) -> Job:
        """A job; any tenant's, when none is named.

        Raises:
            JobNotFound: there is none, or it is another tenant's.
        """
        with self.database.look() as connection:
            return to_job(self._look(connection, job_id, tenant))

    def get_placed(self, job_id: str, tenant: str) -> Job:
        """The same, with its place in the queue while it waits."""
        with self.database.look() as connection:
            row = self._look(connection, job_id, tenant)
            return to_job(row, claims.position(connection, row))

    def position(self, job_id: str) -> int | None:
        """Its place in the queue, 1 being next; None when it does not wait."""
        with self.database.look() as connection:
            return claims.position(connection, self._look(connection, job_id, None))

    def list(
        self,
        tenant: str,
        *,
        status: Sequence[Status] = (),
        engine: str | None = None,
        verdict: str | None = None,
        name: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> tuple[list[Job], str | None]:
        """A page of a tenant's jobs, newest first, and the cursor for ``before`` of the next; deleted ones are out.

        ``name`` is a part of the name in any case.

        Raises:
            InputError: reason ``cursor_invalid``.
        """
        with self.database.read() as session:
            rows, cursor = listing.page(
                session,
                tenant,
                status=status,
                engine=engine,
                verdict=verdict,
                name=name,
                before=before,
                limit=limit,
            )
            return [to_job(row) for row in rows], cursor

    def find_cached(self, tenant: str, input_hash: str, engine: str, options: dict[str, Any]) -> Job | None:
        """The newest completed job of the same input, engine and options whose result is still there."""
        with self.database.read() as session:
            now = self.database.now(session)
            row = listing.cached(session, tenant, input_hash, engine, options, now)
            return None if row is None else to_job(row)

    def events_after(self, job_id: str, last_id: int, limit: int = 500) -> list[Event]:
        """The events of a job after the one named, oldest first."""
        with self.database.read() as session:
            return events.after(session, job_id, last_id, limit)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many jobs there are: by status, then by device class."""
        with self.database.read() as session:
            return listing.counts(session)

    def oldest_s(self, status: Status) -> float | None:
        """For how long the job has waited, or run, that has done so for longest."""
        with self.database.read() as session:
            since = listing.oldest(session, status)
            return None if since is None else (self.database.now(session) - since).total_seconds()

    def stored_bytes(self, tenant: str) -> int:
        """What a tenant's inputs and results take in storage."""
        with self.database.read() as session:
            return listing.stored_bytes(session, tenant)

    def existing(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Those of the jobs that there are, by id."""
        with self.database.read() as session:
            return {row.id: to_job(row) for row in session.scalars(select(JobRow).where(JobRow.id.in_(job_ids)))}

    def stale_queued(self, older_s: float) -> list[Job]:
        """Waiting jobs that nobody has taken for so long since they were announced: to be announced again.

        For one that waits long the pauses grow, so that a full queue does not fill the broker with repetitions.
        """

        def stale(now: datetime) -> Select[Any]:
            is_old = JobRow.announced_at <= now - timedelta(seconds=older_s)
            is_due = or_(JobRow.not_before.is_(None), JobRow.not_before <= now)
            waiting = select(JobRow).where(JobRow.status == Status.QUEUED, is_old, is_due)
            return waiting.order_by(JobRow.queued_at).limit(AT_ONCE)

        def work(session: Session) -> list[Job]:
            now = self.database.now(session)
            rows = session.scalars(stale(now).with_for_update(skip_locked=True)).all()
            for row in rows:
                row.announced_at = now + min(now - row.queued_at, LONGEST_PAUSE)
            return [to_job(row) for row in rows]

        with self.database.read() as session:
            if session.scalars(stale(self.database.now(session))).first() is None:
                return []
        return self.database.run(work)

    def expire(self, now: datetime | None = None) -> list[Job]:
        """Let results expire; returns all jobs whose files are to be removed, until :meth:`files_removed` is told."""

        def work(session: Session) -> list[Job]:
            moment = now or self.database.now(session)
            over = and_(JobRow.expires_at <= moment, JobRow.pinned.is_(False), JobRow.expired_at.is_(None))
            gone = or_(JobRow.deleted_at.is_not(None), JobRow.expired_at.is_not(None))
            pending = select(JobRow).where(JobRow.files_removed_at.is_(None), or_(over, gone))
            rows = session.scalars(pending.limit(AT_ONCE).with_for_update(skip_locked=True)).all()
            for row in rows:
                if row.deleted_at is None and row.expired_at is None:
                    row.expired_at = row.updated_at = moment
            forgotten = moment - timedelta(seconds=self.settings.idempotency_s)
            session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at <= forgotten))
            return [to_job(row) for row in rows]

        return self.database.run(work)

    def files_removed(self, job_id: str) -> None:
        """Note that a job's files are removed from storage; its log lines and its progress go with them."""

        def work(session: Session) -> None:
            row = self._row(session, job_id, None, lock=True)
            row.files_removed_at = self.database.now(session)
            session.execute(delete(EventRow).where(EventRow.job_id == job_id, EventRow.kind != "status"))

        self.database.run(work)
