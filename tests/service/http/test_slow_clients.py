"""Clients that are slow, lie, or go away, on raw sockets (T-13, T-14, T-60)."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress

import pytest

from service.http.live import Live, live, png

Serve = Callable[..., Live]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """A server whose patience is short."""
    with live(tmp_path_factory.mktemp("quick"), head_s=0.4, body_idle_s=0.4, capture_bytes=2**20) as found:
        yield found


def connect(server: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def read_all(sock: socket.socket) -> bytes:
    found = b""
    try:
        while piece := sock.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def head(length: str, *more: str) -> bytes:
    lines = ["POST /v1/jobs HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=x", length, *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


PART = b'--x\r\nContent-Disposition: form-data; name="views"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n", b"G"])
def test_a_head_that_does_not_end_is_closed(quick: Live, sent: bytes) -> None:
    began = time.monotonic()
    with connect(quick) as sock:
        sock.sendall(sent)
        assert read_all(sock) == b""
    assert 0.3 < time.monotonic() - began < 3


def test_a_head_that_drips_is_closed_too(quick: Live) -> None:
    began = time.monotonic()
    with connect(quick) as sock, suppress(ConnectionResetError, BrokenPipeError):
        for _ in range(200):
            sock.sendall(b"X")
            time.sleep(0.02)
    assert time.monotonic() - began < 3


def test_a_second_head_is_timed_as_the_first(quick: Live) -> None:
    with connect(quick) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /he")
        assert b"200 OK" in read_all(sock)


def test_a_body_that_pauses_is_408(quick: Live) -> None:
    began = time.monotonic()
    with connect(quick) as sock:
        sock.sendall(head("Content-Length: 100000") + PART + b"\x89PNG")
        answer = read_all(sock)
    assert b" 408 " in answer
    assert b"body_too_slow" in answer
    assert time.monotonic() - began < 6
    quick.settle()


def test_a_client_that_goes_away_leaves_nothing(quick: Live) -> None:
    before = quick.stored()
    with connect(quick) as sock:
        sock.sendall(head("Content-Length: 1000000") + PART + bytes(300_000))
        until = time.monotonic() + 5
        while not quick.leftovers() and time.monotonic() < until:
            time.sleep(0.01)
    quick.settle()
    assert quick.service.slots.total == 0
    assert quick.stored() == before


def test_a_body_that_is_declared_too_large_is_413_before_it_comes(quick: Live) -> None:
    with connect(quick) as sock:
        sock.sendall(head("Content-Length: 99999999"))
        answer = read_all(sock)
    assert b" 413 " in answer
    assert b"connection: close" in answer.lower()


def test_an_endless_body_is_413_as_soon_as_the_count_passes(quick: Live) -> None:
    sent = 0
    piece = bytes(65536)
    with connect(quick) as sock:
        sock.sendall(head("Transfer-Encoding: chunked"))
        chunk = PART + piece
        try:
            for _ in range(2000):
                sock.sendall(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
                sent += len(chunk)
                chunk = piece
                sock.setblocking(False)
                try:
                    if sock.recv(1, socket.MSG_PEEK):
                        break
                except BlockingIOError:
                    pass
                finally:
                    sock.settimeout(10)
        except (ConnectionResetError, BrokenPipeError):
            pass
        answer = read_all(sock)
    assert b" 413 " in answer
    assert sent < 40 * 2**20
    quick.settle()


def test_a_length_that_lies_ends_as_a_cut_body(quick: Live) -> None:
    body = PART + png() + b"\r\n--x--\r\n"
    with connect(quick) as sock:
        sock.sendall(head(f"Content-Length: {len(body) - 10}") + body)
        answer = read_all(sock)
    assert b" 422 " in answer.split(b"\r\n")[0]
    assert b"multipart_invalid" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n",
        head("Content-Length: 5\r\nTransfer-Encoding: chunked") + b"0\r\n\r\nGET /x",
        head("Content-Length: 5\r\nContent-Length: 6") + b"12345",
        head("Content-Length: -5"),
        head("Transfer-Encoding: gzip"),
    ],
)
def test_what_is_no_http_is_an_error_in_our_form_or_closed(quick: Live, sent: bytes) -> None:
    with connect(quick) as sock:
        try:
            sock.sendall(sent)
        except ConnectionResetError:
            return
        answer = read_all(sock)
    assert len(re.findall(rb"HTTP/1\.1 \d", answer)) <= 1  # never a second request out of the first one's body
    if answer:
        status_line, _, rest = answer.partition(b"\r\n")
        assert int(status_line.split()[1]) in (400, 413, 422, 501)
        told = json.loads(rest.partition(b"\r\n\r\n")[2])
        assert told["error"]["code"]


def test_slow_clients_do_not_hold_up_others(serve: Serve) -> None:
    server = serve(head_s=20, body_idle_s=20)
    sockets = [connect(server) for _ in range(200)]
    try:
        for index, sock in enumerate(sockets):
            sock.sendall(head("Content-Length: 99999") + PART if index % 5 == 0 else b"GET /health HT")
        seconds = []
        for _ in range(30):
            began = time.perf_counter()
            assert server.client.get("/health").status_code == 200
            seconds.append(time.perf_counter() - began)
        assert sorted(seconds)[-2] < 0.2
    finally:
        for sock in sockets:
            sock.close()
    server.settle()


def test_uploads_do_not_fill_the_memory(serve: Serve) -> None:
    """16 at once, 24 MiB each: held in memory they would be 384 MiB."""
    server = serve()
    body = PART + bytes(24 * 2**20) + b"\r\n--x--\r\n"

    def resident() -> int:
        with open("/proc/self/status") as status:
            return int(re.findall(r"VmRSS:\s+(\d+)", status.read())[0]) * 1024

    def send() -> None:
        with connect(server) as sock:
            sock.settimeout(60)
            sock.sendall(head(f"Content-Length: {len(body)}"))
            view = memoryview(body)
            for at in range(0, len(body), 2**20):
                sock.sendall(view[at : at + 2**20])
            read_all_of_one(sock)

    before, peak = resident(), 0
    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, resident())
        time.sleep(0.02)
    assert peak - before < 160 * 2**20
    server.settle()


def read_all_of_one(sock: socket.socket) -> bytes:
    """One answer on a connection that stays open."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += sock.recv(65536)
    return found
