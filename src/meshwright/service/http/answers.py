"""JSON answers as the service gives them: UTF-8, never NaN or infinity, never stored by a cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect

from meshwright.errors import FileTooLarge, InputError

BODY_BYTES = 64 * 1024


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


def answer(value: Answer, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A model as a response; numbers that are not finite become null."""
    return _response(value.model_dump_json().encode(), status, headers, "application/json")


def json_response(
    value: dict[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """A dictionary of plain values as a response.

    Raises:
        ValueError: a number is not finite.
    """
    body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    return _response(body, status, headers, media_type)


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a small body; an empty body is an empty object.

    Raises:
        FileTooLarge: reason ``body_too_large``.
        InputError: reason ``json_invalid``.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise FileTooLarge(
                f"The body is larger than {BODY_BYTES:,} bytes.",
                suggestion="Shorten it.",
                reason="body_too_large",
                limit=BODY_BYTES,
            )
    if not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _bad_json() from error
    if not isinstance(value, dict):
        raise _bad_json()
    return cast(dict[str, Any], value)


def _bad_json() -> InputError:
    return InputError("The body is no JSON object.", suggestion="Send a JSON object.", reason="json_invalid")


def _refuse(word: str) -> None:
    raise ValueError(word)


def _response(body: bytes, status: int, headers: Mapping[str, str] | None, media_type: str) -> Response:
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type=media_type)


__all__ = ["Answer", "ClientDisconnect", "ValidationError", "answer", "json_response", "read_json"]
