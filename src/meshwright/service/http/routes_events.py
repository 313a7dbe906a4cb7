"""The event stream of a job."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from meshwright.errors import InputError
from meshwright.service.events.stream import stream
from meshwright.service.http.dependencies import JobId, Parts, Reader
from meshwright.service.http.documented import errors

events = APIRouter(tags=["jobs"])
EXAMPLE = """id: 41
event: progress
data: {"stage":"fusion/fuse","fraction":0.42,"message":"","eta_s":12.5,"job_id":"...","at":"..."}

id: 57
event: status
data: {"status":"completed","attempt":1,"verdict":"normal","job_id":"...","at":"..."}
"""
ANSWERS = {
    200: {"description": "Events: status, progress, log.", "content": {"text/event-stream": {"example": EXAMPLE}}},
    204: {"description": "The job has ended and there are no more events: do not connect again."},
    **errors(404),
}


@events.get("/jobs/{job_id}/events", response_class=Response, responses=ANSWERS, summary="Follow a job")
async def follow_job(
    job_id: JobId,
    service: Parts,
    caller: Reader,
    last_event_id: Annotated[str | None, Header(description="Go on after this event.")] = None,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="The same, for clients without headers.")] = None,
    follow: Annotated[bool, Query(description="false: only what has happened so far.")] = True,
) -> Response:
    """Server-Sent Events: every change of status, progress as it is made, and the log lines of the engine."""
    job = await run_in_threadpool(service.repository.get, job_id, caller.tenant)
    last_id = _last_id(last_event_id) if last_event_id is not None else after or 0
    if job.status.is_final and not await run_in_threadpool(service.repository.events_after, job_id, last_id, 1):
        return Response(status_code=204)
    slot = service.streams.take(caller.tenant)
    slot.__enter__()
    body = stream(service.repository, job_id, last_id, service.draining, follow=follow)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_held(slot, body), headers=headers, media_type="text/event-stream")


async def _held(slot: AbstractContextManager[None], body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for piece in body:
            yield piece
    finally:
        slot.__exit__(None, None, None)


def _last_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InputError(
            "Last-Event-ID is not the id of an event.",
            suggestion="Send the id that came with the last event.",
            reason="event_id",
        )
    return int(text)
