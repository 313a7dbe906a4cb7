"""T-60: requests that a proxy and this service might read differently, other sites' pages, answers that could split."""

from __future__ import annotations

import json
import re
import socket

import pytest

from service.http.live import Live

CANARY = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d+) ")
POST = b"POST /v1/validate HTTP/1.1\r\nHost: x\r\n"


def exchange(server: Live, sent: bytes) -> bytes:
    """All that comes back until the server closes, or has been silent for a moment."""
    found = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=1.0) as sock:
        try:
            sock.sendall(sent)
            while piece := sock.recv(65536):
                found += piece
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return found


def chunked(*headers: bytes) -> bytes:
    return POST + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        chunked(b"Content-Length: 0", b"Transfer-Encoding: chunked") + CANARY,
        chunked(b"Content-Length: 4", b"Transfer-Encoding : chunked") + b"0\r\n\r\n" + CANARY,
        chunked(b"Content-Length: 4", b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + CANARY,
        chunked(b"Content-Length: 4", b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n" + CANARY,
        chunked(b"Content-Length: 4", b"Transfer-Encoding: identity, chunked") + b"0\r\n\r\n" + CANARY,
        chunked(b"Content-Length: 4", b"X: y", b" Transfer-Encoding: chunked") + b"0\r\n\r\n" + CANARY,
        chunked(b"Content-Length: 4", b"Content-Length: 0") + CANARY,
        chunked(b"Content-Length: 4, 0") + CANARY,
        chunked(b"Content-Length: +4") + CANARY,
        chunked(b"Content-Length: 0x4") + CANARY,
        chunked(b"Content-Length: 4\nTransfer-Encoding: chunked") + b"0\r\n\r\n" + CANARY,
        chunked(b"Transfer-Encoding: chunked") + b"0x5\r\nhello\r\n0\r\n\r\n" + CANARY,
        chunked(b"Transfer-Encoding: chunked") + b"-1\r\nhello\r\n0\r\n\r\n" + CANARY,
        chunked(b"Transfer-Encoding: chunked") + b"5;" + b"x" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
        chunked(b"Transfer-Encoding: chunked") + b"ffffffffffffffffff\r\n" + CANARY,
        b"POST /v1/validate HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + CANARY,
    ],
)
def test_a_length_that_can_be_read_two_ways_never_hides_a_second_request(server: Live, sent: bytes) -> None:
    answer = exchange(server, sent)
    assert b"route_unknown" not in answer
    assert b"smuggled" not in answer
    statuses = ANSWER.findall(answer)
    assert all(400 <= int(status) < 500 for status in statuses)
    assert set(statuses[1:]) <= {b"400"}, "what is left over is no request"


def test_two_plain_requests_on_one_connection_are_two_answers(server: Live) -> None:
    """So that the law above is not kept by a server that never answers a second request."""
    first = chunked(b"Content-Type: application/json", b"Content-Length: 2") + b"{}"
    answer = exchange(server, first + CANARY)
    assert len(ANSWER.findall(answer)) == 2
    assert b"route_unknown" in answer


@pytest.mark.parametrize("path", ["/health", "/v1/jobs", "/openapi.json", "/nope"])
def test_no_other_site_is_allowed_in(server: Live, path: str) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET"):
        answer = server.client.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert server.client.options(path).status_code in (404, 405)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCH", "PROPFIND", "BREW"])
def test_methods_that_nobody_needs_are_not_there(server: Live, method: str) -> None:
    sent = f"{method} /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Secret: s3cret\r\nConnection: close\r\n\r\n"
    answer = exchange(server, sent.encode())
    assert int(answer.split()[1]) in (400, 404, 405, 501)
    assert b"s3cret" not in answer


@pytest.mark.parametrize("header", ["X-Request-ID", "Idempotency-Key", "Last-Event-ID", "Range", "If-Match", "Origin"])
def test_no_header_of_a_request_splits_an_answer(server: Live, header: str) -> None:
    evil_ones = (b"a\rX-Injected: y", b"a\nX-Injected: y", b"a\r\n\tX-Injected: y", b"a%0d%0aX-Injected: y")
    for evil in (*evil_ones, b"\xe5\x98\x8aX-Injected: y"):
        sent = (
            b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n" + header.encode() + b": " + evil + b"\r\nConnection: close\r\n\r\n"
        )
        head = exchange(server, sent).partition(b"\r\n\r\n")[0]
        assert not [line for line in re.split(rb"[\r\n]+", head) if line.lower().startswith(b"x-injected")]


def test_a_huge_json_body_is_refused_by_size_and_a_deep_one_by_form(server: Live) -> None:
    job_id = server.submitted()
    headers = {"Content-Type": "application/json"}
    huge = server.client.post(f"/v1/jobs/{job_id}/cancel", content=b"[" + b"0," * 2_000_000 + b"0]", headers=headers)
    assert huge.status_code == 413
    deep = server.client.post(f"/v1/jobs/{job_id}/cancel", content=b"[" * 20_000, headers=headers)
    assert deep.status_code in (413, 422)
    assert json.loads(deep.text)["error"]["code"]
