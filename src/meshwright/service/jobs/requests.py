"""What clients ask for: submit, cancel in two steps, retry, delete, pin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from meshwright.errors import IdempotencyConflict, InputError, JobExpired, JobNotReady, RateLimited
from meshwright.service.db.tables import IdempotencyRow, JobRow
from meshwright.service.failpoints import failpoint
from meshwright.service.jobs import listing, transitions
from meshwright.service.jobs.access import Access
from meshwright.service.jobs.job import Job, NewJob, Outcome, Status
from meshwright.service.jobs.rows import clean, new_row, options_hash, start_over, to_job

FULL_RETRY_S = 30  # what a client is told to wait when the queue is full


class Requests(Access):
    """The repository's part for clients; every call names the tenant, and another tenant's job does not exist."""

    def submit(self, new: NewJob, *, idempotency_key: str | None = None, body_hash: str = "") -> tuple[Job, bool]:
        """The job, and whether it was made now: the same key with the same body gets the job that it made first.

        Raises:
            IdempotencyConflict: the key came with another body before.
            RateLimited: reason ``queue_full``.
        """

        def work(session: Session) -> tuple[Job, bool]:
            self.database.serial(session, f"submit:{new.tenant}")
            now = self.database.now(session)
            earlier = session.get(JobRow, new.id)
            if earlier is not None and earlier.tenant == new.tenant:  # committed, but its answer was lost
                return to_job(earlier), True
            if idempotency_key is not None:
                known = self._known(session, new.tenant, idempotency_key, body_hash, now)
                if known is not None:
                    return to_job(known), False
            self._check_room(session, new.tenant)
            row = new_row(new, now)
            session.add(row)
            session.flush()
            transitions.announce(session, row, now)
            if idempotency_key is not None:
                session.add(_key(new, idempotency_key, body_hash, now))
            failpoint("submit.before_commit")
            return to_job(row), True

        answer = self.database.run(work)
        failpoint("submit.after_commit")
        return answer

    def find_idempotent(self, tenant: str, key: str) -> tuple[str, str] | None:
        """The job that a key has made, and the hash of the body it came with."""
        with self.database.read() as session:
            row = session.get(IdempotencyRow, (tenant, key))
            if row is None or self._is_forgotten(row, self.database.now(session)):
                return None
            return row.job_id, row.body_hash

    def request_cancel(self, job_id: str, tenant: str) -> Job:
        """First step: nothing stops yet, but a confirmation is valid from now on.

        Raises:
            JobNotReady: reason ``already_finished``.
        """

        def work(session: Session) -> Job:
            row = self._unfinished(session, job_id, tenant)
            if row.cancel_requested_at is None:
                row.cancel_requested_at = row.updated_at = self.database.now(session)
            return to_job(row)

        return self.database.run(work)

    def confirm_cancel(self, job_id: str, tenant: str) -> Job:
        """Second step: a waiting job is cancelled at once, a running one as soon as its worker has stopped it.

        Raises:
            InputError: reason ``cancel_not_requested``.
            JobNotReady: reason ``already_finished``.
        """

        def work(session: Session) -> Job:
            row = self._unfinished(session, job_id, tenant)
            if row.cancel_requested_at is None:
                raise InputError(
                    "The cancellation was not requested before it was confirmed.",
                    suggestion="Send the request without confirm first, then with confirm: true.",
                    reason="cancel_not_requested",
                    job_id=job_id,
                )
            now = self.database.now(session)
            if row.cancel_confirmed_at is None:
                row.cancel_confirmed_at = row.updated_at = now
            if row.status == Status.QUEUED:
                self._end(session, row, Outcome(status=Status.CANCELLED), now)
            return to_job(row)

        return self.database.run(work)

    def retry(self, job_id: str, tenant: str, options: dict[str, Any] | None = None) -> Job:
        """Queue a finished job again on the same input; its attempts go on counting, its crashes start anew.

        Raises:
            JobNotReady: reason ``not_finished``.
            JobExpired: its input is not there any more.
            RateLimited: reason ``queue_full``.
        """

        def work(session: Session) -> Job:
            self.database.serial(session, f"submit:{tenant}")
            row = self._row(session, job_id, tenant, lock=True)
            if not Status(row.status).is_final:
                raise JobNotReady(
                    f"The job is {row.status}: only a finished one can be run again.",
                    suggestion="Wait until it has ended, or cancel it first.",
                    reason="not_finished",
                    job_id=job_id,
                    status=row.status,
                )
            _check_there(row)
            self._check_room(session, tenant)
            now = self.database.now(session)
            if options is not None:
                row.options = clean(options)
                row.options_hash = options_hash(options)
            start_over(row, now)
            transitions.enter(session, row, Status.QUEUED, now, reason="retry")
            return to_job(row)

        return self.database.run(work)

    def delete(self, job_id: str, tenant: str) -> Job:
        """Give its files out no more; the janitor removes them. A waiting job is cancelled first.

        Raises:
            JobNotReady: reason ``still_processing``: cancel it first.
        """

        def work(session: Session) -> Job:
            row = self._row(session, job_id, tenant, lock=True)
            now = self.database.now(session)
            if row.status == Status.PROCESSING:
                raise JobNotReady(
                    "The job is being processed.",
                    suggestion="Cancel it, then delete it.",
                    reason="still_processing",
                    job_id=job_id,
                    status=row.status,
                )
            if row.status == Status.QUEUED:
                self._end(session, row, Outcome(status=Status.CANCELLED), now)
            if row.deleted_at is None:
                row.deleted_at = row.updated_at = now
            return to_job(row)

        return self.database.run(work)

    def pin(self, job_id: str, tenant: str, pinned: bool) -> Job:
        """Keep the files of a job until it is unpinned; then its retention starts anew.

        Raises:
            JobExpired: they are gone already.
        """

        def work(session: Session) -> Job:
            row = self._row(session, job_id, tenant, lock=True)
            _check_there(row)
            now = self.database.now(session)
            if row.pinned and not pinned and row.expires_at is not None:
                row.expires_at = now + timedelta(seconds=row.retention_s or self.settings.result_retention_s)
            row.pinned = pinned
            row.updated_at = now
            return to_job(row)

        return self.database.run(work)

    def _unfinished(self, session: Session, job_id: str, tenant: str) -> JobRow:
        row = self._row(session, job_id, tenant, lock=True)
        if Status(row.status).is_final:
            raise JobNotReady(
                f"The job is {row.status} already.",
                suggestion="There is nothing left to cancel.",
                reason="already_finished",
                job_id=job_id,
                status=row.status,
            )
        return row

    def _known(self, session: Session, tenant: str, key: str, body_hash: str, now: datetime) -> JobRow | None:
        row = session.get(IdempotencyRow, (tenant, key))
        if row is None:
            return None
        if self._is_forgotten(row, now):
            session.delete(row)
            session.flush()
            return None
        if row.body_hash != body_hash:
            raise IdempotencyConflict(
                "This Idempotency-Key was used for another request.",
                suggestion="Use a fresh key for every new request.",
                job_id=row.job_id,
            )
        return session.get_one(JobRow, row.job_id)

    def _is_forgotten(self, row: IdempotencyRow, now: datetime) -> bool:
        return row.created_at + timedelta(seconds=self.settings.idempotency_s) <= now

    def _check_room(self, session: Session, tenant: str) -> None:
        waiting = listing.active(session, tenant, Status.QUEUED)
        if waiting >= self.settings.queue_limit:
            raise RateLimited(
                f"{waiting} jobs are waiting already, and {self.settings.queue_limit} may.",
                suggestion="Wait until some have been processed, or cancel some.",
                reason="queue_full",
                limit=self.settings.queue_limit,
                retry_after_s=FULL_RETRY_S,
            )


def _check_there(row: JobRow) -> None:
    if row.deleted_at is not None or row.expired_at is not None:
        raise JobExpired(
            "The job's files are not there any more.",
            suggestion="Submit the capture again.",
            reason="deleted" if row.deleted_at is not None else "expired",
            job_id=row.id,
        )


def _key(new: NewJob, key: str, body_hash: str, now: datetime) -> IdempotencyRow:
    return IdempotencyRow(tenant=new.tenant, key=key, job_id=new.id, body_hash=body_hash, created_at=now)
