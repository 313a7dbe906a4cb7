"""How a job is followed: what was seen, how far it is, and when to ask again. The clients do the asking."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from meshwright.client.models import FINAL, JobEvent, JobInfo, JobProgress
from meshwright.errors import ServiceError

FIRST_POLL_S, LONGEST_POLL_S, POLL_GROWTH = 0.25, 5.0, 1.5
STREAM_SILENCE_S = 30.0  # a live stream says at least a comment in this time
NO_STREAM = frozenset({404, 405, 406, 501})  # the service, or a proxy, has no stream: ask now and then instead


class Watch:
    """The state of following one job. Progress never goes back within a run, whichever way it came."""

    def __init__(self, timeout_s: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.deadline = None if timeout_s is None else clock() + timeout_s
        self.last_id = 0
        self.can_stream = True
        self.latest = JobProgress(status="queued")
        self._pause = FIRST_POLL_S

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.latest.status in FINAL

    def see_event(self, event: JobEvent) -> JobProgress | None:
        """Take in an event of the stream; returns the progress where it changed."""
        self.last_id = max(self.last_id, event.id)
        self._pause = FIRST_POLL_S
        if event.kind == "status":
            status = str(event.data.get("status", self.latest.status))
            if status == "queued":  # also what a retry begins with
                self.latest = JobProgress(status=status)
            return self._move(status=status, queue_position=None)
        if event.kind == "progress":
            known = {name: event.data[name] for name in ("stage", "fraction", "message", "eta_s") if name in event.data}
            return self._move(status="processing", **known)
        return None

    def see_info(self, info: JobInfo) -> JobProgress | None:
        """Take in the job itself; returns the progress where it changed."""
        return self._move(
            status=info.status,
            fraction=info.fraction if info.fraction is not None else (info.progress or 0) / 100,
            stage=info.stage,
            message=info.message,
            eta_s=info.eta_s,
            queue_position=info.queue_position,
        )

    def see_answer(self, response: httpx.Response) -> bool:
        """Whether an answer to the request for a stream is one; if it never will be, that is remembered."""
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if response.status_code in NO_STREAM or (response.status_code == 200 and not is_stream):
            self.can_stream = False
        return response.status_code == 200 and is_stream

    def headers(self) -> dict[str, str]:
        """Headers of a request for the stream, from where it broke off."""
        return {"Accept": "text/event-stream", **({"Last-Event-ID": str(self.last_id)} if self.last_id else {})}

    def timeout(self) -> httpx.Timeout:
        """Timeouts of the stream: it may be silent, but not for long, and not beyond the deadline."""
        return httpx.Timeout(10.0, read=min(STREAM_SILENCE_S, max(0.05, self.left())))

    def left(self) -> float:
        """Seconds until the caller no longer wants to wait."""
        return float("inf") if self.deadline is None else self.deadline - self.clock()

    def pause(self) -> float:
        """Seconds until the next look, longer each time.

        Raises:
            ServiceError: reason ``wait_timeout``, when the caller's time is over; the job goes on.
        """
        self.check_time()
        now, self._pause = self._pause, min(LONGEST_POLL_S, self._pause * POLL_GROWTH)
        return min(now, max(0.0, self.left()))

    def check_time(self) -> None:
        """Raise when the caller's time is over."""
        if self.left() <= 0:
            raise ServiceError(
                "The job has not ended within the time to wait; it goes on.",
                suggestion="Wait longer, or come back to it by its id.",
                reason="wait_timeout",
            )

    def _move(self, **changes: Any) -> JobProgress | None:
        before = self.latest
        merged = {**before.model_dump(), **changes}
        merged["fraction"] = 1.0 if merged["status"] == "completed" else max(before.fraction, float(merged["fraction"]))
        self.latest = JobProgress.model_validate(merged)
        return self.latest if self.latest != before else None
