"""One artifact as a response: ETag from its hash, conditions, one range, HEAD; its bytes checked, then streamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from meshwright.errors import IncompleteResults, InputError
from meshwright.service.artifacts.ranges import NotSatisfiable, Span, matches, wanted_span
from meshwright.service.http.errors import problem
from meshwright.service.jobs.job import Artifact
from meshwright.service.storage.publish import Checker
from meshwright.service.storage.store import Store

TYPES = {
    ".zip": "application/zip",
    ".glb": "model/gltf-binary",
    ".obj": "model/obj",
    ".mtl": "model/mtl",
    ".ply": "application/octet-stream",
    ".png": "image/png",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".usdz": "model/vnd.usdz+zip",
    ".json": "application/json",
}


def respond(
    request: Request, store: Store, checker: Checker, prefix: str, artifact: Artifact, file_name: str | None = None
) -> Response:
    """The answer to GET or HEAD of an artifact; runs in a thread, since it reads.

    Raises:
        IncompleteResults: reasons ``result_missing`` and ``result_corrupt``.
    """
    etag = f'"{artifact.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": _disposition(file_name or PurePosixPath(artifact.path).name),
    }
    asked = request.headers
    if "if-match" in asked and not matches(asked["if-match"], etag, weak=False):
        return _refuse(request, 412, "The file is not the one that If-Match names.", "precondition_failed", headers)
    if matches(asked.get("if-none-match"), etag, weak=True):
        return Response(status_code=304, headers=headers)
    try:
        span = wanted_span(asked.get("range"), asked.get("if-range"), etag, artifact.size)
    except NotSatisfiable:
        headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes */{artifact.size}"}
        return _refuse(request, 416, f"The file has {artifact.size} bytes, none in that range.", "range", headers)
    checker.check(prefix, artifact)
    media_type = TYPES.get(PurePosixPath(artifact.path).suffix.lower(), "application/octet-stream")
    whole = span or Span(0, artifact.size)
    headers["Content-Length"] = str(whole.size)
    if span is not None:
        headers["Content-Range"] = span.content_range(artifact.size)
    status = 200 if span is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_open(store, f"{prefix}/{artifact.path}", whole), status, headers, media_type=media_type)


def _refuse(request: Request, status: int, message: str, reason: str, headers: dict[str, str]) -> Response:
    error = InputError(message, suggestion="Ask for the whole file.", reason=reason)
    answer = problem(request, error, status)
    answer.headers.update({name: value for name, value in headers.items() if name != "Content-Disposition"})
    return answer


def _open(store: Store, key: str, span: Span) -> Iterator[bytes]:
    """The file is open when this returns: it is sent to its end, also when the job is deleted meanwhile."""
    try:
        return store.open_range(key, span.start, span.end)
    except FileNotFoundError as error:
        raise IncompleteResults(
            "The file is not in storage.",
            suggestion="Run the job again with POST /jobs/ID/retry.",
            reason="result_missing",
        ) from error


def _disposition(name: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'
