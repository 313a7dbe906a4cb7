"""The calls of the service as values, the same for both clients: what is sent, without sending it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from meshwright.client.retry import SAFE_METHODS

PREFIX = "/v1"


@dataclass(frozen=True)
class Call:
    """One request. ``form`` makes it a multipart upload together with a packed capture."""

    method: str
    path: str
    params: Mapping[str, str | int | Sequence[str]] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False

    @property
    def is_safe(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.repeatable or self.method in SAFE_METHODS or "Idempotency-Key" in self.headers


def job_path(job_id: str, *more: str) -> str:
    """The path of a job, or of something below it."""
    return "/".join((f"{PREFIX}/jobs", quote(job_id, safe=""), *(quote(part) for part in more)))


def submit_call(
    engine: str,
    options: Mapping[str, Any] | None,
    name: str | None,
    webhook_url: str | None,
    cache: bool,
    deadline_s: float | None,
    retention_s: float | None,
    device: str | None,
    idempotency_key: str | None,
) -> Call:
    """A submission; with a key of its own where none is given, so that it can be sent again after a broken link."""
    values = {
        "model_type": engine,
        "options": json.dumps(dict(options), allow_nan=False) if options else None,
        "name": name,
        "webhook_url": webhook_url,
        "cache": "true" if cache else None,
        "deadline_s": None if deadline_s is None else str(deadline_s),
        "retention_s": None if retention_s is None else str(retention_s),
        "device": device,
    }
    return Call(
        "POST",
        f"{PREFIX}/jobs",
        form={key: value for key, value in values.items() if value is not None},
        headers={"Idempotency-Key": idempotency_key or secrets.token_urlsafe(24)},
    )


def validate_call() -> Call:
    """A look at a capture without a job."""
    return Call("POST", f"{PREFIX}/validate", form={}, repeatable=True)


def list_call(
    status: Sequence[str], engine: str | None, verdict: str | None, name: str | None, cursor: str | None, limit: int
) -> Call:
    """One page of the listing."""
    values: dict[str, Any] = {
        "status": list(status) or None,
        "engine": engine,
        "verdict": verdict,
        "name": name,
        "cursor": cursor,
        "limit": limit,
    }
    return Call("GET", f"{PREFIX}/jobs", params={key: value for key, value in values.items() if value is not None})


def cancel_call(job_id: str, *, confirm: bool) -> Call:
    """One of the two steps of cancelling; each may be repeated."""
    return Call("POST", job_path(job_id, "cancel"), json={"confirm": confirm}, repeatable=True)


def retry_call(job_id: str, options: Mapping[str, Any] | None) -> Call:
    """Another run of a job."""
    return Call("POST", job_path(job_id, "retry"), json={} if options is None else {"options": dict(options)})
