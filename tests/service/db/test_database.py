"""Writers in each other's way, full disks, and migrations."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from meshwright.errors import DiskFull
from meshwright.service.db import Database, DatabaseUnavailable, upgrade
from meshwright.service.db.tables import ApiKeyRow, Base, EventRow

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


def key(name: str = "k", at: datetime | None = None) -> ApiKeyRow:
    return ApiKeyRow(id=name, tenant="a", digest="d", scopes=["read"], created_at=at or datetime.now(UTC))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "x.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{path}")
    upgrade(opened)
    yield opened
    opened.close()


def hold_lock(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_tables_are_those_that_the_migrations_make(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.write() as session:
        session.add(key())
    upgrade(database)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ApiKeyRow)) == 1


def test_many_may_migrate_at_once(path: Path) -> None:
    """As when several processes start together."""
    code = "import sys; from meshwright.service.db import *; upgrade(Database(sys.argv[1]))"
    command = [sys.executable, "-c", code, f"sqlite:///{path}"]
    assert [process.wait(60) for process in [subprocess.Popen(command) for _ in range(3)]] == [0, 0, 0]
    with closing(Database(f"sqlite:///{path}")) as database:
        assert "jobs" in inspect(database.engine).get_table_names()


def test_a_commit_survives_a_power_cut(database: Database) -> None:
    with database.read() as session:
        pragmas = [session.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2], "a write-ahead log, flushed at every commit"


def test_a_write_waits_for_another_process(database: Database, path: Path) -> None:
    process = hold_lock(path, 3)
    start = time.monotonic()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ApiKeyRow)) == 0, "reading waits for nobody"
    assert time.monotonic() - start < 1
    with database.write() as session:
        session.add(key())
    assert time.monotonic() - start > 2
    assert process.communicate(timeout=10) == ("", None)


def test_a_write_that_waits_too_long_says_so_and_the_next_one_works(path: Path, database: Database) -> None:
    hasty = Database(f"sqlite:///{path}", busy_s=0.2)
    process = hold_lock(path, 1.5)
    with pytest.raises(DatabaseUnavailable) as refusal:
        hasty.run(lambda session: session.add(key()))
    assert refusal.value.reason == "database_unavailable"
    assert process.communicate(timeout=10) == ("", None)
    hasty.run(lambda session: session.add(key()))
    hasty.close()


def test_a_write_of_another_thread_is_waited_for(database: Database) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        with database.write() as session:
            session.add(key("slow"))
            has_begun.set()
            may_end.wait(10)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow)
        has_begun.wait(10)
        second = pool.submit(database.run, lambda session: session.scalar(select(func.count(ApiKeyRow.id))))
        may_end.set()
        first.result(10)
        assert second.result(10) == 1


def test_a_write_is_whole_or_not_at_all(database: Database) -> None:
    def fail(session: Session) -> None:
        session.add(key())
        session.flush()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(fail)
    with database.read() as session:
        assert session.get(ApiKeyRow, "k") is None


def test_a_full_disk_is_named_and_recovered_from(database: Database) -> None:
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    database.close()

    def limit(pages: object) -> None:
        with database.engine.connect() as connection:  # the pool hands the same connection out again
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill(session: Session) -> None:
        session.add_all(key(f"k{n}") for n in range(2000))

    limit(pages)
    with pytest.raises(DiskFull):
        database.run(fill)
    limit(1_000_000)
    database.run(fill)


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    elsewhere = timezone(timedelta(hours=5))
    at = datetime(2026, 1, 1, 3, 0, 0, 123456, tzinfo=elsewhere)
    database.run(lambda session: session.add(key(at=at)))
    with database.read() as session:
        stored = session.get_one(ApiKeyRow, "k").created_at
    assert (stored, stored.utcoffset()) == (at, timedelta(0))
    with pytest.raises(Exception, match="no time zone"):
        database.run(lambda session: session.add(key("naive", datetime(2026, 1, 1))))


def test_an_event_needs_a_job(database: Database) -> None:
    event = EventRow(job_id="none", kind="log", at=datetime.now(UTC), data={})
    with pytest.raises(IntegrityError):
        database.run(lambda session: session.add(event))
