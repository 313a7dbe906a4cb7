"""The application: its parts made at the start, its routes at ``/`` and under ``/v1``, its end an orderly one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import compile_path

from meshwright import __version__
from meshwright.service.db import Database, upgrade
from meshwright.service.health.metrics import Metrics
from meshwright.service.http.access import Access
from meshwright.service.http.documented import document, operation_id
from meshwright.service.http.errors import Allowed, add_handlers
from meshwright.service.http.middleware import RequestMiddleware
from meshwright.service.http.routes_captures import captures
from meshwright.service.http.routes_events import events
from meshwright.service.http.routes_health import health
from meshwright.service.http.routes_jobs import jobs, retry_plain, retry_versioned
from meshwright.service.http.routes_results import results
from meshwright.service.http.routes_submit import plain, versioned
from meshwright.service.http.watchdog import Watchdog
from meshwright.service.parts import Service, make_service
from meshwright.service.queue.reaper import Chore, Reaper
from meshwright.service.settings import Settings
from meshwright.service.storage import open_store
from meshwright.service.storage.janitor import remove_expired, sweep_files
from meshwright.service.uploads.fields import check_options
from meshwright.service.uploads.receive import remove_leftovers
from meshwright.service.webhooks.deliver import Deliverer
from meshwright.service.worker.start import open_queue

ALL_OVER = (jobs, events, results, captures, health)
ROUTERS = [
    *((router, "") for router in (*ALL_OVER, plain, versioned, retry_plain, retry_versioned)),
    *((router, "/v1") for router in ALL_OVER),
]
EXPIRY_S = 30.0
JANITOR_S = 3600.0


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application. Nothing is opened before it starts up."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        database = await run_in_threadpool(_open_database, settings)
        store = await run_in_threadpool(open_store, settings.storage)
        service = make_service(settings, database, store, open_queue(settings), metrics)
        metrics.watch(service.repository, lambda: service.slots.total, store.free_bytes)
        app.state.service = service
        app.state.access = Access(settings, database)
        background = _Background(service)
        background.start()
        await run_in_threadpool(
            check_options, "auto", {}
        )  # imports the engines' options: the first client need not wait
        try:
            yield
        finally:
            service.draining.set()
            await run_in_threadpool(background.stop)
            database.close()

    app = FastAPI(
        title="Meshwright",
        version=__version__,
        lifespan=lifespan,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.openapi = lambda: document(app)
    add_handlers(app)
    for router, prefix in ROUTERS:
        app.include_router(router, prefix=prefix)
    app.state.allowed = allowed_methods()
    app.add_middleware(Watchdog, idle_s=settings.body_idle_s)
    app.add_middleware(RequestMiddleware, observe=metrics.observe)
    return app


def allowed_methods() -> Allowed:
    """Which methods each path knows, for the errors of those who use another."""
    routes = [(prefix, route) for router, prefix in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return [(compile_path(prefix + route.path)[0], route.methods or ()) for prefix, route in routes]


class _Background:
    """What a serving process does beside answering: the reaper with its chores, and webhooks in their own thread."""

    def __init__(self, service: Service) -> None:
        settings, repository, store = service.settings, service.repository, service.store
        chores = (
            Chore("expire", EXPIRY_S, lambda: remove_expired(repository, store)),
            Chore("janitor", JANITOR_S, lambda: sweep_files(repository, store)),
            Chore("uploads", JANITOR_S, lambda: remove_leftovers(settings)),
        )
        self._reaper = Reaper(repository, service.queue, chores)
        self._deliverer = Deliverer(service.database, settings)

    def start(self) -> None:
        """Begin."""
        self._reaper.start()
        self._deliverer.start()

    def stop(self) -> None:
        """End after what is being done."""
        self._reaper.stop()
        self._deliverer.stop()


def _open_database(settings: Settings) -> Database:
    database = Database(settings.database)
    upgrade(database)
    return database
