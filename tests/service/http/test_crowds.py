"""T-13 and T-16: hundreds at once, some of whom never finish; those who do are served, and nobody is counted twice."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import pytest

from service.http.live import Live, png, reason_of, six

Serve = Callable[..., Live]
KIND = b"Content-Type: multipart/form-data; boundary=x\r\n"
HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n" + KIND + b"\r\n"
STALLED = (b"", b"G", b"GET /health HTTP/1.1\r\nHost: x\r\n", HEAD, HEAD + b"--x\r\nContent-Dis")


def test_of_two_hundred_uploads_at_once_each_accepted_one_is_one_job(serve: Serve) -> None:
    server = serve(uploads_at_once=16)

    limits = httpx.Limits(max_connections=200)
    with httpx.Client(base_url=server.url, timeout=60, limits=limits) as client, ThreadPoolExecutor(200) as pool:

        def send(number: int) -> httpx.Response:
            return client.post("/v1/jobs", files=[("views", (f"{number}.png", png(32, number)))])

        answers = list(pool.map(send, range(200)))
    counts = Counter(answer.status_code for answer in answers)
    assert set(counts) <= {202, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert reason_of(answer) == "uploads"
            assert int(answer.headers["retry-after"]) >= 1
    accepted = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    assert len(accepted) == counts[202] == sum(server.service.repository.counts()["queued"].values()) > 0
    assert {key.split("/")[1] for key in server.stored()} == accepted
    server.settle()
    assert server.service.slots.total == 0
    assert server.submit().status_code == 202


@pytest.mark.services  # it needs none, but takes its time
def test_five_hundred_stalled_clients_are_closed_and_hold_nobody_up(serve: Serve) -> None:
    server = serve(head_s=5, body_idle_s=5, uploads_at_once=1000)
    with ExitStack() as stack:
        stalled = []
        for number in range(500):
            stalled.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)))
            stalled[-1].sendall(STALLED[number % len(STALLED)])
        seconds = []
        for _ in range(100):
            began = time.perf_counter()
            assert server.client.get("/health").status_code == 200
            seconds.append(time.perf_counter() - began)
        assert sorted(seconds)[98] < 0.25, "the 99th percentile"
        assert server.submit(six(("front",), depth=False)).status_code == 202
        until = time.monotonic() + 30
        for sock in stalled:
            sock.settimeout(max(0.1, until - time.monotonic()))
            with suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
        assert time.monotonic() < until
    server.settle()
    assert server.service.slots.total == 0
