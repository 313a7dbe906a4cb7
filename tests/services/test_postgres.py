"""The laws of the jobs on PostgreSQL: the same tests as on SQLite, and what only a server can do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from meshwright.service.db import Database, DatabaseUnavailable, upgrade
from meshwright.service.db.tables import Base
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from service.jobs.conftest import clock, database, repository  # noqa: F401
from service.jobs.making import COMPLETED, CPU, check_history, claimed, submitted
from service.jobs.test_attempts import *  # noqa: F403
from service.jobs.test_crashes import *  # noqa: F403
from service.jobs.test_machine import *  # noqa: F403
from service.jobs.test_races import *  # noqa: F403
from service.jobs.test_reading import *  # noqa: F403
from service.jobs.test_requests import *  # noqa: F403
from services.servers import Postgres

pytestmark = pytest.mark.services
TABLES = ", ".join(Base.metadata.tables)


@pytest.fixture(scope="module")
def migrated(postgres_url: str) -> str:
    opened = Database(postgres_url)
    upgrade(opened)
    opened.close()
    return postgres_url


def clear(url: str) -> None:
    opened = Database(url)
    with opened.begin() as connection:
        connection.execute(text(f"TRUNCATE {TABLES}"))
    opened.close()


@pytest.fixture
def database_url(migrated: str) -> str:
    clear(migrated)
    return migrated


@pytest.fixture
def fresh_url(migrated: str) -> Callable[[], str]:
    def make() -> str:
        clear(migrated)
        return migrated

    return make


def test_the_tables_are_those_that_the_migrations_make(repository: JobRepository) -> None:  # noqa: F811
    with repository.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_leases_run_on_the_servers_clock(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose own clock is wrong by hours neither loses its job nor keeps it."""
    opened = Database(database_url)
    monkeypatch.setattr("meshwright.service.db.database.datetime", None)
    jobs = JobRepository(opened, Settings())
    job = claimed(jobs)
    assert jobs.heartbeat(job.id, 1, "w", None) == "go"
    assert jobs.reap() == []
    with opened.read() as session:
        server = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    assert abs((opened.now() - server).total_seconds()) < 5
    opened.close()


def test_jobs_survive_a_restart_of_the_server(shared: JobRepository, postgres: Postgres) -> None:
    """``restart -m immediate`` in the middle of claims: what was not committed is done again, nothing runs twice."""
    quick = JobRepository(shared.database, Settings(lease_s=1, max_crashes=10))
    jobs = [submitted(quick) for _ in range(150)]
    published: list[str] = []
    stop = threading.Event()

    def work(number: int) -> None:
        while not stop.is_set():
            try:
                quick.reap()
                job = quick.claim(f"w{number}", devices=CPU)
                if job is not None and quick.finish(job.id, job.attempt, COMPLETED):
                    published.append(job.id)
            except DatabaseUnavailable:
                time.sleep(0.05)

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work, number) for number in range(4)]
        time.sleep(0.2)
        postgres.restart()
        for _ in range(600):
            try:
                if quick.counts()["completed"] == {"cpu": len(jobs)}:
                    break
            except DatabaseUnavailable:
                pass
            time.sleep(0.05)
        stop.set()
        for worker in workers:
            worker.result(30)
    for job in jobs:
        after = quick.get(job.id)
        assert after.status is Status.COMPLETED
        check_history(quick, after)
    assert len(published) == len(set(published)) <= len(jobs)


def test_a_frozen_transaction_does_not_hold_the_queue(shared: JobRepository) -> None:
    """A worker that stopped in the middle of a claim holds one row; the others go on past it."""
    first, second = submitted(shared), submitted(shared)
    with shared.database.write() as frozen:
        frozen.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": first.id})
        taken = shared.claim("w", devices=CPU)
        assert taken is not None
        assert taken.id == second.id
        assert shared.claim("w", devices=CPU) is None
    assert shared.claim("w", devices=CPU) is not None
