"""The serving process: uvicorn with our limits, and the worker beside it."""

from __future__ import annotations

import asyncio
import ctypes
import socket
from contextlib import suppress
from typing import Any

import uvicorn

from meshwright.service import logs
from meshwright.service.app import create_app
from meshwright.service.auth.keys import KeyBook, check_exposure
from meshwright.service.companion import Companion, worker_command
from meshwright.service.db import Database, upgrade
from meshwright.service.health.gpu import GpuProbe
from meshwright.service.http.protocol import server_config
from meshwright.service.settings import MIB, Settings
from meshwright.service.storage import open_store

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of malloc.h


class Server(uvicorn.Server):
    """uvicorn's server; when it is told to stop, event streams end too, or it would wait for them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let requests end, then close everything."""
        application: Any = self.config.app
        service = getattr(application.state, "service", None)
        if service is not None:
            service.draining.set()
        await super().shutdown(sockets)


def run_server(settings: Settings, sock: socket.socket, *, with_worker: bool) -> None:
    """Serve on an open socket until SIGTERM or SIGINT; `prepare` comes before."""
    _tune()
    server = Server(server_config(create_app(settings), settings))
    companion = _companion(settings) if with_worker else None
    if companion is not None:
        companion.start()
    try:
        asyncio.run(server.serve(sockets=[sock]))
    except KeyboardInterrupt:
        pass  # uvicorn has shut down in order, and raises what it was told with again
    finally:
        if companion is not None:
            companion.stop()


def prepare(settings: Settings) -> None:
    """Set up logs, bring the database up to date, and see that not everyone can call, before anything listens.

    Raises:
        InputError: reasons ``exposed_without_keys`` and ``storage_url_invalid``.
    """
    logs.configure(settings.log_level, settings.log_format)
    open_store(settings.storage)
    database = Database(settings.database)
    try:
        upgrade(database)
        check_exposure(settings, KeyBook(database, settings))
    finally:
        database.close()


def _companion(settings: Settings) -> Companion:
    has_gpu = settings.gpu_jobs != "off" and bool(GpuProbe().gpus())
    devices = ("cpu", "cuda") if has_gpu else ("cpu",)
    return Companion(worker_command(devices), {"MESHWRIGHT_DATA_DIR": str(settings.data_dir.absolute())})


def _tune() -> None:
    """Give the memory of large images back at once: glibc keeps what was freed, for each thread apart."""
    with suppress(OSError, AttributeError, TypeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, MIB)
        libc.mallopt(M_ARENA_MAX, 2)
