"""T-58 and T-59: delivered once logically, signed, tried for a day, never longer than its time, never redirected."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest
from standardwebhooks import Webhook

from meshwright.errors import JobNotFound
from meshwright.service.auth.root import root_secret, webhook_secret
from meshwright.service.db import Database
from meshwright.service.settings import Settings
from meshwright.service.webhooks.deliver import Deliverer, deliver_due, replay
from meshwright.service.webhooks.outbox import LADDER_S, Outbox, pause_after

from .conftest import Calendar, Listener, Receiver, serve, shut

Finish = Callable[..., str]


def test_a_webhook_is_a_signed_summary_of_the_job(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish
) -> None:
    job_id = finish_job(receiver.url)
    assert deliver_due(database, settings) == 1
    ((headers, body),) = receiver.requests
    secret = webhook_secret(root_secret(database, settings), settings, "local")
    message = Webhook(secret).verify(body, headers)
    assert message["type"] == "job.completed"
    assert message["data"]["id"] == job_id
    assert headers["accept-encoding"] == "identity"
    assert deliver_due(database, settings) == 0


def test_it_is_signed_by_the_setting_where_there_is_one(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish
) -> None:
    given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    own = settings.model_copy(update={"webhook_secret": type(settings.webhook_secret)(given)})
    finish_job(receiver.url)
    deliver_due(database, own)
    ((headers, body),) = receiver.requests
    Webhook(given).verify(body, headers)


def test_a_target_that_was_down_gets_it_once_when_it_is_up(
    settings: Settings, database: Database, finish_job: Finish, calendar: Calendar
) -> None:
    receiver = Receiver()
    shut(serve(receiver))  # its port is known, and nobody listens
    job_id = finish_job(receiver.url)
    for gap in (0, 5, 295):  # five minutes of it
        calendar.pass_(seconds=gap)
        assert deliver_due(database, settings) == 1
    server = serve(receiver)
    calendar.pass_(seconds=1500)
    assert deliver_due(database, settings) == 1
    calendar.pass_(days=2)
    assert deliver_due(database, settings) == 0
    shut(server)
    (delivery,) = Outbox(database).of_job(job_id, "local")
    assert (len(receiver.requests), delivery.tries, delivery.last_status) == (1, 4, 204)
    assert receiver.requests[0][0]["webhook-id"] == delivery.id


def test_all_tries_have_one_id_and_the_times_of_the_ladder(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish, calendar: Calendar
) -> None:
    receiver.status = 500
    job_id = finish_job(receiver.url)
    began, at = calendar.now, []
    while (delivery := Outbox(database).of_job(job_id, "local")[0]).due_at is not None:
        calendar.now = max(calendar.now, delivery.due_at)
        assert deliver_due(database, settings) == 1
        at.append(round((calendar.now - began).total_seconds()))
    assert tuple(at) == LADDER_S
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    assert len({body for _, body in receiver.requests}) == 1
    assert delivery.abandoned_at is not None


def test_a_setting_ends_the_tries_sooner(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish, calendar: Calendar
) -> None:
    receiver.status = 503
    job_id = finish_job(receiver.url)
    few = settings.model_copy(update={"webhook_tries": 2})
    for _ in range(4):
        deliver_due(database, few)
        calendar.pass_(days=1)
    assert len(receiver.requests) == 2
    assert Outbox(database).of_job(job_id, "local")[0].last_error == "HTTP 503."


def test_the_pauses_add_up_to_a_day() -> None:
    assert sum(pause_after(n).total_seconds() for n in range(1, len(LADDER_S))) == 86_400
    assert pause_after(50).total_seconds() == LADDER_S[-1] - LADDER_S[-2]


def test_410_closes_the_endpoint_and_a_replay_opens_it(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish, calendar: Calendar
) -> None:
    receiver.status = 410
    first = finish_job(receiver.url)
    deliver_due(database, settings)
    later, others = finish_job(receiver.url), finish_job(receiver.url, tenant="other")
    deliver_due(database, settings)
    assert len(receiver.requests) == 2  # the first, and the other tenant's
    outbox = Outbox(database)
    assert outbox.of_job(later, "local")[0].abandoned_at is not None
    assert outbox.of_job(others, "other")[0].last_status == 410
    receiver.status = 204
    replay(database, outbox.of_job(first, "local")[0].id, "local")
    finish_job(receiver.url)
    deliver_due(database, settings)
    assert len(receiver.requests) == 4
    assert outbox.of_job(first, "local")[0].delivered_at is not None


def test_a_replay_has_the_old_id(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish
) -> None:
    job_id = finish_job(receiver.url)
    deliver_due(database, settings)
    replay(database, Outbox(database).of_job(job_id, "local")[0].id, "local")
    deliver_due(database, settings)
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    assert len(receiver.requests) == 2


def test_nobody_replays_another_tenants_webhook(receiver: Receiver, database: Database, finish_job: Finish) -> None:
    job_id = finish_job(receiver.url, tenant="acme")
    delivery = Outbox(database).of_job(job_id, "acme")[0]
    with pytest.raises(JobNotFound) as caught:
        replay(database, delivery.id, "other")
    assert caught.value.reason == "delivery_unknown"
    assert Outbox(database).of_job(job_id, "other") == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(
    status: int, receiver: Receiver, listener: Listener, settings: Settings, database: Database, finish_job: Finish
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", f"http://127.0.0.1:{listener.port}/")
        handler.end_headers()

    receiver.answer = answer
    job_id = finish_job(receiver.url)
    deliver_due(database, settings)
    assert Outbox(database).of_job(job_id, "local")[0].last_error == f"HTTP {status}."
    assert listener.connections == 0


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65_536)


def gzip_bomb(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(gzip.compress(bytes(2**24)))


def never_ending_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "10")
    handler.end_headers()
    handler.wfile.flush()
    time.sleep(0.5)


@pytest.mark.parametrize("answer", [endless, gzip_bomb, never_ending_body], ids=lambda f: f.__name__)
def test_the_body_of_an_answer_costs_nothing(
    answer: Callable[[BaseHTTPRequestHandler], None], receiver: Receiver, settings: Settings, database: Database,
    finish_job: Finish,
) -> None:  # fmt: skip
    receiver.answer = answer
    job_id = finish_job(receiver.url)
    began = time.monotonic()
    deliver_due(database, settings)
    assert time.monotonic() - began < 2
    assert Outbox(database).of_job(job_id, "local")[0].last_status == 200


def dripping_head(handler: BaseHTTPRequestHandler) -> None:
    """One byte at a time: every single read is fast, the whole never ends."""
    for _ in range(40):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.05)


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1)


def huge_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000_000)


@pytest.mark.parametrize("answer", [dripping_head, silent, huge_head], ids=lambda f: f.__name__)
def test_a_try_ends_in_its_time(
    answer: Callable[[BaseHTTPRequestHandler], None], receiver: Receiver, settings: Settings, database: Database,
    finish_job: Finish,
) -> None:  # fmt: skip
    receiver.answer = answer
    job_id = finish_job(receiver.url)
    began = time.monotonic()
    deliver_due(database, settings.model_copy(update={"webhook_timeout_s": 0.3}))
    assert time.monotonic() - began < 1
    delivery = Outbox(database).of_job(job_id, "local")[0]
    assert delivery.last_status is None
    assert delivery.last_error


def test_a_host_that_is_down_is_knocked_at_once_a_round(
    settings: Settings, database: Database, finish_job: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    shut(serve(receiver))
    for _ in range(5):
        finish_job(receiver.url)
    deliverer = Deliverer(database, settings)
    knocks: list[str] = []
    send = deliverer.send
    monkeypatch.setattr(deliverer, "send", lambda delivery: knocks.append(delivery.id) or send(delivery))
    assert deliverer.deliver_due() == 5
    assert len(knocks) == 1


def test_two_processes_never_send_the_same_one_at_once(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish, calendar: Calendar
) -> None:
    finish_job(receiver.url)
    one, two = Outbox(database), Outbox(database)
    (mine,) = one.claim()
    assert two.claim() == []
    calendar.pass_(seconds=61)  # the first process died
    (again,) = two.claim()
    assert (again.id, again.tries) == (mine.id, 2)
    one.succeed(mine, 200)  # and came back: its lease is not the present one
    assert two.of_job(again.job_id, "local")[0].delivered_at is None
    two.succeed(again, 200)
    assert two.of_job(again.job_id, "local")[0].delivered_at is not None


def test_a_webhook_on_its_way_leaves_with_the_thread(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish
) -> None:
    arrived = threading.Event()
    receiver.answer = lambda handler: (handler.send_response(204), handler.end_headers(), arrived.set())[0]
    deliverer = Deliverer(database, settings)
    deliverer.start()
    finish_job(receiver.url)
    assert arrived.wait(5)
    deliverer.stop()
    assert not deliverer._thread.is_alive()


def test_the_secret_is_in_no_row(
    receiver: Receiver, settings: Settings, database: Database, finish_job: Finish
) -> None:
    finish_job(receiver.url)
    deliver_due(database, settings)
    secret = webhook_secret(root_secret(database, settings), settings, "local")
    assert secret not in json.dumps([body.decode() for _, body in receiver.requests])
    files = [path for path in settings.data_dir.iterdir() if path.is_file()]
    assert all(secret.encode() not in path.read_bytes() for path in files)
