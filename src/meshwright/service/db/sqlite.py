"""Connections to SQLite: a write-ahead log that is flushed at every commit, and a fair wait for the one write lock."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

LONGEST_NAP_S = 0.004


def sqlite_engine(url: URL, write_option: str, busy_s: float, *, json_serializer: Callable[[Any], str]) -> Engine:
    """An engine whose transactions take the write lock at their start where the execution option is set."""
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": busy_s},
        json_serializer=json_serializer,
        pool_size=20,
        max_overflow=40,
        pool_timeout=busy_s,
    )

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(write_option):
            _take_write_lock(connection, busy_s)
        else:
            _driver(connection).execute("BEGIN").close()  # touches no file yet, so that nothing can be in the way

    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", begin)
    return engine


def _set_up(connection: Any, record: object) -> None:
    """Every commit reaches the disk (FULL): a job that was accepted survives a power cut."""
    del record
    connection.isolation_level = None  # transactions begin where we say so, not where the driver guesses
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _take_write_lock(connection: Connection, busy_s: float) -> None:
    """Ask again and again after short random naps.

    SQLite's own wait naps for up to 0.1 s, so that with a few busy processes one of them starves for seconds.
    """
    driver = _driver(connection)
    deadline = time.monotonic() + busy_s
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        while time.monotonic() < deadline:
            try:
                driver.execute("BEGIN IMMEDIATE").close()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    break  # the last try, below, raises it as SQLAlchemy does
                time.sleep(random.uniform(0.1, 1) * LONGEST_NAP_S)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(busy_s * 1000)}").close()


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
