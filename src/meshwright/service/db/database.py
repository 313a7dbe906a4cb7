"""One way to read and one way to write, the same on SQLite and on PostgreSQL.

A write on SQLite takes the one write lock at its start (``BEGIN IMMEDIATE``), so what a transaction has read cannot
change before it commits; on PostgreSQL rows are locked as they are read (``FOR UPDATE``), and :meth:`Database.serial`
takes a named lock where a count has to hold.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, func, make_url, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from meshwright.errors import DiskFull, ServiceError
from meshwright.service.db.sqlite import sqlite_engine

T = TypeVar("T")
BUSY_S = 10.0  # how long SQLite waits for another writer
TRIES = 8  # of a transaction that another one, or a restart of the server, got in the way of: some six seconds
FIRST_PAUSE_S = 0.05
WRITE = "meshwright_write"
RETRIED_STATES = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "08006", "08001", "08003"})
LOCKED = ("database is locked", "database table is locked", "locking protocol")


class DatabaseUnavailable(ServiceError):
    """The database could not be reached, or was busy, for longer than a request may wait: try again."""


class Database:
    """A database by its SQLAlchemy URL. ``clock`` replaces its time, for tests."""

    def __init__(self, url: str, *, clock: Callable[[], datetime] | None = None, busy_s: float = BUSY_S) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine: Engine = sqlite_engine(self.url, WRITE, busy_s, json_serializer=to_json)
        else:
            self.engine = _server_engine(self.url)
        self._writer = self.engine.execution_options(**{WRITE: True})
        self._clock = clock
        self._writing = threading.Lock()  # threads wait here in turn, not asleep in SQLite's busy handler
        self._busy_s = busy_s

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def now(self, session: Session | None = None) -> datetime:
        """The time that all processes agree on: the server's on PostgreSQL, this machine's on SQLite."""
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return datetime.now(UTC)
        statement = select(func.clock_timestamp())
        if session is not None:
            return session.execute(statement).scalar_one().astimezone(UTC)
        with self.read() as fresh:
            return fresh.execute(statement).scalar_one().astimezone(UTC)

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session that sees one state of the database and changes nothing."""
        with _translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def look(self) -> Generator[Connection]:
        """The same as a bare connection: what is asked for all the time goes without the ORM's bookkeeping."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Generator[Session]:
        """A session whose changes are committed at the end of the block, or none of them.

        Raises:
            DatabaseUnavailable: when another writer was in the way for too long.
            DiskFull: when the disk is.
        """
        with self._turn(), _translated(), Session(self._writer, expire_on_commit=False) as session:
            session.connection()  # begins now: the lock is taken before anything is read
            yield session
            session.commit()

    def run(self, work: Callable[[Session], T]) -> T:
        """What ``work`` returns, in one transaction; the whole of it is tried again when another one was in the way.

        Raises:
            DatabaseUnavailable: when it was in the way every time.
        """
        for attempt in range(TRIES):
            try:
                with self.write() as session:
                    return work(session)
            except DatabaseUnavailable:
                if attempt == TRIES - 1 or self.is_sqlite:  # SQLite has waited already
                    raise
                time.sleep(FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    def serial(self, session: Session, name: str) -> None:
        """Let only one transaction at a time pass here, until it ends. On SQLite every write is alone anyway."""
        if not self.is_sqlite:
            session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    @contextmanager
    def begin(self) -> Generator[Connection]:
        """A bare connection in a write transaction, for migrations."""
        with self._turn(), _translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Generator[None]:
        if not self.is_sqlite:
            yield
            return
        if not self._writing.acquire(timeout=self._busy_s * 2):
            raise _unavailable("This process is still busy with other writes to the database.")
        try:
            yield
        finally:
            self._writing.release()


def _server_engine(url: URL) -> Engine:
    """PostgreSQL. A frozen process must not hold its locks for ever, and none is waited for without end."""
    limits = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=30s"
    arguments = {"options": limits, "connect_timeout": 5}
    driver = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    return create_engine(
        url.set(drivername=driver.get(url.drivername, url.drivername)),
        connect_args=arguments,
        json_serializer=to_json,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=30,
        pool_timeout=BUSY_S,
    )


def to_json(value: Any) -> str:
    """Numbers that are none are a fault of the caller, not something to store."""
    return json.dumps(value, allow_nan=False)


@contextmanager
def _translated() -> Generator[None]:
    """The driver's errors of being busy, gone or out of space, as ours; others pass."""
    try:
        yield
    except PoolTimeout as error:
        raise _unavailable("Every connection to the database is in use.") from error
    except DBAPIError as error:
        if "disk is full" in str(error.orig):
            raise DiskFull(
                "The disk of the database is full.", suggestion="Free some space, then try again.", path="database"
            ) from error
        if _passes_by_itself(error):
            raise _unavailable("The database is busy or cannot be reached.") from error
        raise


def _passes_by_itself(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state in RETRIED_STATES or error.connection_invalidated:
        return True
    is_connecting = isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate") and state is None
    return is_connecting or any(word in str(error.orig) for word in LOCKED)


def _unavailable(message: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        message, suggestion="Try again in a few seconds.", reason="database_unavailable", retry_after_s=5
    )
