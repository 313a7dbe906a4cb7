"""The laws of storage on S3 (moto): the same tests as on a folder, and what only S3 can do."""

from __future__ import annotations

import socketserver
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from meshwright.service.storage import Store, open_store
from meshwright.service.storage.store import StorageUnavailable
from service.jobs.conftest import clock, database, database_url, migrated_file, repository  # noqa: F401
from service.storage.test_janitor import *  # noqa: F403
from service.storage.test_publish import *  # noqa: F403
from service.storage.test_store import *  # noqa: F403
from services.servers import BUCKET

pytestmark = pytest.mark.services


@pytest.fixture
def store(s3_url: str) -> Store:
    return open_store(s3_url)


def test_keys_lie_below_the_prefix(store: Store, s3_url: str) -> None:
    store.put_bytes("a/b", b"x")
    assert open_store(f"s3://{BUCKET}").list("some") == [("some/prefix/a/b", 1)]
    assert open_store(f"s3://{BUCKET}/other").list("a") == []


def test_a_signed_url_gives_one_file_to_whoever_has_it(store: Store) -> None:
    store.put_bytes("a/b", b"hello")
    url = store.sign("a/b", 60)
    assert url is not None
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"hello"
    assert "X-Amz-Expires=60" in url


def test_a_large_file_is_sent_in_parts_and_comes_back_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(DATA * 8)  # noqa: F405
    store.put_file("a/large", source)
    store.fetch("a/large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


def test_nothing_lies_here_and_there_is_no_end_of_space(store: Store) -> None:
    store.put_bytes("a/b", b"x")
    assert (store.local_path("a/b"), store.free_bytes(), store.remove_temporaries(0)) == (None, None, 0)


def test_a_missing_bucket_is_the_storage_not_a_missing_file(s3_url: str) -> None:
    with pytest.raises((StorageUnavailable, FileNotFoundError)):
        open_store("s3://no-such-bucket").put_bytes("a/b", b"x")


@contextmanager
def failing_proxy(target: str, failures: int, *, shortens: bool = False) -> Iterator[str]:
    """Answers 503 so many times, then hands everything on; or loses the second half of what is sent."""
    left = [failures]

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            left[0] -= 1
            if left[0] >= 0:
                self.send_error(503, "Slow Down")
                return
            body = body[: len(body) // 2] if shortens else body
            headers = {"Content-Type": "application/octet-stream", **self.headers, "Content-Length": str(len(body))}
            request = urllib.request.Request(target + self.path, body or None, headers, method=self.command)
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    server: socketserver.TCPServer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing_proxy(s3_endpoint, failures=3) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = open_store(s3_url)
        store.put_bytes("a/b", b"x" * 1000)
        assert store.get_bytes("a/b") == b"x" * 1000


@pytest.mark.parametrize("how", ["busy", "gone"])
def test_a_server_that_stays_away_is_named_in_time(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with failing_proxy(s3_endpoint, failures=10_000) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint if how == "busy" else "http://127.0.0.1:1")
        store = open_store(s3_url)
        start = time.monotonic()
        with pytest.raises(StorageUnavailable) as refusal:
            store.put_bytes("a/b", b"x")
        assert refusal.value.reason == "storage_unavailable"
        assert time.monotonic() - start < 30


def test_an_upload_that_lost_its_end_is_not_taken_for_done(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing_proxy(s3_endpoint, failures=0, shortens=True) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StorageUnavailable, match="500 bytes in storage, not 1000"):
            open_store(s3_url).put_bytes("a/b", b"x" * 1000)
