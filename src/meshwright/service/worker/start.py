"""A worker put together from the settings, as its own process runs it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from meshwright.service import logs
from meshwright.service.db.database import Database
from meshwright.service.db.migrate import upgrade
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.queue.embedded import EmbeddedQueue
from meshwright.service.queue.protocol import Queue
from meshwright.service.settings import Settings
from meshwright.service.storage.store import open_store
from meshwright.service.worker.process import CHILD_COMMAND
from meshwright.service.worker.worker import GRACE_S, Worker


def start_worker(
    settings: Settings,
    stop: threading.Event,
    *,
    devices: Sequence[str] = ("cpu",),
    engines: Sequence[str] | None = None,
    seats: int = 1,
    grace_s: float = GRACE_S,
    command: Sequence[str] = CHILD_COMMAND,
) -> str | None:
    """Work until ``stop`` is set; returns why it ended before that, if it did."""
    logs.configure(settings.log_level, settings.log_format)
    database = Database(settings.database)
    try:
        upgrade(database)
        worker = Worker(
            settings,
            JobRepository(database, settings),
            open_store(settings.storage),
            open_queue(settings, devices),
            devices=devices,
            engines=engines,
            seats=seats,
            grace_s=grace_s,
            command=command,
        )
        worker.run(stop)
        return worker.unhealthy
    finally:
        database.close()


def open_queue(settings: Settings, devices: Sequence[str] = ("cpu", "cuda")) -> Queue:
    """The queue that the settings name; ``devices`` are the classes of jobs that are listened for."""
    if settings.queue == "embedded":
        return EmbeddedQueue(settings.poll_s)
    from meshwright.service.queue.celery import CeleryQueue

    return CeleryQueue(settings.redis_url, devices)
