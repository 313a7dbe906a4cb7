"""The events of a job as Server-Sent Events: replayed from any id, then followed until the job has ended.

They are read from the table, so any API process can serve any job, and a client that lost its connection goes on after
the last id that it saw (``Last-Event-ID``).
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator

from starlette.concurrency import run_in_threadpool

from meshwright.service.db.database import DatabaseUnavailable
from meshwright.service.jobs.events import Event
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.jobs.rows import clean

POLL_S = 0.4
ALIVE_S = 15.0  # proxies close what is silent for longer
RETRY_MS = 2000  # what a client waits before it connects again
PAGE = 500


def frame(event: Event) -> bytes:
    """One event on the wire."""
    data = clean({**event.data, "job_id": event.job_id, "at": event.at.isoformat()})
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"id: {event.id}\nevent: {event.kind}\ndata: {text}\n\n".encode("utf-8", "replace")


def ends(event: Event) -> bool:
    """Whether the job ends with this event."""
    return event.kind == "status" and Status(event.data["status"]).is_final


async def stream(
    repository: JobRepository, job_id: str, last_id: int, stop: threading.Event, *, follow: bool = True
) -> AsyncGenerator[bytes]:
    """Every event after ``last_id``; ends with the job, when the service stops, or, without ``follow``, at once."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    ended, told_at = False, time.monotonic()
    while not stop.is_set():
        try:
            events = await run_in_threadpool(repository.events_after, job_id, last_id, PAGE)
        except DatabaseUnavailable:
            return  # the client connects again, and has lost nothing
        for event in events:
            last_id, ended = event.id, ends(event)
            yield frame(event)
        if events:
            told_at = time.monotonic()
        if len(events) == PAGE:
            continue
        if ended or not follow:
            return
        if time.monotonic() - told_at > ALIVE_S:
            told_at = time.monotonic()
            yield b": alive\n\n"
        await asyncio.sleep(POLL_S)
