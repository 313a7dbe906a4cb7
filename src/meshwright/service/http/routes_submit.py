"""Submitting captures: one, or a batch of archives."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from meshwright.errors import InputError, MeshwrightError
from meshwright.service.http.access import Access
from meshwright.service.http.answers import answer
from meshwright.service.http.dependencies import Parts, SubmitterOfOne
from meshwright.service.http.documented import errors, multipart
from meshwright.service.http.schemas import BatchAnswer, BatchItem, Submitted
from meshwright.service.http.views import error_info, submitted
from meshwright.service.parts import Service
from meshwright.service.uploads.accept import Accepted, accept, check_webhook, checked_key
from meshwright.service.uploads.fields import Submission, read_submission
from meshwright.service.uploads.intake import StagedInput, stage, stage_archive
from meshwright.service.uploads.receive import Upload, receive

BATCH = 16
UPLOAD_ERRORS = errors(408, 413, 415, 507)
plain = APIRouter(tags=["jobs"])
versioned = APIRouter(tags=["jobs"], prefix="/v1")


@plain.post(
    "/jobs", name="submit_job", response_model=Submitted, responses=UPLOAD_ERRORS,
    openapi_extra=multipart(with_values=True), summary="Submit a capture",
)  # fmt: skip
async def submit_plain(request: Request, service: Parts, caller: SubmitterOfOne) -> Response:
    """Take a capture and make a job of it; also at `/jobs/`.

    The capture comes as files (`views`, `depth_renders`, `masks`, `cameras`) or as one ZIP (`archive`). Everything that
    can be known without decoding is checked before the answer: 200 means that the job will be carried out.
    """
    accepted = await _receive_one(request, service, caller.tenant)
    return answer(submitted(accepted.job, cached=accepted.cached))


plain.add_api_route("/jobs/", submit_plain, methods=["POST"], include_in_schema=False, response_model=Submitted)


@versioned.post(
    "/jobs", name="submit_job", status_code=202, response_model=Submitted, responses=UPLOAD_ERRORS,
    openapi_extra=multipart(with_values=True), summary="Submit a capture",
)  # fmt: skip
async def submit_versioned(request: Request, service: Parts, caller: SubmitterOfOne) -> Response:
    """Take a capture and make a job of it.

    The capture comes as files (`views`, `depth_renders`, `masks`, `cameras`) or as one ZIP (`archive`). Everything that
    can be known without decoding is checked before the answer: 202 means that the job will be carried out. `Location`
    is where to ask for it.
    """
    accepted = await _receive_one(request, service, caller.tenant)
    headers = {"Location": f"/v1/jobs/{accepted.job.id}"}
    return answer(submitted(accepted.job, cached=accepted.cached), 202, headers)


versioned.add_api_route("/jobs/", submit_versioned, methods=["POST"], include_in_schema=False)


@versioned.post(
    "/batches", name="submit_batch", status_code=202, response_model=BatchAnswer, responses=UPLOAD_ERRORS,
    openapi_extra=multipart(with_values=True, batch=True), summary="Submit several captures",
)  # fmt: skip
async def submit_batch(request: Request, service: Parts, caller: SubmitterOfOne) -> Response:
    """Take up to 16 captures, each as one ZIP in a field `archive` of its own, and make a job of each.

    The other fields hold for all of them. When one archive is refused, none is accepted; a queue that fills up on the
    way is told of item by item. An `Idempotency-Key` covers the batch: item N has the key with `#N` behind it.
    """
    key = checked_key(request.headers.get("idempotency-key"), spare=len("#99"))
    with service.slots.take(caller.tenant):
        async with receive(request, service.settings, archives=BATCH) as upload:
            submission = await _checked(service, upload)
            staged = await service.gate(lambda: _stage_all(upload, service), upload.size)
            access: Access = request.app.state.access
            for _ in staged[1:]:  # the first was counted with the request
                access.count(caller, submission=True)
            items = [
                await _batch_item(service, caller.tenant, submission, one, index, key)
                for index, one in enumerate(staged)
            ]
    accepted = sum(item.job is not None for item in items)
    return answer(BatchAnswer(accepted=accepted, items=items), 202)


async def _receive_one(request: Request, service: Service, tenant: str) -> Accepted:
    key = checked_key(request.headers.get("idempotency-key"))
    with service.slots.take(tenant):
        async with receive(request, service.settings) as upload:
            submission = await _checked(service, upload)
            staged = await service.gate(lambda: stage(upload, service.limits), upload.size)
            return await service.disk(lambda: accept(service, tenant, submission, staged, key))


async def _checked(service: Service, upload: Upload) -> Submission:
    submission = await run_in_threadpool(read_submission, upload.values)
    await check_webhook(service, submission)
    return submission


def _stage_all(upload: Upload, service: Service) -> list[StagedInput]:
    archives = [file for file in upload.files if file.role == "archive"]
    if not archives or len(archives) < len(upload.files):
        raise InputError(
            "A batch holds one or more archives, and no other files.",
            suggestion="Send each capture as a ZIP in a field archive of its own.",
            reason="batch_files",
        )
    staged: list[StagedInput] = []
    for index, file in enumerate(archives):
        try:
            staged.append(stage_archive(file, service.limits))
        except MeshwrightError as error:
            error.details["item"] = index
            raise
    return staged


async def _batch_item(
    service: Service, tenant: str, submission: Submission, staged: StagedInput, index: int, key: str | None
) -> BatchItem:
    name = f"{submission.name} {index + 1}" if submission.name else None
    named, own_key = submission.model_copy(update={"name": name}), f"{key}#{index}" if key else None
    try:
        accepted = await service.disk(lambda: accept(service, tenant, named, staged, own_key))
    except MeshwrightError as error:
        return BatchItem(index=index, file=staged.label, job=None, error=error_info(error.to_json()["error"]))
    job = submitted(accepted.job, cached=accepted.cached)
    return BatchItem(index=index, file=staged.label, job=job, error=None)
