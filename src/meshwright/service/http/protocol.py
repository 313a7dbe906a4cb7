"""uvicorn's HTTP/1.1 protocol with a limit on the time that a request's head may take: it has none of its own."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from meshwright.errors import InputError
from meshwright.service.http.errors import problem_response
from meshwright.service.settings import Settings

KEEP_ALIVE_S = 15
HEAD_BYTES = 32 * 1024
CONNECTIONS = 2000  # above, a new one is closed: each costs a file descriptor and some memory
GRACE_S = 20  # for requests under way when the service is told to stop


def _answer_at_once(transport: asyncio.Transport) -> None:
    """No delay between head and body: asyncio forgets that for sockets that were opened without naming TCP (40 ms)."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class HeadTimed(H11Protocol):
    """Closes a connection on which no request head is complete ``head_s`` seconds after it began."""

    head_s = 10.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A client has connected: its time runs."""
        super().connection_made(transport)
        _answer_at_once(transport)
        self._start()
        if len(self.connections) > CONNECTIONS:
            transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered in the form of all other errors."""
        error = InputError(f"{msg.rstrip('.')}.", suggestion="Send HTTP/1.1.", reason="not_http")
        told = problem_response(error.to_json()["error"], 400, {"path": ""})
        headers = [*told.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(told.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes have come; a request that they complete stops the time."""
        if self._is_idle() and self._head_timer is None:
            self._start()
        super().data_received(data)
        if not self._is_idle():
            self._cancel()

    def on_response_complete(self) -> None:
        """A request was answered; the next one may lie there already."""
        super().on_response_complete()
        if not self._is_idle():  # the next one was there already
            self._cancel()
        elif self.conn.trailing_data[0] and self._head_timer is None:  # or the beginning of it
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._cancel()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _start(self) -> None:
        self._head_timer = self.loop.call_later(self.head_s, self.transport.close)

    def _cancel(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def protocol_with(head_s: float) -> type[H11Protocol]:
    """The protocol class with that limit; uvicorn makes one object of it for each connection."""
    return type("HeadTimed", (HeadTimed,), {"head_s": head_s})


def server_config(app: Any, settings: Settings, **changes: Any) -> uvicorn.Config:
    """How uvicorn serves the application: its own access log off, limits on heads, connections and idle ones."""
    values: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": protocol_with(settings.head_s),
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": GRACE_S,
        "h11_max_incomplete_event_size": HEAD_BYTES,
        "backlog": 512,
        "proxy_headers": bool(settings.public_url),
    }
    return uvicorn.Config(app, **{**values, **changes})
