"""What the parts of the repository share: the database, the settings, and how a row is found and locked."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import Session

from meshwright.errors import JobNotFound
from meshwright.service.db.database import Database
from meshwright.service.db.tables import JobRow
from meshwright.service.jobs import transitions
from meshwright.service.jobs.job import Outcome, Status
from meshwright.service.settings import Settings

ONE = select(JobRow.__table__).where(JobRow.id == bindparam("id"))  # made once: to build it takes longer than to run it
OWN = ONE.where(JobRow.tenant == bindparam("tenant"))


class Access:
    """The base of the repository's parts."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def _row(self, session: Session, job_id: str, tenant: str | None, *, lock: bool = False) -> JobRow:
        statement = select(JobRow).where(JobRow.id == job_id)
        if tenant is not None:
            statement = statement.where(JobRow.tenant == tenant)
        row = None if "\0" in job_id else session.scalars(statement.with_for_update() if lock else statement).first()
        if row is None:
            raise _not_found(job_id)
        return row

    def _look(self, connection: Connection, job_id: str, tenant: str | None) -> JobRow:
        """The row to read from only: it has a JobRow's attributes, and is none."""
        statement, named = (ONE, {"id": job_id}) if tenant is None else (OWN, {"id": job_id, "tenant": tenant})
        row = None if "\0" in job_id else connection.execute(statement, named).first()
        if row is None:
            raise _not_found(job_id)
        return cast("JobRow", row)

    def _running(self, session: Session, job_id: str, attempt: int, worker: str | None = None) -> JobRow | None:
        """The row, locked, if this attempt is the one that runs: the fence against workers that lost their lease."""
        statement = select(JobRow).where(
            JobRow.id == job_id, JobRow.attempt == attempt, JobRow.status == Status.PROCESSING
        )
        if worker is not None:
            statement = statement.where(JobRow.lease_owner == worker)
        return session.scalars(statement.with_for_update()).first()

    def _end(self, session: Session, row: JobRow, outcome: Outcome, now: datetime) -> None:
        transitions.end(session, row, outcome, now, retention_s=self.settings.result_retention_s)


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(
        "There is no such job.", suggestion="Check the job's id; list your jobs with GET /jobs.", job_id=job_id[:64]
    )
