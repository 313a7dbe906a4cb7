"""Following jobs and telling them what to do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from meshwright.errors import JobNotReady
from meshwright.service.http.answers import answer, read_json
from meshwright.service.http.dependencies import JobId, Parts, Reader, Submitter, SubmitterOfOne
from meshwright.service.http.documented import errors
from meshwright.service.http.schemas import CancelAnswer, Deleted, JobPage, JobView, Submitted
from meshwright.service.http.views import job_view, submitted
from meshwright.service.jobs.job import Job, Status
from meshwright.service.parts import Service
from meshwright.service.uploads.fields import bad_field, check_options

CANCEL_MARGIN_S = 2.0  # beside the grace that an engine has: the promise is five seconds
CANCEL_POLL_S = 0.1
RETRY_ERRORS = errors(404, 408, 409, 410, 413, 507)
jobs = APIRouter(tags=["jobs"])
retry_plain = APIRouter(tags=["jobs"])
retry_versioned = APIRouter(tags=["jobs"], prefix="/v1")
Model = TypeVar("Model", bound=BaseModel)


class CancelBody(BaseModel):
    """The body of a cancellation; none at all is the same as ``confirm: false``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    confirm: bool = False


class RetryBody(BaseModel):
    """The body of a retry; none at all keeps the options."""

    model_config = ConfigDict(extra="forbid")
    options: dict[str, Any] | None = None


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """An optional JSON body, for ``openapi_extra``."""
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": model.model_json_schema()}}}}


@jobs.get("/jobs", response_model=JobPage, responses=errors(), summary="List jobs, newest first")
def list_jobs(
    service: Parts,
    caller: Reader,
    status: Annotated[list[Status] | None, Query(description="Only these; repeat it for several.")] = None,
    engine: Annotated[str | None, Query(max_length=200, description="Only jobs that asked for this.")] = None,
    verdict: Annotated[Literal["normal", "warning", "failure"] | None, Query(description="Only these.")] = None,
    name: Annotated[str | None, Query(max_length=200, description="A part of the name, in any case.")] = None,
    cursor: Annotated[str | None, Query(max_length=400, description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Deleted jobs are left out; expired ones are in it."""
    found, following = service.repository.list(
        caller.tenant, status=status or (), engine=engine, verdict=verdict, name=name, before=cursor, limit=limit
    )
    return answer(JobPage(jobs=[job_view(job) for job in found], next_cursor=following))


jobs.add_api_route("/jobs/", list_jobs, methods=["GET"], include_in_schema=False, response_model=JobPage)


@jobs.get("/jobs/{job_id}", response_model=JobView, responses=errors(404), summary="Ask for a job")
def get_job(job_id: JobId, service: Parts, caller: Reader) -> Response:
    """Where it stands: status, progress, stage, time left, and how it ended."""
    return answer(job_view(service.repository.get_placed(job_id, caller.tenant)))


@jobs.post(
    "/jobs/{job_id}/cancel", response_model=CancelAnswer, responses=errors(400, 404, 408, 409, 413, 507),
    openapi_extra=body_of(CancelBody), summary="Cancel a job, in two steps",
)  # fmt: skip
async def cancel_job(job_id: JobId, request: Request, service: Parts, caller: Submitter) -> Response:
    """First without `confirm`: nothing stops yet. Then with `{"confirm": true}`: the job ends.

    The request stays valid until the job ends. A confirmation answers when the job has stopped, within five seconds; if
    its worker takes longer, `status` is `cancelling`.
    """
    body = await _body(request, CancelBody)
    if not body.confirm:
        await run_in_threadpool(service.repository.request_cancel, job_id, caller.tenant)
        message = 'Confirm the cancellation with {"confirm": true}; the job goes on until then.'
        return answer(CancelAnswer(job_id=job_id, status="cancel_requested", message=message))
    job = await run_in_threadpool(service.repository.confirm_cancel, job_id, caller.tenant)
    job = await _stopped(service, job)
    if job.status is Status.CANCELLED:
        return answer(CancelAnswer(job_id=job_id, status="cancelled", message="The job was cancelled."))
    if job.status.is_final:
        raise JobNotReady(
            f"The job is {job.status} already.",
            suggestion="There is nothing left to cancel.",
            reason="already_finished",
            job_id=job_id,
        )
    return answer(CancelAnswer(job_id=job_id, status="cancelling", message="The job is being stopped."))


@jobs.delete("/jobs/{job_id}", response_model=Deleted, responses=errors(404, 409, 507), summary="Delete a job")
def delete_job(job_id: JobId, service: Parts, caller: Submitter) -> Response:
    """Its files are given out no more, and removed soon. A waiting job is cancelled; a running one answers 409."""
    service.repository.delete(job_id, caller.tenant)
    return answer(Deleted(job_id=job_id, deleted=True))


@jobs.put("/jobs/{job_id}/pin", response_model=JobView, responses=errors(404, 410, 507), summary="Keep a result")
def pin_job(job_id: JobId, service: Parts, caller: Submitter) -> Response:
    """Its files do not expire while it is pinned."""
    return answer(job_view(service.repository.pin(job_id, caller.tenant, True)))


@jobs.delete(
    "/jobs/{job_id}/pin", response_model=JobView, responses=errors(404, 410, 507), summary="Let a result expire"
)
def unpin_job(job_id: JobId, service: Parts, caller: Submitter) -> Response:
    """Its retention starts anew."""
    return answer(job_view(service.repository.pin(job_id, caller.tenant, False)))


@retry_plain.post(
    "/jobs/{job_id}/retry", name="retry_job", response_model=Submitted, responses=RETRY_ERRORS,
    openapi_extra=body_of(RetryBody), summary="Run a finished job again",
)  # fmt: skip
async def retry_plain_job(job_id: JobId, request: Request, service: Parts, caller: SubmitterOfOne) -> Response:
    """On the input that it had, with the same options or those of the body. Its earlier result is given up."""
    job = await _retry(job_id, request, service, caller.tenant)
    return answer(submitted(job))


@retry_versioned.post(
    "/jobs/{job_id}/retry", name="retry_job", status_code=202, response_model=Submitted,
    responses=RETRY_ERRORS, openapi_extra=body_of(RetryBody), summary="Run a finished job again",
)  # fmt: skip
async def retry_versioned_job(job_id: JobId, request: Request, service: Parts, caller: SubmitterOfOne) -> Response:
    """On the input that it had, with the same options or those of the body. Its earlier result is given up."""
    job = await _retry(job_id, request, service, caller.tenant)
    return answer(submitted(job), 202, {"Location": f"/v1/jobs/{job_id}"})


async def _retry(job_id: str, request: Request, service: Service, tenant: str) -> Job:
    body = await _body(request, RetryBody)

    def work() -> Job:
        if body.options is not None:
            check_options(service.repository.get(job_id, tenant).engine, body.options)
        job = service.repository.retry(job_id, tenant, body.options)
        service.queue.announce(job)
        return _placed(service, job)

    return await run_in_threadpool(work)


async def _body(request: Request, model: type[Model]) -> Model:
    try:
        return model.model_validate(await read_json(request))
    except ValidationError as error:
        raise bad_field(error) from error


async def _stopped(service: Service, job: Job) -> Job:
    """The job when it has ended, or as it is when the promised time is over."""
    until = time.monotonic() + service.settings.cancel_grace_s + CANCEL_MARGIN_S
    while not job.status.is_final and time.monotonic() < until:
        await asyncio.sleep(CANCEL_POLL_S)
        job = await run_in_threadpool(service.repository.get, job.id, job.tenant)
    return job


def _placed(service: Service, job: Job) -> Job:
    if job.status is not Status.QUEUED:
        return job
    return replace(job, queue_position=service.repository.position(job.id))
