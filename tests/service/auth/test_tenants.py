"""T-53: whatever route a tenant tries with another tenant's job, there is no such job."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from meshwright.service.app import create_app
from meshwright.service.auth.keys import KeyBook
from meshwright.service.db import Database, upgrade
from meshwright.service.jobs.job import NewJob, Outcome, Status, new_job_id
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings

METHODS = ("get", "head", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Site:
    """A real server with two tenants and a finished job of the first, with a webhook."""

    url: str
    owner: dict[str, str]
    other: dict[str, str]
    job_id: str
    delivery_id: str
    document: dict[str, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder: Path = tmp_path_factory.mktemp("site")
    settings = Settings(data_dir=folder, log_level="error", _env_file=None)
    with closing(Database(settings.database)) as database:
        upgrade(database)
        keys = KeyBook(database, settings)
        owner, other = (keys.create(tenant=tenant)[1].reveal() for tenant in ("owner", "other"))
        repository = JobRepository(database, settings)
        new = NewJob(new_job_id(), "owner", "fusion", {}, "0" * 64, 1, webhook_url="https://192.0.2.1/hook")
        repository.submit(new)
        job = repository.claim("worker", devices=["cpu"])
        assert job is not None
        repository.finish(job.id, job.attempt, Outcome(Status.FAILED, error={"code": "MODEL_FAILED", "message": "m"}))
        from meshwright.service.webhooks.outbox import Outbox

        (delivery,) = Outbox(database).of_job(job.id, "owner")
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        yield Site(url, {"X-API-Key": owner}, {"X-API-Key": other}, new.id, delivery.id, app.openapi())
        server.should_exit = True
        thread.join()


def routes(site: Site) -> list[tuple[str, str]]:
    """Every documented operation on a job, with the owner's ids in it."""
    found: list[tuple[str, str]] = []
    for path, operations in site.document["paths"].items():
        if "{job_id}" in path:
            for name, value in (("job_id", site.job_id), ("delivery_id", site.delivery_id), ("path", "manifest.json")):
                path = path.replace("{" + name + "}", value)
            assert "{" not in path
            found += [(method, path) for method in METHODS if method in operations]
    return found


def test_no_route_knows_another_tenants_job(site: Site) -> None:
    tried = routes(site)
    assert len(tried) >= 10
    with httpx.Client(base_url=site.url, headers=site.other) as client:
        answers = {f"{method} {path}": client.request(method, path) for method, path in tried}
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code != 404} == {}


def test_its_owner_is_answered_otherwise(site: Site) -> None:
    """So that the test above is not won by routes that know no job at all."""
    with httpx.Client(base_url=site.url, headers=site.owner) as client:
        assert client.get(f"/v1/jobs/{site.job_id}").status_code == 200
        (delivery,) = client.get(f"/v1/jobs/{site.job_id}/deliveries").json()["deliveries"]
        assert delivery["id"] == site.delivery_id


def test_what_is_not_there_and_what_is_anothers_look_the_same(site: Site) -> None:
    with httpx.Client(base_url=site.url, headers=site.other) as client:
        theirs = client.get(f"/v1/jobs/{site.job_id}").json()["error"]
        nobodys = client.get(f"/v1/jobs/{new_job_id()}").json()["error"]
    assert (theirs["code"], theirs["suggestion"]) == (nobodys["code"], nobodys["suggestion"])
    assert set(theirs["details"]) == set(nobodys["details"])


def test_a_listing_holds_ones_own_jobs(site: Site) -> None:
    for headers, expected in ((site.owner, [site.job_id]), (site.other, [])):
        found = httpx.get(f"{site.url}/v1/jobs", headers=headers).json()["jobs"]
        assert [job["job_id"] for job in found] == expected


def test_without_a_key_every_route_on_jobs_is_shut(site: Site) -> None:
    with httpx.Client(base_url=site.url) as client:
        answers = {client.request(method, path).status_code for method, path in routes(site)}
    assert answers == {401}


def test_refusals_say_how_and_when_to_come_back(site: Site) -> None:
    answer = httpx.get(f"{site.url}/v1/jobs")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "UNAUTHORIZED"
    assert "ratelimit-remaining" in httpx.get(f"{site.url}/v1/jobs", headers=site.owner).headers
