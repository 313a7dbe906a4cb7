"""The OpenAPI document: ids of operations, the errors that every route may give, and the bodies of uploads."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from meshwright.service.http import schemas
from meshwright.service.http.errors import PROBLEM
from meshwright.service.http.schemas import Problem

ABOUT = """A few photos and depth maps of one object in; a measured, textured mesh out.

Submit a capture, poll (or stream the events of) the job, download the result. Routes without `/v1` are those that older
clients use; under `/v1` a submission answers 202 with `Location`, all else is the same.
Every error has one form: `{"error": {"code", "message", "details", "suggestion"}}` with the members of RFC 9457.
"""
TAGS: list[dict[str, Any]] = [
    {"name": "jobs", "description": "Submit, follow, cancel, run again, delete."},
    {"name": "results", "description": "The package as one ZIP, or file by file."},
    {"name": "captures", "description": "Look at a capture without making a job."},
    {"name": "engines", "description": "What may be asked for."},
    {"name": "service", "description": "Health, readiness, metrics."},
]
MEANINGS = {
    400: "The request makes no sense in this order (VALIDATION_FAILED).",
    401: "No valid key (UNAUTHORIZED).",
    403: "The key may not do this (FORBIDDEN).",
    404: "There is no such job, or it is another tenant's (JOB_NOT_FOUND).",
    405: "The route does not know this method.",
    408: "The body came too slowly.",
    409: "The job is not in a state for this (JOB_NOT_READY, JOB_CANCELLED, or a failed job's own code).",
    410: "The job's files are gone (JOB_EXPIRED).",
    412: "The file is not the one that If-Match names.",
    413: "A file or the request is too large (FILE_TOO_LARGE).",
    415: "The body is not multipart/form-data.",
    416: "No byte of the file lies in the range.",
    422: "The request or the capture cannot be used (VALIDATION_FAILED, INVALID_FILE_FORMAT, ...).",
    429: "Too many requests, uploads or waiting jobs (RATE_LIMITED); see Retry-After.",
    500: "An error of the service itself (UNKNOWN_ERROR, INCOMPLETE_RESULTS).",
    503: "Something the service needs does not answer; see Retry-After.",
    504: "It took too long (ENGINE_TIMEOUT).",
    507: "The service's disk is too full (DISK_FULL).",
}
EVERY = (401, 403, 422, 429, 500, 503)

_FILE = {"type": "string", "format": "binary"}
_FILES = {"type": "array", "items": _FILE, "maxItems": 64}
_CAPTURE: dict[str, Any] = {
    "views": {**_FILES, "description": "RGB images, 1 to 64; without plain names six are front, back, left, right, "
              "top, bottom. Also as multi_views."},
    "depth_renders": {**_FILES, "description": "Depth images, one for each view. Also as depth."},
    "masks": {**_FILES, "description": "Masks of the object, by view."},
    "cameras": {**_FILE, "description": "Cameras in nerfstudio's form (cameras.json)."},
    "archive": {**_FILE, "description": "A ZIP with the whole capture, in place of the files above."},
}  # fmt: skip
_VALUES: dict[str, Any] = {
    "model_type": {"type": "string", "default": "auto", "description": "fusion, nvdiffrec, reconviagen, several with "
                   "commas, both or auto. Also as model."},
    "options": {"type": "string", "description": "Options of the engine, as a JSON object; see GET /engines."},
    "name": {"type": "string", "maxLength": 200, "description": "A name for people."},
    "webhook_url": {"type": "string", "maxLength": 2048, "description": "Called at the job's end; public HTTPS."},
    "cache": {"type": "string", "enum": ["true", "false"], "default": "false", "description": "true: the same bytes "
              "and options give the finished job, if there is one."},
    "deadline_s": {"type": "string", "description": "Seconds after which it is not worth starting."},
    "retention_s": {"type": "string", "description": "Seconds for which the result is kept."},
    "device": {"type": "string", "enum": ["auto", "cpu", "cuda"], "default": "auto", "description": "The class of "
               "worker."},
}  # fmt: skip
IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key with the same request gives the same job, for two days.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, with those that every route has."""
    return {code: {"model": Problem, "description": MEANINGS[code]} for code in sorted({*EVERY, *statuses})}


def multipart(*, with_values: bool, batch: bool = False) -> dict[str, Any]:
    """The ``requestBody`` of an upload, for ``openapi_extra``."""
    archives = {**_FILES, "maxItems": 16, "description": "One ZIP for each capture."}
    properties = {"archive": archives} if batch else _CAPTURE
    schema = {"type": "object", "properties": {**properties, **(_VALUES if with_values else {})}}
    found: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
    return {**found, "parameters": [IDEMPOTENCY]} if with_values else found


def operation_id(route: APIRoute) -> str:
    """The name of the function; with ``v1_`` under ``/v1``."""
    return f"v1_{route.name}" if route.path.startswith("/v1/") else route.name


def document(app: FastAPI) -> dict[str, Any]:
    """The document; errors get the media type that they have."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, description=ABOUT, routes=app.routes, tags=TAGS,
            license_info={"name": "Apache-2.0"},
        )  # fmt: skip
        for path in cast(dict[str, Any], found["paths"]).values():
            for operation in path.values():
                for answer in operation["responses"].values():
                    _retype(answer)
        _restore_examples(found["components"]["schemas"])
        app.openapi_schema = found
    return app.openapi_schema


def _restore_examples(components: dict[str, Any]) -> None:
    """FastAPI leaves out members that are null, in examples too."""
    for name, schema in components.items():
        extra = getattr(getattr(schemas, name, None), "model_config", {}).get("json_schema_extra", {})
        if "example" in extra:
            schema["example"] = extra["example"]


def _retype(answer: dict[str, Any]) -> None:
    content = answer.get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    if reference.endswith("/Problem"):
        content[PROBLEM] = content.pop("application/json")
