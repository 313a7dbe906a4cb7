"""What can be asked without a job: a report on a capture, and the engines there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from meshwright.capture.report import InputReport
from meshwright.engines.protocol import describe_options
from meshwright.engines.registry import EngineStatus, engine_statuses, find_engine
from meshwright.errors import EngineUnavailable
from meshwright.service.http.answers import answer, json_response
from meshwright.service.http.dependencies import Parts, Reader, SubmitterOfOne
from meshwright.service.http.documented import errors, multipart
from meshwright.service.http.errors import BY_CODE, BY_REASON, problem_response
from meshwright.service.http.schemas import EngineList, EngineView, OptionView
from meshwright.service.jobs.rows import clean
from meshwright.service.uploads.intake import stage
from meshwright.service.uploads.receive import receive

captures = APIRouter()


@captures.post(
    "/validate", response_model=InputReport, responses=errors(408, 413, 415, 504, 507), tags=["captures"],
    openapi_extra=multipart(with_values=False), summary="Look at a capture without making a job",
)  # fmt: skip
async def validate_capture(
    request: Request,
    service: Parts,
    caller: SubmitterOfOne,
    rig: Annotated[bool, Query(description="Also find the cameras that fit it; takes longer.")] = True,
) -> Response:
    """The input report of `meshwright inspect`: sharpness, exposure, masks, depth, doubtful views, the rig that fits.

    What makes a capture unusable is answered as a submission would answer it.
    """
    with service.slots.take(caller.tenant):
        async with receive(request, service.settings) as upload:
            staged = await service.gate(lambda: stage(upload, service.limits), upload.size)
            found = await service.inspector.inspect(staged.path, with_rig=rig)
    error = found.get("error")
    if error is not None:
        reason = (error.get("details") or {}).get("reason", "")
        return problem_response(error, BY_REASON.get(reason, BY_CODE.get(error["code"], 500)), request.scope)
    return json_response(clean(found["report"]))


@captures.get("/engines", response_model=EngineList, responses=errors(), tags=["engines"], summary="List engines")
async def list_engines(caller: Reader) -> Response:
    """Each engine's options with type, default and range, and whether the machine of this API can run it."""
    del caller
    return answer(await run_in_threadpool(_engines))


def _engines() -> EngineList:
    views = [_engine(status) for status in engine_statuses()]
    return EngineList(engines=views, choices=[*(view.name for view in views), "both", "auto"])


def _engine(status: EngineStatus) -> EngineView:
    try:
        options = describe_options(find_engine(status.name).options_type)
    except EngineUnavailable:
        options = ()
    state = status.availability
    return EngineView(
        name=status.name,
        summary=status.summary,
        available=state.ok,
        accelerated=state.accelerated,
        reason=state.reason,
        how=state.how,
        options=[OptionView.model_validate(asdict(option)) for option in options],
    )
