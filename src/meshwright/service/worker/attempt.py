"""One attempt at a job: input from storage, the engine's run (and a second one, lower), the result into storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import structlog

from meshwright.errors import Cancelled, MeshwrightError
from meshwright.service.db.database import DatabaseUnavailable
from meshwright.service.failpoints import failpoint
from meshwright.service.jobs.job import Job, Outcome, Status, attempt_prefix
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from meshwright.service.storage.store import StorageUnavailable, Store
from meshwright.service.worker.eta import Eta, History
from meshwright.service.worker.gpu import Gpu
from meshwright.service.worker.heart import Heart
from meshwright.service.worker.memory import oom_kills, was_out_of_memory
from meshwright.service.worker.outcome import Fault, death, fault_of, timeout
from meshwright.service.worker.protocol import Done, Failed, Request
from meshwright.service.worker.scratch import Scratch
from meshwright.service.worker.seat import Seat
from meshwright.service.worker.supervise import Died, Drain, Overran, Stopped, Watch
from meshwright.service.worker.transfer import fetch_input, publish_package

STORAGE_TRIES = 6  # attempts that a storage which does not answer may cost
DATABASE_S = 120.0  # for which a database that does not answer is waited for, with a result in hand
log = structlog.get_logger("meshwright.worker")
Why: TypeAlias = Literal["completed", "failed", "cancelled", "lost", "released", "crashed"]
STOPPED: dict[str, Why] = {"cancel": "cancelled", "lost": "lost", "drain": "released"}


@dataclass(frozen=True)
class Bench:
    """What every attempt of a worker works with."""

    settings: Settings
    repository: JobRepository
    store: Store
    scratch: Scratch
    worker: str
    drain: Drain
    gpu: Gpu
    history: History = field(default_factory=History)
    oom_kills: Callable[[], int | None] = oom_kills


@dataclass(frozen=True)
class Ended:
    """How a run ended, in the table's terms.

    ``package`` is the folder of a completed one; ``lower`` the options of a second run, when memory ran out.
    """

    why: Why
    outcome: Outcome | None = None
    package: Path | None = None
    lower: dict[str, Any] = field(default_factory=dict)


class Attempt:
    """Carries out one claimed job on one seat. Every write to the table is fenced by the attempt's number."""

    def __init__(self, bench: Bench, seat: Seat, job: Job) -> None:
        self._bench, self._seat, self._job = bench, seat, job
        self._began = time.monotonic()
        self._log = log.bind(job_id=job.id, attempt=job.attempt)

    def run(self) -> Why:
        """From the claim to the end, which is written down; what is wrong with a job is no exception here."""
        bench, job = self._bench, self._job
        with (
            bench.scratch.attempt(job.id, job.attempt) as folder,
            Heart(bench.repository, job, bench.worker, bench.settings.heartbeat_s) as heart,
        ):
            try:
                ended = self._carry_out(folder, heart)
            except StorageUnavailable as error:
                ended = self._storage_failed(error)
            except Exception as error:  # noqa: BLE001 - a fault of ours ends this job and not the worker
                self._log.exception("attempt_failed")
                self._seat.drop()
                ended = Ended("failed", fault_of(error).outcome)
            with suppress(MeshwrightError):
                heart.flush()
            why = self._write_down(ended)
        failpoint("worker.after_finish")
        self._log.info("attempt_ended", how=why, seconds=round(time.monotonic() - self._began, 2))
        return why

    def _carry_out(self, folder: Path, heart: Heart) -> Ended:
        source = fetch_input(self._bench.store, self._job, folder, lambda: heart.verdict == "go")
        if heart.verdict != "go":
            return Ended("cancelled" if heart.verdict == "cancel" else "lost")
        ended = self._run_engine(source, folder / "package", heart, {})
        if ended.lower:
            heart.log(f"memory ran out: running again with {ended.lower}")
            ended = replace(self._run_engine(source, folder / "lowered", heart, ended.lower), lower=ended.lower)
        outcome = None if ended.outcome is None else replace(ended.outcome, lowered=ended.lower or None)
        if outcome is not None and ended.package is not None:
            prefix = attempt_prefix(self._job.id, self._job.attempt)
            outcome = replace(outcome, artifacts=publish_package(self._bench.store, ended.package, prefix))
        return replace(ended, outcome=outcome)

    def _run_engine(self, source: Path, out: Path, heart: Heart, lower: dict[str, Any]) -> Ended:
        """One run; the answer names the options for another, when memory ran out and something can be lowered."""
        bench, job = self._bench, self._job
        kills = bench.oom_kills()
        process = self._seat.take(job.engine, job.device, heart.log)
        watch = Watch(process, heart, bench.settings, bench.drain, self._began)
        request = Request(job.id, job.engine, job.options | lower, str(source), str(out))
        ending = watch.run(request, Eta(bench.history, job.engine))
        if isinstance(ending, Done):
            failpoint("worker.child_done")
            self._settle(ending)
            return Ended("completed", _success(ending), out)
        returncode = self._seat.drop(bench.settings.cancel_grace_s if isinstance(ending, Stopped | Overran) else 0.0)
        if isinstance(ending, Stopped):
            return Ended(STOPPED[ending.why])
        if isinstance(ending, Failed) and ending.error["code"] == Cancelled.code:  # by a signal that is not from here
            return Ended("released" if bench.drain.is_wanted else "crashed")
        fault = self._fault(ending, returncode or 0, watch.stage, kills)
        if fault.gpu_fault:
            bench.gpu.fault()
        if fault.out_of_memory and not lower and watch.plan is not None and watch.plan.lowered:
            return Ended("failed", lower=watch.plan.lowered)
        if isinstance(ending, Died) and not fault.out_of_memory:
            heart.log(fault.message)
            return Ended("crashed")
        outcome = replace(fault.outcome, peak_memory_bytes=watch.peak_memory_bytes)
        if isinstance(ending, Failed):
            outcome = replace(outcome, stage_seconds=ending.stage_seconds)
        return Ended("failed", outcome)

    def _fault(self, ending: Failed | Overran | Died, returncode: int, stage: str, kills: int | None) -> Fault:
        if isinstance(ending, Failed):
            return Fault(ending.error, ending.out_of_memory, ending.gpu_fault)
        if isinstance(ending, Overran):
            return timeout(ending.limit, ending.seconds, stage)
        return death(returncode, stage, was_out_of_memory=was_out_of_memory(kills, self._bench.oom_kills()))

    def _settle(self, done: Done) -> None:
        """After a job that gave something: the process stays if no engine failed in it."""
        if done.reusable:
            self._seat.keep()
        else:
            self._seat.drop()
        if done.gpu_fault:
            self._bench.gpu.fault()
        elif self._job.device == "cuda":
            self._bench.gpu.learn(self._job.engine, done.peak_gpu_bytes)

    def _write_down(self, ended: Ended) -> Why:
        """Into the table, which may be away for a while: the work is not thrown away for that."""
        patience = time.monotonic() + DATABASE_S
        while True:
            try:
                is_ours = self._tell(ended)
                status = self._bench.repository.get(self._job.id).status
                break
            except DatabaseUnavailable:
                if time.monotonic() > patience:
                    raise
                time.sleep(1.0)
        if not (is_ours and status is Status.COMPLETED):
            with suppress(StorageUnavailable):
                self._bench.store.delete_prefix(attempt_prefix(self._job.id, self._job.attempt))
        return ended.why if is_ours else "lost"

    def _tell(self, ended: Ended) -> bool:
        repository, job_id, attempt = self._bench.repository, self._job.id, self._job.attempt
        match ended.why:
            case "lost":
                return False
            case "cancelled":
                return repository.finish_cancelled(job_id, attempt)
            case "crashed":
                return repository.release(job_id, attempt, crashed=True) is not None
            case "released":
                pause = 0.0 if self._bench.drain.is_wanted else float(2**attempt)
                return repository.release(job_id, attempt, not_before_s=pause) is not None
            case "completed" | "failed":
                assert ended.outcome is not None
                return repository.finish(job_id, attempt, ended.outcome)

    def _storage_failed(self, error: StorageUnavailable) -> Ended:
        self._log.warning("storage_unavailable", error=error.message)
        return Ended("released") if self._job.attempt < STORAGE_TRIES else Ended("failed", fault_of(error).outcome)


def _success(done: Done) -> Outcome:
    return Outcome(
        status=Status.COMPLETED,
        engines=done.engines,
        verdict=done.verdict,
        stage_seconds=done.stage_seconds,
        peak_memory_bytes=done.peak_memory_bytes,
        choice=done.choice,
    )
