"""Health for load balancers, readiness with reasons, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from meshwright import __version__
from meshwright.errors import ServiceError
from meshwright.service.health.metrics import CONTENT_TYPE
from meshwright.service.health.readiness import Condition, conditions, database_condition
from meshwright.service.http.answers import answer
from meshwright.service.http.dependencies import Admin, Parts
from meshwright.service.http.documented import errors
from meshwright.service.http.errors import problem
from meshwright.service.http.schemas import Check, GpuInfo, Health, Readiness
from meshwright.service.parts import Service

GIB = 2**30
health = APIRouter(tags=["service"])
OPEN: dict[int | str, dict[str, Any]] = {code: told for code, told in errors().items() if code in (500, 503)}


@health.get("/health", response_model=Health, responses=OPEN, summary="Whether the service can serve")
def get_health(request: Request, service: Parts) -> Response:
    """200 also where there is no GPU (`gpu` is null); 503 only when the database does not answer."""
    database = database_condition(service.database)
    if not database.ok:
        error = ServiceError(
            f"The database: {database.message}", suggestion="See GET /ready for what is wrong.", reason="not_ready"
        )
        return problem(request, error, 503, gpu=None, version=__version__)
    return answer(Health(status="healthy", gpu=_gpu(service), version=__version__))


health.add_api_route("/health", get_health, methods=["HEAD"], include_in_schema=False)


@health.get("/ready", response_model=Readiness, responses=OPEN, summary="Whether new work is accepted")
def get_readiness(request: Request, service: Parts) -> Response:
    """Each condition by name: accepting, database, storage, storage_space, upload_space."""
    found = conditions(service.settings, service.database, service.store, draining=service.draining.is_set())
    checks = [Check(name=one.name, ok=one.ok, message=one.message) for one in found]
    if all(one.ok for one in found):
        return answer(Readiness(ready=True, checks=checks))
    return _not_ready(request, found, checks)


@health.get(
    "/metrics", response_class=Response, summary="Prometheus metrics",
    responses={200: {"description": "The text format.", "content": {"text/plain": {}}}, **errors()},
)  # fmt: skip
def get_metrics(service: Parts, caller: Admin) -> Response:
    """Requests, uploads, and the jobs of all tenants: where keys are in use, it takes one with the scope `admin`."""
    del caller
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _not_ready(request: Request, found: list[Condition], checks: list[Check]) -> Response:
    failed = [one for one in found if not one.ok]
    error = ServiceError(
        f"Not ready: {', '.join(one.name for one in failed)}.",
        suggestion="See checks for what is wrong.",
        reason="not_ready",
        failed=[one.name for one in failed],
    )
    return problem(request, error, 503, ready=False, checks=[check.model_dump() for check in checks])


def _gpu(service: Service) -> GpuInfo | None:
    found = service.gpus.gpus()
    if not found:
        return None
    card = found[0]
    return GpuInfo(
        name=card.name,
        driver_version=card.driver,
        memory_total_gb=round(card.total / GIB, 2),
        memory_free_gb=round(card.free / GIB, 2),
        memory_used_gb=round(card.used / GIB, 2),
    )
