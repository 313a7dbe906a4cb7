"""The parts that an API process works with, made once at its start and reached from every route."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

from meshwright.capture.limits import Limits
from meshwright.service.db import Database
from meshwright.service.health.gpu import GpuProbe
from meshwright.service.health.metrics import Metrics
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.queue.protocol import Queue
from meshwright.service.settings import MIB, Settings
from meshwright.service.storage.publish import Checker
from meshwright.service.storage.store import Store
from meshwright.service.uploads.gate import capture_limits
from meshwright.service.uploads.inspector import Inspector
from meshwright.service.uploads.slots import Slots

Found = TypeVar("Found")
GATES = 2  # captures looked at at once
LARGE_BYTES = 16 * MIB  # of those above it one at a time: each may hold one image in memory, four times
DISKS = 8  # inputs stored at once
STREAMS = 256  # event streams of one process


@dataclass(frozen=True)
class Service:
    """Everything that routes use."""

    settings: Settings
    database: Database
    repository: JobRepository
    store: Store
    queue: Queue
    checker: Checker
    metrics: Metrics
    gpus: GpuProbe
    inspector: Inspector
    slots: Slots
    streams: Slots
    limits: Limits
    gates: anyio.CapacityLimiter
    large: anyio.CapacityLimiter
    disks: anyio.CapacityLimiter
    draining: threading.Event = field(default_factory=threading.Event)

    async def gate(self, work: Callable[[], Found], size: int) -> Found:
        """Run what looks at captures in a thread, few at once and apart from those that answer other routes."""
        return await anyio.to_thread.run_sync(work, limiter=self.large if size > LARGE_BYTES else self.gates)

    async def disk(self, work: Callable[[], Found]) -> Found:
        """The same for what writes inputs into storage."""
        return await anyio.to_thread.run_sync(work, limiter=self.disks)


def make_service(settings: Settings, database: Database, store: Store, queue: Queue, metrics: Metrics) -> Service:
    """Put the parts together; called on the event loop that serves."""
    return Service(
        settings=settings,
        database=database,
        repository=JobRepository(database, settings),
        store=store,
        queue=queue,
        checker=Checker(store),
        metrics=metrics,
        gpus=GpuProbe(),
        inspector=Inspector(settings),
        slots=Slots(settings.uploads_at_once),
        streams=Slots(STREAMS),
        limits=capture_limits(settings),
        gates=anyio.CapacityLimiter(GATES),
        large=anyio.CapacityLimiter(1),
        disks=anyio.CapacityLimiter(DISKS),
    )


async def service_of(request: Request) -> Service:
    """The service that answers a request; a dependency, and no plain function: those each take a turn in a thread."""
    found: Service = request.app.state.service
    return found
