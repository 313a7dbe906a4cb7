"""Results: the package as one ZIP, its files one by one; and the webhooks that told of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from meshwright.service.artifacts.respond import respond
from meshwright.service.http.answers import answer
from meshwright.service.http.dependencies import JobId, Parts, Reader, Submitter
from meshwright.service.http.documented import errors
from meshwright.service.http.results import find_artifact, refusal
from meshwright.service.http.schemas import ArtifactList, DeliveryList, DeliveryView
from meshwright.service.http.views import artifact_list
from meshwright.service.jobs.job import Job
from meshwright.service.parts import Service
from meshwright.service.webhooks.outbox import Delivery, Outbox
from meshwright.service.worker.transfer import ARCHIVE

results = APIRouter(tags=["results"])
ONE_FILE = "/jobs/{job_id}/artifacts/{path:path}"
BYTES = {"type": "string", "format": "binary"}
HEADERS = {
    name: {"schema": {"type": "string"}, "description": text}
    for name, text in {
        "ETag": "The sha256 of the file, in quotes.",
        "Accept-Ranges": "bytes",
        "Content-Length": "Bytes that follow.",
        "Content-Disposition": "attachment, with a name for the file.",
    }.items()
}
DeliveryId = Annotated[str, Path(pattern=r"^msg_[A-Za-z0-9_-]{1,60}$", description="The webhook-id.")]


def file_answers(media_type: str) -> dict[int | str, dict[str, Any]]:
    """What a route that gives a file may answer."""
    content = {media_type: {"schema": BYTES}}
    return {
        200: {"description": "The file.", "content": content, "headers": HEADERS},
        206: {"description": "The part that Range asks for.", "content": content, "headers": HEADERS},
        304: {"description": "The file is the one that If-None-Match names."},
        **errors(404, 409, 410, 412, 416),
    }


@results.get(
    "/jobs/{job_id}/download", response_class=Response, responses=file_answers("application/zip"),
    summary="Download the result as a ZIP",
)  # fmt: skip
def download_result(job_id: JobId, request: Request, service: Parts, caller: Reader) -> Response:
    """The whole package. Can be resumed: `Range`, `If-Range`, `ETag` and `If-None-Match` work.

    A result whose verdict is `failure` is a result too. One range at a time is served; several give the whole file.
    """
    job = service.repository.get(job_id, caller.tenant)
    return _file(request, service, job, ARCHIVE, f"{job_id}.zip")


@results.get(
    "/jobs/{job_id}/artifacts", response_model=ArtifactList, responses=errors(404, 409, 410), summary="List files"
)
def list_artifacts(job_id: JobId, request: Request, service: Parts, caller: Reader) -> Response:
    """The files of the result with sizes and hashes."""
    job = service.repository.get(job_id, caller.tenant)
    base = "/v1" if request.url.path.startswith("/v1/") else ""
    return refusal(request, job) or answer(artifact_list(job, service.store, base))


@results.get(
    ONE_FILE, response_class=Response, responses=file_answers("application/octet-stream"),
    summary="Download one file",
)  # fmt: skip
def download_artifact(
    job_id: JobId,
    path: Annotated[str, Path(description="As in the list.", examples=["fusion/mesh.glb"])],
    request: Request,
    service: Parts,
    caller: Reader,
) -> Response:
    """One file of the result, with its own media type; the same conditions and ranges as the ZIP."""
    return _file(request, service, service.repository.get(job_id, caller.tenant), path)


results.add_api_route("/jobs/{job_id}/download", download_result, methods=["HEAD"], include_in_schema=False)
results.add_api_route(ONE_FILE, download_artifact, methods=["HEAD"], include_in_schema=False)


@results.get("/jobs/{job_id}/deliveries", response_model=DeliveryList, responses=errors(404), summary="List webhooks")
def list_deliveries(job_id: JobId, service: Parts, caller: Reader) -> Response:
    """The webhooks that this job has caused, delivered or not."""
    service.repository.get(job_id, caller.tenant)
    found = Outbox(service.database).of_job(job_id, caller.tenant)
    return answer(DeliveryList(deliveries=[_delivery(each) for each in found]))


@results.post(
    "/jobs/{job_id}/deliveries/{delivery_id}/replay", response_model=DeliveryView, responses=errors(404, 507),
    summary="Send a webhook again",
)  # fmt: skip
def replay_delivery(job_id: JobId, delivery_id: DeliveryId, service: Parts, caller: Submitter) -> Response:
    """With the same webhook-id and a full count of tries."""
    service.repository.get(job_id, caller.tenant)
    return answer(_delivery(Outbox(service.database).replay(delivery_id, caller.tenant)))


def _file(request: Request, service: Service, job: Job, path: str, file_name: str | None = None) -> Response:
    refused = refusal(request, job)
    if refused is not None:
        return refused
    return respond(request, service.store, service.checker, job.result_prefix, find_artifact(job, path), file_name)


def _delivery(found: Delivery) -> DeliveryView:
    return DeliveryView(**{name: getattr(found, name) for name in DeliveryView.model_fields})
