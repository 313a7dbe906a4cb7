"""What workers do: claim a job, give signs of life, end the attempt. Every call is fenced by the attempt's number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from meshwright.service.db.tables import JobRow
from meshwright.service.failpoints import failpoint
from meshwright.service.jobs import claims, events, transitions
from meshwright.service.jobs.access import Access
from meshwright.service.jobs.job import Job, Outcome, Progress, Status
from meshwright.service.jobs.rows import clean, clean_text, outcome_to_json, to_job

Beat = Literal["go", "cancel", "lost"]
CANCELLED = Outcome(status=Status.CANCELLED)
MESSAGE_LENGTH = 500
REAPED_AT_ONCE = 100


class Attempts(Access):
    """The repository's part for workers and the reaper."""

    def claim(
        self, worker: str, *, devices: Sequence[str], engines: Sequence[str] | None = None, job_id: str | None = None
    ) -> Job | None:
        """The next job, as a new attempt that is this worker's alone until its lease ends; None when there is none.

        ``engines`` are those that the worker can run (all, by default); ``job_id`` asks for one job only.
        """
        with self.database.read() as session:  # most looks find nothing, and need not wait for a writer's turn
            waiting = select(JobRow.id).where(JobRow.status == Status.QUEUED, JobRow.device.in_(devices))
            if session.scalars(waiting.limit(1)).first() is None:
                return None

        def work(session: Session) -> Job | None:
            limit = self.settings.running_limit
            if limit:
                self.database.serial(session, "claim")
            now = self.database.now(session)
            claims.fail_overdue(session, now, self.settings.result_retention_s)
            row = claims.next_job(session, now, devices=devices, engines=engines, job_id=job_id, running_limit=limit)
            if row is None:
                return None
            claims.start(session, row, worker, now, self.settings.lease_s)
            failpoint("claim.before_commit")
            return to_job(row)

        job = self.database.run(work)
        if job is not None:
            failpoint("claim.after_commit")
        return job

    def heartbeat(self, job_id: str, attempt: int, worker: str, progress: Progress | None) -> Beat:
        """Extend the lease and note the progress. ``cancel``: stop the work; ``lost``: it is not yours any more."""

        def work(session: Session) -> Beat:
            row = self._running(session, job_id, attempt, worker)
            if row is None:
                return "lost"
            now = self.database.now(session)
            row.lease_until = now + timedelta(seconds=self.settings.lease_s)
            if progress is not None:
                _note(session, row, progress, now)
            failpoint("heartbeat.before_commit")
            return "go" if row.cancel_confirmed_at is None else "cancel"

        beat = self.database.run(work)
        failpoint("heartbeat.after_commit")
        return beat

    def log(self, job_id: str, attempt: int, *lines: str) -> bool:
        """Keep log lines of the attempt, unless it is not the one that runs or the job has logged too much."""

        def work(session: Session) -> bool:
            kept = session.execute(
                update(JobRow)
                .where(
                    JobRow.id == job_id,
                    JobRow.attempt == attempt,
                    JobRow.status == Status.PROCESSING,
                    JobRow.log_lines < events.LOG_LIMIT,
                )
                .values(log_lines=JobRow.log_lines + len(lines))
                .returning(JobRow.id)
            ).first()
            if kept is None:
                return False
            now = self.database.now(session)
            for line in lines:
                data = {"line": clean_text(line, events.LINE_LENGTH), "attempt": attempt}
                events.append(session, job_id, "log", now, data)
            return True

        return self.database.run(work)

    def finish(self, job_id: str, attempt: int, outcome: Outcome) -> bool:
        """Publish how the attempt ended; False when it is not the one that runs, and then nothing is published.

        A cancellation that was confirmed before wins: the job is cancelled then.
        """

        def work(session: Session) -> bool:
            row = self._running(session, job_id, attempt)
            if row is None:
                return self._has_ended_so(session, job_id, attempt, outcome)
            is_cancelled = row.cancel_confirmed_at is not None
            self._end(session, row, CANCELLED if is_cancelled else outcome, self.database.now(session))
            failpoint("finish.before_commit")
            return True

        is_published = self.database.run(work)
        failpoint("finish.after_commit")
        return is_published

    def finish_cancelled(self, job_id: str, attempt: int) -> bool:
        """The work was stopped because its cancellation was confirmed; False when that is not so, or it is lost."""

        def work(session: Session) -> bool:
            row = self._running(session, job_id, attempt)
            if row is None or row.cancel_confirmed_at is None:
                return False
            self._end(session, row, CANCELLED, self.database.now(session))
            return True

        return self.database.run(work)

    def release(self, job_id: str, attempt: int, *, crashed: bool = False, not_before_s: float = 0) -> Status | None:
        """Give the job up: back to the queue, or failed after the last crash that it is given; None when it is lost."""

        def work(session: Session) -> Status | None:
            row = self._running(session, job_id, attempt)
            if row is None:
                return None
            now = self.database.now(session)
            reason = "engine_crashed" if crashed else "released"
            self._give_up(session, row, now, crashed=crashed, reason=reason, not_before_s=not_before_s)
            return Status(row.status)

        return self.database.run(work)

    def reap(self) -> list[Job]:
        """Take the jobs whose workers fell silent away from them, as crashes; returns them as they are now."""

        def work(session: Session) -> list[Job]:
            now = self.database.now(session)
            claims.fail_overdue(session, now, self.settings.result_retention_s)
            silent = select(JobRow).where(JobRow.status == Status.PROCESSING, JobRow.lease_until < now)
            rows = session.scalars(silent.limit(REAPED_AT_ONCE).with_for_update(skip_locked=True)).all()
            for row in rows:
                self._give_up(session, row, now, crashed=True, reason="worker_lost")
            failpoint("reap.before_commit")
            return [to_job(row) for row in rows]

        if not self._has_work_for_reaper():
            return []
        jobs = self.database.run(work)
        failpoint("reap.after_commit")
        return jobs

    def _has_work_for_reaper(self) -> bool:
        with self.database.read() as session:
            now = self.database.now(session)
            silent = select(JobRow.id).where(JobRow.status == Status.PROCESSING, JobRow.lease_until < now)
            overdue = select(JobRow.id).where(JobRow.status == Status.QUEUED, JobRow.deadline_at <= now)
            return any(session.scalars(each.limit(1)).first() is not None for each in (silent, overdue))

    def _give_up(
        self, session: Session, row: JobRow, now: datetime, *, crashed: bool, reason: str, not_before_s: float = 0
    ) -> None:
        row.crashes += crashed
        if row.cancel_confirmed_at is not None:
            self._end(session, row, CANCELLED, now)
        elif crashed and row.crashes >= self.settings.max_crashes:
            self._end(session, row, _crashed_too_often(row.crashes, reason), now)
        else:
            transitions.queue_again(session, row, now, reason=reason, not_before_s=not_before_s)

    def _has_ended_so(self, session: Session, job_id: str, attempt: int, outcome: Outcome) -> bool:
        """Whether this very call was committed before, and only its answer was lost."""
        row = session.get(JobRow, job_id)
        return row is not None and row.attempt == attempt and row.outcome == outcome_to_json(outcome)


def _note(session: Session, row: JobRow, progress: Progress, now: datetime) -> None:
    """Write the progress down, and an event where a client would see a difference."""
    fraction = max(row.fraction, min(progress.fraction, 1.0))
    stage = clean_text(progress.stage, 64)
    is_news = stage != row.stage or int(fraction * 100) > int(row.fraction * 100)
    row.stage = stage
    row.fraction = fraction
    row.message = clean_text(progress.message, MESSAGE_LENGTH)
    row.eta_s = clean(progress.eta_s)
    row.peak_memory_bytes = max(row.peak_memory_bytes or 0, progress.peak_memory_bytes or 0) or None
    row.updated_at = now
    if is_news:
        data = {"stage": stage, "fraction": fraction, "message": row.message, "eta_s": row.eta_s}
        events.append(session, row.id, "progress", now, data)


def _crashed_too_often(crashes: int, reason: str) -> Outcome:
    what = "Its worker was lost" if reason == "worker_lost" else "The engine's process died"
    return Outcome(
        status=Status.FAILED,
        error={
            "code": "ENGINE_CRASHED",
            "message": f"{what}, and the job has crashed {crashes} times: it is not tried again.",
            "details": {"reason": reason, "crashes": crashes},
            "suggestion": "Try fewer or smaller views, or another engine; the input is kept for a retry.",
        },
    )
