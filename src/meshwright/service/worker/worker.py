"""The worker: looks for jobs, carries them out one at a time on each of its seats, and stops when it is told to."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from meshwright.engines.registry import engine_names
from meshwright.service.jobs.job import Job
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.queue.protocol import Queue
from meshwright.service.queue.reaper import Chore, Reaper
from meshwright.service.settings import Settings
from meshwright.service.storage.store import Store
from meshwright.service.worker.attempt import Attempt, Bench
from meshwright.service.worker.gpu import Gpu
from meshwright.service.worker.memory import oom_kills
from meshwright.service.worker.process import CHILD_COMMAND
from meshwright.service.worker.scratch import Scratch
from meshwright.service.worker.seat import Seat
from meshwright.service.worker.supervise import Drain

GRACE_S = 25.0  # Kubernetes kills 30 s after it has asked
LISTENS = 5  # that a queue which rings is listened to, of a second each, before the table is looked at all the same
LISTEN_S = 1.0
AFTER_FAULT_S = 1.0
SCRATCH_S = 60.0  # between two looks for what workers that died have left on this machine
log = structlog.get_logger("meshwright.worker")


class Worker:
    """Runs jobs of its device classes; each seat is a thread with an engine's process of its own.

    ``engines`` limits it to some engines, ``seats`` is how many jobs run at once, ``grace_s`` what a running job is
    given when the worker is stopped. ``command`` starts an engine's process, and is another one only in tests.
    """

    def __init__(
        self,
        settings: Settings,
        repository: JobRepository,
        store: Store,
        queue: Queue,
        *,
        devices: Sequence[str] = ("cpu",),
        engines: Sequence[str] | None = None,
        seats: int = 1,
        grace_s: float = GRACE_S,
        chores: Sequence[Chore] = (),
        command: Sequence[str] = CHILD_COMMAND,
        gpu: Gpu | None = None,
        oom_kills: Callable[[], int | None] = oom_kills,
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._settings, self._repository, self._store, self._queue = settings, repository, store, queue
        self._devices, self._seats, self._grace_s = tuple(devices), seats, grace_s
        self._engines = None if engines is None else tuple(engines)
        self._chores, self._command = tuple(chores), tuple(command)
        self._gpu = gpu or Gpu()
        self._oom_kills = oom_kills
        self._running: set[str] = set()
        self._claiming = threading.Lock()

    @property
    def running(self) -> int:
        """How many jobs run here now."""
        return len(self._running)

    @property
    def unhealthy(self) -> str | None:
        """Why this worker takes no more jobs; None while it does."""
        return "the GPU failed several times in a row" if self._gpu.is_unhealthy else None

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set and the running jobs have ended, or were given back after their grace.

        Comes back early when the worker is unhealthy. For a thread that lives on: engines' processes die with it.
        """
        scratch = Scratch(self._settings.data_dir.absolute() / "scratch", self.name)
        chores = (Chore("scratch", SCRATCH_S, scratch.clear_dead), *self._chores)
        reaper = Reaper(self._repository, self._queue, chores)
        bench = Bench(
            self._settings,
            self._repository,
            self._store,
            scratch,
            self.name,
            Drain(stop, self._grace_s),
            self._gpu,
            oom_kills=self._oom_kills,
        )
        others = [
            threading.Thread(target=self._serve, args=(bench, f"seat-{n}", stop), name=f"seat-{n}")
            for n in range(1, self._seats)
        ]
        log.info("worker_started", worker=self.name, devices=self._devices, seats=self._seats)
        try:
            reaper.start()
            for thread in others:
                thread.start()
            self._serve(bench, "seat-0", stop)
            for thread in others:
                thread.join()
        finally:
            reaper.stop()
            scratch.close()
            log.info("worker_stopped", worker=self.name, unhealthy=self.unhealthy)

    def _serve(self, bench: Bench, name: str, stop: threading.Event) -> None:
        seat = Seat(bench.scratch, name, memory_bytes=self._settings.memory_bytes, command=self._command)
        bench = replace(bench, drain=Drain(stop, self._grace_s))
        try:
            while not stop.is_set() and self.unhealthy is None:
                if not self._step(bench, seat):
                    self._listen(stop)
                    seat.drop_idle()
        finally:
            seat.drop()

    def _step(self, bench: Bench, seat: Seat) -> bool:
        """Run one job; False when there is none. Whatever goes wrong, the worker lives and the lease tells the rest."""
        try:
            job = self._claim()
            if job is None:
                return False
            try:
                Attempt(bench, seat, job).run()
            finally:
                self._running.discard(job.id)
        except Exception:
            log.exception("worker_step_failed", worker=self.name)
            seat.drop()
            time.sleep(AFTER_FAULT_S)
            return False
        return True

    def _claim(self) -> Job | None:
        with self._claiming:
            job = self._next()
            if job is not None:
                self._running.add(job.id)
                log.info("job_claimed", job_id=job.id, attempt=job.attempt, engine=job.engine, device=job.device)
            return job

    def _next(self) -> Job | None:
        """The next job; beside others that run, on the GPU only what there is room for."""
        if "cuda" not in self._devices or not self._running:
            return self._repository.claim(self.name, devices=self._devices, engines=self._engines)
        fitting = self._gpu.admitted(self._engines or engine_names(), len(self._running))
        job = self._repository.claim(self.name, devices=("cuda",), engines=fitting) if fitting else None
        others = [device for device in self._devices if device != "cuda"]
        if job is None and others:
            job = self._repository.claim(self.name, devices=others, engines=self._engines)
        return job

    def _listen(self, stop: threading.Event) -> None:
        """Wait for the queue to ring; one that carries ids is trusted for longer before the table is looked at."""
        if self._settings.queue == "embedded":
            self._queue.wait(self._settings.poll_s)
            return
        for _ in range(LISTENS):
            if stop.is_set() or self._queue.wait(LISTEN_S) is not None:
                return
