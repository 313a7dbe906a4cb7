"""Clients that are too slow, and answers given before a body was read to its end.

A request's body may pause for ``body_idle_s`` at most, and after a first half minute has to come at 1 kB a second on
average. An answer that comes before the body's end (a refused upload) closes the connection; some of the rest is
swallowed first, or the client would see a reset connection in place of the answer.
"""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshwright.errors import InputError
from meshwright.service.http.errors import problem_response

FREE_S = 30.0
BYTES_PER_S = 1000
SWALLOW_S = 2.0
SWALLOW_BYTES = 32 * 2**20
WRITE_S = 60.0  # longest time that a client may leave its answer unread


class BodyTooSlow(InputError):
    """The request's body came too slowly."""


class Watchdog:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, idle_s: float) -> None:
        self.app = app
        self.idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        names = {name for name, _ in scope["headers"]}
        if {b"content-length", b"transfer-encoding"} <= names:
            await _refuse(scope, receive, send)
            return
        has_body = b"content-length" in names or b"transfer-encoding" in names
        body = _Body(receive, send, self.idle_s, has_body=has_body)
        await self.app(scope, body.receive, body.send)


class _Body:
    """The two channels of one request."""

    def __init__(self, receive: Receive, send: Send, idle_s: float, *, has_body: bool) -> None:
        self._receive, self._send, self._idle_s = receive, send, idle_s
        self._began = time.monotonic()
        self._count = 0
        self._ended = not has_body

    async def receive(self) -> Message:
        """The next piece of the body; after its end, whatever comes, without a limit."""
        if self._ended:
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle_s):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow(f"paused for more than {self._idle_s:g} s") from None
        self._count += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        elapsed = time.monotonic() - self._began
        if not self._ended and elapsed > FREE_S and self._count < BYTES_PER_S * elapsed:
            raise _too_slow(f"came at less than {BYTES_PER_S:,} bytes a second")
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on; see the module for one that comes before the body's end."""
        if message["type"] == "http.response.start" and not await self._is_read():
            message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and not self._ended:
            await self._write({**message, "more_body": True})
            await self._swallow()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._write(message)

    async def _is_read(self) -> bool:
        """Whether the body is at its end; one that is there already, or is none, is taken for read."""
        while not self._ended:
            try:
                async with asyncio.timeout(0.001):
                    message = await self._receive()
            except TimeoutError:
                return False
            self._count += len(message.get("body", b""))
            self._ended = message["type"] != "http.request" or not message.get("more_body", False)
            if self._count > SWALLOW_BYTES:
                return False
        return True

    async def _swallow(self) -> None:
        until, count = time.monotonic() + SWALLOW_S, 0
        while not self._ended and count < SWALLOW_BYTES and (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    message = await self._receive()
            except TimeoutError:
                return
            count += len(message.get("body", b""))
            self._ended = message["type"] != "http.request" or not message.get("more_body", False)

    async def _write(self, message: Message) -> None:
        try:
            async with asyncio.timeout(WRITE_S):  # wait_for makes a task each time, up to Python 3.11
                await self._send(message)
        except TimeoutError:
            raise ConnectionAbortedError("the client does not read its answer") from None


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """A request with two lengths may be two requests to a proxy; it is answered, and nothing after it is read."""
    error = InputError(
        "The request has both a Content-Length and a Transfer-Encoding.", suggestion="Send one.", reason="not_http"
    )
    answer = problem_response(error.to_json()["error"], 400, scope)
    answer.headers["connection"] = "close"
    await answer(scope, receive, send)


def _too_slow(what: str) -> BodyTooSlow:
    return BodyTooSlow(
        f"The request's body {what}.", suggestion="Send it again over a better connection.", reason="body_too_slow"
    )
