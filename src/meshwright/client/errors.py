"""The service's errors as the exceptions that the library itself raises: the same classes, found by their codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from meshwright.client.models import Fault, JobInfo
from meshwright.errors import Cancelled, MeshwrightError, ServiceError


def error_of(fault: Fault, **more: Any) -> MeshwrightError:
    """The exception for an error envelope; a code that this version does not know is a `ServiceError`."""
    kind = _by_code().get(fault.code, ServiceError)
    error = kind(fault.message or f"The service answered {fault.code}.", suggestion=fault.suggestion)
    error.details = {**fault.details, **{name: value for name, value in more.items() if value is not None}}
    if kind is ServiceError and fault.code != ServiceError.code:
        error.details["code"] = fault.code
    return error


def error_of_response(response: httpx.Response) -> MeshwrightError:
    """The exception for an answer of 400 and above, whose body has been read."""
    status, request_id = response.status_code, response.headers.get("x-request-id")
    try:
        body = response.json()
    except ValueError:
        body = None
    inside = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(inside, Mapping):
        return error_of(Fault.model_validate(inside), http_status=status, request_id=request_id)
    return ServiceError(
        f"The server answered {status} {response.reason_phrase}, and not as Meshwright's service does.",
        suggestion="Check the URL, and any proxy before the service.",
        reason="answer_unknown",
        http_status=status,
    )


def error_of_job(info: JobInfo) -> MeshwrightError | None:
    """The exception for a job that ended without a result, or None."""
    if info.status == "cancelled":
        return Cancelled(
            f"The job {info.id} was cancelled.", suggestion="Run it again: meshwright jobs retry.", job_id=info.id
        )
    if info.status == "failed":
        return error_of(info.error or Fault(message=f"The job {info.id} failed."), job_id=info.id)
    return None


def unreachable(url: str, error: httpx.TransportError) -> ServiceError:
    """The exception for a service that gave no answer at all."""
    return ServiceError(
        f"There is no answer from {url}: {type(error).__name__}.",
        suggestion="Check the URL, and that the service runs: meshwright serve.",
        reason="service_unreachable",
    )


def _by_code() -> dict[str, type[MeshwrightError]]:
    """Every class by its code; where classes share one, the one nearest the root."""
    found: dict[str, type[MeshwrightError]] = {}
    kinds: list[type[MeshwrightError]] = [MeshwrightError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind is not MeshwrightError:
            found.setdefault(kind.code, kind)
    return found
