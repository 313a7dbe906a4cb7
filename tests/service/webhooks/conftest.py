from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from meshwright.service.db import Database, upgrade
from meshwright.service.jobs.job import NewJob, Outcome, Status, new_job_id
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings

PEM = Path(__file__).parent / "hook.test.pem"  # a certificate for hook.test, made for these tests


class Calendar:
    """The database's time, moved by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Receiver:
    """A real HTTP server that keeps what it gets. ``answer`` writes the whole response."""

    status: int = 204
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0
    is_up: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", webhook_private=True, webhook_timeout_s=5, _env_file=None)


@pytest.fixture
def database(settings: Settings, calendar: Calendar) -> Generator[Database]:
    with closing(Database(settings.database, clock=calendar)) as database:
        upgrade(database)
        yield database


@pytest.fixture
def finish_job(database: Database, settings: Settings) -> Callable[[str], str]:
    """Run a job with a webhook to its end; returns its id."""
    repository = JobRepository(database, settings)

    def finish(url: str, tenant: str = "local") -> str:
        new = NewJob(new_job_id(), tenant, "fusion", {}, "0" * 64, 1, webhook_url=url)
        repository.submit(new)
        job = repository.claim("worker", devices=["cpu"], job_id=new.id)
        assert job is not None
        assert repository.finish(job.id, job.attempt, Outcome(Status.COMPLETED, verdict="normal"))
        return job.id

    return finish


def serve(receiver: Receiver, *, tls: bool = False) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if receiver.answer is not None:
                receiver.answer(self)
                return
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is what some tests do
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def shut(server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    receiver = Receiver()
    server = serve(receiver)
    yield receiver
    shut(server)


@pytest.fixture
def tls_receiver() -> Generator[Receiver]:
    receiver = Receiver()
    server = serve(receiver, tls=True)
    yield receiver
    shut(server)


@dataclass
class Listener:
    """A socket on 127.0.0.1 that counts who connects."""

    port: int
    connections: int = 0


@pytest.fixture
def listener() -> Generator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Listener(server.getsockname()[1])
        server.settimeout(0.05)
        stop = threading.Event()

        def count() -> None:
            while not stop.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue
                found.connections += 1

        thread = threading.Thread(target=count)
        thread.start()
        yield found
        stop.set()
        thread.join()
