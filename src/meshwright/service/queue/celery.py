"""Celery on Redis as a doorbell: its messages carry a job's id and nothing else.

Messages are acknowledged before the work (a lost one is sent again by the reaper, so redelivery by Redis' timeout is
never waited for), there is no result backend, one message is taken at a time, and JSON is the only content accepted.
A worker listens while it has nothing to do, so no message waits behind a long job. The task has its usual form: what
Celery's own tools show and purge is what workers get.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import ContentDisallowed, DecodeError, OperationalError
from kombu.messaging import Consumer
from redis.exceptions import RedisError

from meshwright.service.failpoints import failpoint
from meshwright.service.jobs.job import Job

TASK = "meshwright.run"
CONNECT_S = 2.0  # a broker that is away must not hold up a submission
FAULTS = (OperationalError, RedisError, OSError)
log = structlog.get_logger("meshwright.queue")


def make_app(redis_url: str) -> Celery:
    """The Celery application, for producers, listeners and Celery's own tools."""
    app = Celery("meshwright", broker=redis_url)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        task_default_queue=queue_name("cpu"),
        broker_connection_timeout=CONNECT_S,
        broker_transport_options={"socket_timeout": 10.0, "socket_connect_timeout": CONNECT_S, "max_retries": 0},
        broker_connection_retry_on_startup=True,
    )
    return app


def queue_name(device: str) -> str:
    """The Redis list of a device class."""
    return f"meshwright.{device}"


class CeleryQueue:
    """Implements :class:`.protocol.Queue`; each thread that waits has its own connection."""

    def __init__(self, redis_url: str, devices: Sequence[str] = ("cpu", "cuda")) -> None:
        self.app = make_app(redis_url)
        self._devices = tuple(devices)
        self._mine = threading.local()

    def announce(self, job: Job) -> None:
        """Ring for a job; when the broker is away, the reaper rings later."""
        failpoint("announce.before")
        try:
            self.app.send_task(TASK, args=[job.id], queue=queue_name(job.device), retry=False)
        except FAULTS as error:
            log.warning("announce_failed", job_id=job.id, error=str(error))
        failpoint("announce.after")

    def wait(self, timeout_s: float) -> str | None:
        """The id in the next message; None when none came, or what came is no such message."""
        try:
            body = self._listener().next(timeout_s)
        except FAULTS as error:
            log.warning("broker_unavailable", error=str(error))
            self._forget()
            time.sleep(timeout_s)
            return None
        return None if body is None else _job_id(body)

    def close(self) -> None:
        """Close this thread's connection."""
        self._forget()

    def _listener(self) -> Listener:
        listener: Listener | None = getattr(self._mine, "listener", None)
        if listener is None:
            listener = self._mine.listener = Listener(self.app, [queue_name(device) for device in self._devices])
        return listener

    def _forget(self) -> None:
        listener: Listener | None = getattr(self._mine, "listener", None)
        self._mine.listener = None
        if listener is not None:
            with suppress(*FAULTS):
                listener.close()


class Listener:
    """A connection that takes one message at a time from its queues, and nothing while nobody asks."""

    def __init__(self, app: Celery, names: Sequence[str]) -> None:
        self._taken: deque[Any] = deque()
        self._connection: Any = app.connection_for_read()
        self._connection.ensure_connection(max_retries=1, timeout=CONNECT_S)
        queues = [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in names]
        self._consumer = Consumer(self._connection.channel(), queues, on_message=self._take, accept=["json"])
        self._consumer.qos(prefetch_count=1)
        self._consumer.consume(no_ack=True)  # taken is taken: should this process die, the reaper rings again

    def next(self, timeout_s: float) -> Any | None:
        """The body of the next message, an empty one for what cannot be read; None when there was none for so long."""
        deadline = time.monotonic() + timeout_s
        while not self._taken:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=left)
        return self._taken.popleft()

    def close(self) -> None:
        """Give the connection up."""
        self._connection.release()

    def _take(self, message: Any) -> None:
        try:
            self._taken.append(message.decode())
        except (ContentDisallowed, DecodeError) as error:
            log.warning("message_refused", error=str(error))
            self._taken.append(())


def _job_id(body: Any) -> str | None:
    """The id in the body of a task's message, ``[args, kwargs, embedded]``."""
    match body:
        case [[str() as job_id, *_], *_]:
            return job_id
        case _:
            return None
