"""What a scripted server answers."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any

from .conftest import Script


def answers(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> Script:
    """A whole answer; a dictionary becomes JSON."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return step


def breaks(after: bytes = b"", status: int = 200, length: int = 1000, **headers: str) -> Script:
    """An answer that is cut short; with nothing before the cut, not even a head is sent."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        if after:
            handler.send_response(status)
            handler.send_header("Content-Length", str(length))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(after)
            handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return step


def streams(*events: tuple[int, str, dict[str, Any]], close: bool = True) -> Script:
    """Server-sent events, then the end of the connection."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b": hello\n\n")
        for number, kind, data in events:
            handler.wfile.write(f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode())
        handler.close_connection = close

    return step


def job(status: str, **more: Any) -> Script:
    """A job as the service shows it."""
    return answers(200, {"job_id": "J", "status": status, "progress": 0, **more})


def refuses(status: int, code: str, reason: str = "", **headers: str) -> Script:
    """An error envelope."""
    details = {"reason": reason} if reason else {}
    error = {"code": code, "message": f"told {code}", "details": details, "suggestion": "Do this."}
    return answers(status, {"error": error, "status": status}, **headers)
