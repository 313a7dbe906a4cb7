"""Every error as one body: the envelope ``{"error": ...}`` with the members of RFC 9457 beside it; and its HTTP status.

The framework's own errors (no such route, wrong method, a parameter that cannot be read) and whatever nobody expected
come in the same form, with the id of the request.
"""

from __future__ import annotations

import http
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from meshwright.errors import InputError, MeshwrightError
from meshwright.service.http.answers import json_response
from meshwright.service.jobs.rows import clean

Allowed = Sequence[tuple[re.Pattern[str], Collection[str]]]  # routes and the methods that they know
PROBLEM = "application/problem+json"
CLOSED_REQUEST = 499  # the client went away; only ever logged

BY_CODE = {
    "VALIDATION_FAILED": 422,
    "FILE_TOO_LARGE": 413,
    "INVALID_FILE_FORMAT": 422,
    "INVALID_FILE_COUNT": 422,
    "JOB_NOT_FOUND": 404,
    "JOB_NOT_READY": 409,
    "JOB_CANCELLED": 409,
    "JOB_EXPIRED": 410,
    "IDEMPOTENCY_CONFLICT": 422,
    "RATE_LIMITED": 429,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "DISK_FULL": 507,
    "GPU_UNAVAILABLE": 503,
    "ENGINE_UNAVAILABLE": 503,
    "MEMORY_EXHAUSTED": 503,
    "ENGINE_TIMEOUT": 504,
}  # all others: 500
BY_REASON = {
    "image_too_large": 422,  # pixels are found in a file that was received whole
    "capture_pixels": 422,
    "archive_ratio": 422,
    "json_too_large": 422,
    "cancel_not_requested": 400,
    "body_too_slow": 408,
    "content_type": 415,
    "route_unknown": 404,
    "artifact_unknown": 404,
    "method_not_allowed": 405,
    "database_unavailable": 503,
    "storage_unavailable": 503,
    "not_ready": 503,
}


def status_of(error: MeshwrightError) -> int:
    """The HTTP status of an error, by its reason or else its code."""
    return BY_REASON.get(error.reason or "", BY_CODE.get(error.code, 500))


def problem(request: Request, error: MeshwrightError, status: int | None = None, **more: Any) -> Response:
    """The answer that tells of an error."""
    return problem_response(error.to_json()["error"], status or status_of(error), request.scope, **more)


def problem_response(error: Mapping[str, Any], status: int, scope: Mapping[str, Any], **more: Any) -> Response:
    """The same for the inside of an envelope, as jobs carry it."""
    request_id = scope.get("state", {}).get("request_id")
    body = {
        "error": clean(dict(error)),
        "type": f"urn:meshwright:error:{error['code']}",
        "title": _title(status),
        "status": status,
        "detail": error["message"],
        "instance": quote(scope.get("path", ""))[:500],
        "request_id": request_id,
        **more,
    }
    return json_response(clean(body), status, _headers(error, status), media_type=PROBLEM)


def unexpected(scope: Mapping[str, Any]) -> Response:
    """What a client learns of a fault of this program: nothing but where to find it in the logs."""
    fault = MeshwrightError(
        "The service made an error of its own; it is written in its logs under the request's id.",
        suggestion="Try again; report it with the request id if it happens again.",
        reason="internal",
    )
    return problem_response(fault.to_json()["error"], 500, scope)


def add_handlers(app: FastAPI) -> None:
    """Answer every kind of exception that a route may end with."""
    app.add_exception_handler(MeshwrightError, _ours)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _unreadable)


async def _ours(request: Request, error: Exception) -> Response:
    return problem(request, cast(MeshwrightError, error))


async def _framework(request: Request, error: Exception) -> Response:
    told = cast(HTTPException, error)
    known = {
        404: ("There is no such route.", "route_unknown", "See docs/api.md, or /docs, for the routes."),
        405: ("This route does not know that method.", "method_not_allowed", "See the Allow header."),
    }
    message, reason, suggestion = known.get(
        told.status_code, (f"{_title(told.status_code)}.", "http", "Check the request.")
    )
    kind: type[MeshwrightError] = MeshwrightError if told.status_code >= 500 else InputError
    answer = problem(request, kind(message, suggestion=suggestion, reason=reason), told.status_code)
    answer.headers.update(told.headers or {})
    if told.status_code == 405:
        answer.headers["Allow"] = ", ".join(sorted(_methods(request))) or answer.headers.get("Allow", "")
    return answer


def _methods(request: Request) -> set[str]:
    """What the path does know; the framework names the methods of its first route only."""
    known: Allowed = getattr(request.app.state, "allowed", ())
    return set[str]().union(*(methods for pattern, methods in known if pattern.match(request.scope["path"])))


async def _unreadable(request: Request, error: Exception) -> Response:
    found = cast(RequestValidationError, error).errors()[0]
    where = ".".join(str(part)[:64] for part in found.get("loc", ()) if part != "body")
    told = InputError(
        f"{where or 'The request'}: {str(found.get('msg', 'cannot be read'))[:200]}.",
        suggestion="See docs/api.md, or /docs, for what this route takes.",
        reason="bad_parameter",
        field=where,
    )
    return problem(request, told)


def _headers(error: Mapping[str, Any], status: int) -> dict[str, str]:
    found: dict[str, str] = {}
    wait = error.get("details", {}).get("retry_after_s")
    if wait is None and status in (429, 503):
        wait = 5
    if wait is not None:
        found["Retry-After"] = str(int(wait))
    if status == 401:
        found["WWW-Authenticate"] = 'Bearer realm="meshwright"'
    return found


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"
