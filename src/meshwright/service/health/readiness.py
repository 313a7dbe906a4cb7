"""Whether the service can take new work: each condition by name, with why it does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshwright.errors import MeshwrightError
from meshwright.service.db.database import Database
from meshwright.service.settings import Settings
from meshwright.service.storage.store import Store
from meshwright.service.uploads.receive import free_bytes, staging_folder

PROBE_KEY = "health/probe"


@dataclass(frozen=True)
class Condition:
    """One condition."""

    name: str
    ok: bool
    message: str = ""


def conditions(
    settings: Settings, database: Database, store: Store, *, draining: bool, queue: Callable[[], str] | None = None
) -> list[Condition]:
    """All conditions, each tried; ``queue`` says what is wrong with the queue, or nothing."""
    return [
        Condition("accepting", not draining, "The service is shutting down." if draining else ""),
        database_condition(database),
        _tried("storage", lambda: store.put_bytes(PROBE_KEY, b"ok")),
        _space("storage_space", store.free_bytes(), settings),
        _space("upload_space", free_bytes(staging_folder(settings)), settings),
        *([_told("queue", queue())] if queue is not None else []),
    ]


def database_condition(database: Database) -> Condition:
    """Whether the database answers, with the tables of this version."""
    return _tried("database", lambda: _ask(database))


def _ask(database: Database) -> None:
    with database.read() as session:
        database.now(session)
        session.connection().exec_driver_sql("SELECT 1 FROM jobs LIMIT 1")


def _tried(name: str, work: Callable[[], object]) -> Condition:
    try:
        work()
    except MeshwrightError as error:
        return Condition(name, False, error.message)
    except Exception as error:  # noqa: BLE001 - a probe tells of every failure and ends with none
        return Condition(name, False, type(error).__name__)
    return Condition(name, True)


def _space(name: str, free: int | None, settings: Settings) -> Condition:
    if free is None or free >= settings.low_water_bytes:
        return Condition(name, True)
    return Condition(name, False, f"{free:,} bytes are free, less than {settings.low_water_bytes:,}.")


def _told(name: str, fault: str) -> Condition:
    return Condition(name, not fault, fault)
