"""Celery on Redis as a doorbell: ids only, JSON only, and nothing is lost with it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as client
from kombu import Connection

from meshwright.service.jobs.job import Job, Status
from meshwright.service.queue.celery import TASK, CeleryQueue, queue_name
from meshwright.service.queue.reaper import sweep
from meshwright.service.worker.start import open_queue
from meshwright.service.worker.worker import Worker
from service.jobs.conftest import migrated_file
from service.worker.conftest import Place, place, wait_for
from services.redis_server import Redis

pytestmark = pytest.mark.services
__all__ = ["migrated_file", "place"]


@pytest.fixture
def queue(redis_url: str) -> Iterator[CeleryQueue]:
    opened = CeleryQueue(redis_url)
    yield opened
    opened.close()
    opened.app.close()


@contextmanager
def listening(place: Place, url: str, **changes: Any) -> Iterator[Worker]:
    """A worker in a thread that is rung for."""
    settings = place.with_settings(queue="celery", redis_url=url)
    queue = open_queue(settings)
    assert isinstance(queue, CeleryQueue)
    try:
        with place.worker(settings=settings, queue=queue, **changes) as worker:
            yield worker
    finally:
        queue.app.close()


def announced(place: Place, queue: CeleryQueue, *script: str, **changes: Any) -> Job:
    job = place.submit(*script, **changes)
    queue.announce(job)
    return job


def test_what_is_announced_is_heard_once_and_in_order(place: Place, queue: CeleryQueue) -> None:
    jobs = [announced(place, queue) for _ in range(3)]
    assert [queue.wait(5) for _ in jobs] == [job.id for job in jobs]
    assert queue.wait(0.1) is None


def test_a_message_is_a_usual_task_of_celery_that_holds_an_id_and_nothing_else(
    place: Place, queue: CeleryQueue, redis_url: str
) -> None:
    job = announced(place, queue, name="my secret shoe")
    with client.Redis.from_url(redis_url) as raw:
        (text,) = raw.lrange(queue_name("cpu"), 0, -1)
    message = json.loads(text)
    assert (message["headers"]["task"], message["content-type"]) == (TASK, "application/json")
    assert "secret" not in text.decode()
    assert message["headers"]["argsrepr"] == f"['{job.id}']"


def test_a_device_class_hears_only_its_own(place: Place, queue: CeleryQueue, redis_url: str) -> None:
    job = announced(place, queue, device="cuda")
    cpu, cuda = CeleryQueue(redis_url, ["cpu"]), CeleryQueue(redis_url, ["cuda"])
    assert cpu.wait(0.3) is None
    assert cuda.wait(5) == job.id
    for each in (cpu, cuda):
        each.close()
        each.app.close()


def test_two_listeners_share_the_messages_and_take_none_while_they_work(
    place: Place, queue: CeleryQueue, redis_url: str
) -> None:
    other = CeleryQueue(redis_url)
    assert other.wait(0.1) is None  # connected, and busy from here on
    time.sleep(1.2)
    jobs = [announced(place, queue) for _ in range(2)]
    assert {queue.wait(5), queue.wait(5)} == {job.id for job in jobs}
    other.close()
    other.app.close()


def test_a_pickled_message_is_refused_unread(queue: CeleryQueue, redis_url: str, tmp_path: Path) -> None:
    target = tmp_path / "touched"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (target,))

    with Connection(redis_url) as connection, connection.SimpleQueue(queue_name("cpu")) as raw:
        raw.put([[Bomb()], {}, {}], serializer="pickle")
        raw.put({"not": "a task"}, serializer="json")
    assert queue.wait(5) is None
    assert queue.wait(5) is None
    assert not target.exists()


def test_a_broker_that_is_away_delays_and_raises_nothing(place: Place, queue: CeleryQueue, redis_server: Redis) -> None:
    redis_server.kill()
    began = time.monotonic()
    job = announced(place, queue)
    assert time.monotonic() - began < 3
    assert queue.wait(0.2) is None
    redis_server.start()
    assert wait_for(lambda: queue.wait(0.2) is None)
    queue.announce(job)
    assert wait_for(lambda: queue.wait(1.0)) == job.id


def test_a_worker_is_woken_at_once(place: Place, queue: CeleryQueue, redis_url: str) -> None:
    with listening(place, redis_url):
        place.until(announced(place, queue))
        time.sleep(0.5)
        job = announced(place, queue)
        ended = place.until(job)
    assert ended.status is Status.COMPLETED
    assert ended.started_at is not None
    assert (ended.started_at - ended.created_at).total_seconds() < 2


def test_fifty_jobs_survive_a_broker_that_forgets_them_all(
    place: Place, queue: CeleryQueue, redis_server: Redis
) -> None:
    jobs = [announced(place, queue) for _ in range(50)]
    redis_server.kill()
    redis_server.start()
    assert sweep(place.repository, queue, stale_s=0.0).announced == 50
    with listening(place, redis_server.url), listening(place, redis_server.url):
        ended = [place.until(job) for job in jobs]
    assert {(job.status, job.attempt) for job in ended} == {(Status.COMPLETED, 1)}


def test_ringing_twice_runs_once(place: Place, queue: CeleryQueue, redis_url: str) -> None:
    job = announced(place, queue)
    queue.announce(job)
    with listening(place, redis_url):
        place.until(job)
        following = place.until(announced(place, queue))
    assert following.status is Status.COMPLETED
    assert place.repository.get(job.id).attempt == 1


def test_a_worker_looks_at_the_table_even_when_nobody_rings(place: Place, redis_url: str) -> None:
    job = place.submit()
    with listening(place, redis_url):
        assert place.until(job).status is Status.COMPLETED
