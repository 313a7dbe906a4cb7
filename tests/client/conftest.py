from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

Script = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """A real HTTP server that answers by a script, one step a request; the last step is repeated."""

    steps: list[Script] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Generator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.seen.append((self.command, self.path, headers, body))
            found.steps[min(len(found.seen), len(found.steps)) - 1](self)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None: ...

    real = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    real.handle_error = lambda *_: None  # type: ignore[method-assign]  # broken links are what the tests are about
    found.url = f"http://127.0.0.1:{real.server_address[1]}"
    threading.Thread(target=real.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    real.shutdown()
    real.server_close()
