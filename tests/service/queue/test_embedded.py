"""The embedded queue wakes workers of its process, and lets the others look."""

from __future__ import annotations

import threading
import time

import pytest

from meshwright.service.jobs.job import Job
from meshwright.service.queue.embedded import EmbeddedQueue
from meshwright.service.queue.protocol import Queue


@pytest.fixture
def job() -> Job:
    return object.__new__(Job)


def test_it_is_a_queue(job: Job) -> None:
    queue: Queue = EmbeddedQueue(0.01)
    queue.announce(job)
    assert queue.wait(1) is None


def test_an_announcement_wakes_a_waiting_worker(job: Job) -> None:
    queue = EmbeddedQueue(30)
    threading.Timer(0.1, queue.announce, [job]).start()
    start = time.monotonic()
    queue.wait(30)
    assert time.monotonic() - start < 5


def test_an_announcement_before_the_wait_is_heard_once(job: Job) -> None:
    queue = EmbeddedQueue(0.2)
    queue.announce(job)
    start = time.monotonic()
    queue.wait(30)
    assert time.monotonic() - start < 0.15
    queue.wait(30)
    assert time.monotonic() - start >= 0.2


def test_a_wait_is_as_short_as_it_is_asked_to_be() -> None:
    start = time.monotonic()
    EmbeddedQueue(30).wait(0.05)
    assert time.monotonic() - start < 5
