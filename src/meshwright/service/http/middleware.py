"""Around every request: its id, its log line, its time, headers that keep browsers from guessing, and the last resort
for what nobody expected."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshwright.service.http.errors import CLOSED_REQUEST, unexpected
from meshwright.service.logs import bound, logger

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DOCS = ("/docs", "/redoc")
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")
QUIET = frozenset({"/health", "/ready", "/metrics"})  # asked for every few seconds: logged only when they fail
Observe = Callable[[str, str, int, float], None]


class RequestMiddleware:
    """ASGI middleware; ``observe(method, route, status, seconds)`` is told of every answer."""

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        self.app = app
        self.observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, scope)
        began = time.monotonic()
        with bound(request_id=request_id):
            try:
                await self.app(scope, receive, answer.send)
            except ClientDisconnect:
                answer.status = answer.status or CLOSED_REQUEST
            except ConnectionAbortedError:
                raise  # uvicorn closes the connection
            except Exception:
                logger().exception("request failed", method=scope["method"], path=scope["path"])
                if answer.status:
                    raise
                await unexpected(scope)(scope, receive, answer.send)
            self._tell(scope, answer.status, time.monotonic() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        self.observe(scope["method"], _route(scope), status, seconds)
        if scope["path"] in QUIET and status < 400:
            return
        principal = scope["state"].get("principal")
        logger().info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 1),
            tenant=principal.tenant if principal else None,
            client=(scope.get("client") or ("",))[0],
        )


class _Answer:
    """The answer's channel: adds the headers and remembers the status."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._state: dict[str, Any] = scope["state"]
        self._is_docs = scope["path"] in DOCS
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[tuple[bytes, bytes]] = [*message.get("headers", []), *SECURITY]
            headers.append((b"x-request-id", self._state["request_id"].encode()))
            rates: dict[str, str] = self._state.get("rate_headers", {})
            headers += [(name.lower().encode(), value.encode()) for name, value in rates.items()]
            if not self._is_docs:  # that page loads its scripts from elsewhere
                headers.append(POLICY)
            message = {**message, "headers": headers}
        await self._send(message)


def _request_id(scope: Scope) -> str:
    """The client's, if it is one that can be written anywhere; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if REQUEST_ID.fullmatch(text):
                return text
    return secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """The route's pattern, never the path itself: a label for each id would fill the memory of whoever counts."""
    route: Any = scope.get("route")
    return getattr(route, "path", "unknown")
