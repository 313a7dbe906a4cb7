"""A worker whose table is on PostgreSQL and whose files are on S3; and what it does when a server goes away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from meshwright.service.db import Database, upgrade
from meshwright.service.db.tables import JobRow
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from meshwright.service.storage.store import open_store
from meshwright.service.worker.process import CHILD_COMMAND
from service.worker.conftest import QUICK, Place
from services.servers import Postgres

pytestmark = pytest.mark.services
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "capture"


@pytest.fixture
def far(postgres_url: str, s3_url: str, tmp_path: Path) -> Iterator[Place]:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        data_dir=tmp_path,
        database_url=postgres_url,
        storage_url=s3_url,
        **QUICK,
    )
    database = Database(settings.database)
    upgrade(database)
    with database.write() as session:
        session.execute(delete(JobRow))
    yield Place(settings, JobRepository(database, settings), open_store(settings.storage))
    database.close()


def test_a_real_job_runs_from_s3_to_s3_and_its_engine_sees_no_credentials(far: Place) -> None:
    assert far.done("environment").status is Status.COMPLETED
    far.command = CHILD_COMMAND
    job = far.done(capture=EXAMPLE, options={"texture_size": 256, "resolution": 64, "faces": 2000})
    assert job.status is Status.COMPLETED
    assert job.outcome is not None
    for artifact in job.outcome.artifacts:
        assert far.store.head(f"{job.result_prefix}/{artifact.path}") == artifact.size


def test_no_credentials_reach_the_engine(far: Place) -> None:
    job = far.done("environment")
    (line,) = [line for line in far.lines(job) if line.startswith("environment")]
    assert "AWS" not in line
    assert "MESHWRIGHT" not in line


def test_a_database_that_restarts_under_a_job_costs_it_nothing(far: Place, postgres: Postgres) -> None:
    job = far.submit("sleep:3")
    with far.worker():
        far.until(job, Status.PROCESSING)
        time.sleep(0.5)
        postgres.restart()
        ended = far.until(job)
    assert (ended.status, ended.attempt, ended.crashes) == (Status.COMPLETED, 1, 0)
