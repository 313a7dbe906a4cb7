"""T-24 and T-30: the API dies at each stage of a submission; the client repeats it under its key, and has one job.

It needs no server of others, but starts the service a dozen times.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import httpx
import pytest

from meshwright.service.db import Database
from meshwright.service.failpoints import KILLED, NAMES
from meshwright.service.jobs.job import Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from meshwright.service.storage import open_store
from meshwright.service.storage.janitor import sweep_files
from meshwright.service.uploads.receive import remove_leftovers, staging_folder
from service.http.live import png
from service.http.test_serve import serving

pytestmark = pytest.mark.services
PARTS = ("upload.", "intake.", "submit.", "announce.", "storage.")
STAGES = sorted(name for name in NAMES if name.startswith(PARTS))


def submit(url: str, stage: str) -> httpx.Response:
    """The same request each time that a stage is named."""
    files = [("views", ("front.png", png(48, 10 + STAGES.index(stage)))), ("views", ("back.png", png(48, 200)))]
    return httpx.post(f"{url}/v1/jobs", files=files, headers={"Idempotency-Key": stage}, timeout=30)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one service after another has died, each at another stage of a submission."""
    folder = tmp_path_factory.mktemp("crashed")
    for stage in STAGES:
        with serving(folder, "--no-worker", fail_at=stage) as (process, url):
            with pytest.raises(httpx.TransportError):
                submit(url, stage)
            assert process.wait(20) == KILLED, stage
    return folder


def test_every_stage_of_a_submission_is_among_them() -> None:
    assert len(STAGES) >= 10


def test_whoever_tries_again_has_one_job_and_nothing_else_is_kept(crashed: Path) -> None:
    with serving(crashed, "--no-worker", submits_per_minute="100000") as (_, url):
        jobs: dict[str, str] = {}
        for stage in STAGES:
            answers = [submit(url, stage) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [202, 202], stage
            (jobs[stage],) = {answer.json()["job_id"] for answer in answers}
        listed = httpx.get(f"{url}/v1/jobs", params={"limit": 200}).json()["jobs"]
        assert sorted(job["job_id"] for job in listed) == sorted(jobs.values())
    settings = Settings(_env_file=None, data_dir=crashed / "data")  # type: ignore[call-arg]
    with closing(Database(settings.database)) as database:
        repository, store = JobRepository(database, settings), open_store(settings.storage)
        sweep_files(repository, store, older_s=0)
        remove_leftovers(settings, older_s=0)
        assert {repository.get(job_id).status for job_id in jobs.values()} == {Status.QUEUED}
        kept = {key for key, _ in store.list("jobs")}
        names = ("front.png", "back.png")
        assert kept == {f"jobs/{job_id}/input/multi_views/{name}" for job_id in jobs.values() for name in names}
    assert not list(staging_folder(settings).iterdir())
    assert not list((crashed / "data" / "storage").rglob(".part-*"))
