"""The client against the real service: a process of `meshwright serve` with its worker, on a real socket, with keys."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshwright.cli.main import run
from meshwright.client import AsyncClient, Client, JobProgress
from meshwright.errors import (
    Cancelled,
    InputError,
    JobExpired,
    JobNotFound,
    JobNotReady,
    Unauthorized,
)
from meshwright.package.verify import verify
from meshwright.service.auth.keys import KeyBook
from meshwright.service.db import Database, upgrade
from meshwright.service.settings import Settings

OPTIONS = {"faces": 2000, "texture_size": 256}


@dataclass(frozen=True)
class Service:
    """A running service with one key."""

    url: str
    key: str
    log: Path
    data: Path
    pid: int


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("service")
    settings = Settings(data_dir=folder / "data", _env_file=None)
    with closing(Database(settings.database)) as database:
        upgrade(database)
        key = KeyBook(database, settings).create(tenant="acme")[1].reveal()
    log = folder / "log"
    words = [sys.executable, "-m", "meshwright", "serve", "--port", "0", "--data", str(settings.data_dir)]
    with log.open("wb") as sink:
        process = subprocess.Popen(words, stderr=sink, cwd=folder, env={**os.environ, "MESHWRIGHT_POLL_S": "0.1"})
    try:
        yield Service(_address(log, process), key, log, settings.data_dir, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    import time

    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError("the service did not start")


@pytest.fixture(scope="module")
def finished(service: Service, posed_capture: Path) -> str:
    """The id of a job that ran to its end while it was watched."""
    said: list[JobProgress] = []
    with Client(service.url, service.key) as client:
        job = client.submit(posed_capture, engine="fusion", options=OPTIONS, name="watched")
        job.wait(said.append, timeout_s=120)
    assert job.verdict in ("normal", "warning")
    fractions = [progress.fraction for progress in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "fuse" in {progress.stage for progress in said}
    return job.id


def test_submit_wait_download_verify(service: Service, finished: str, tmp_path: Path) -> None:
    with Client(service.url, service.key) as client:
        job = client.job(finished)
        assert job.download(tmp_path / "out") == tmp_path / "out"
        job.download(tmp_path / "out.zip")
        job.artifact("fusion/mesh.glb", tmp_path / "mesh.glb")
    assert verify(tmp_path / "out").ok
    assert verify(tmp_path / "out.zip").ok
    assert (tmp_path / "mesh.glb").read_bytes() == (tmp_path / "out" / "fusion" / "mesh.glb").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh.glb", "out", "out.zip"]


def test_the_async_client_does_the_same_and_gets_the_cached_result(
    service: Service, finished: str, posed_capture: Path, tmp_path: Path
) -> None:
    async def work() -> str:
        async with AsyncClient(service.url, service.key) as client:
            job = await client.submit(posed_capture, engine="fusion", options=OPTIONS, cache=True)
            await (await job.wait(timeout_s=60)).download(tmp_path / "out")
            return job.id

    assert asyncio.run(work()) == finished
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_one_key_makes_one_job_and_another_capture_under_it_is_refused(
    service: Service, posed_capture: Path, ring_capture: Path
) -> None:
    from meshwright.errors import IdempotencyConflict

    with Client(service.url, service.key) as client:
        jobs = [client.submit(posed_capture, engine="fusion", idempotency_key="k", name="once") for _ in range(2)]
        assert len({job.id for job in jobs}) == 1
        with pytest.raises(IdempotencyConflict):
            client.submit(ring_capture, engine="fusion", idempotency_key="k", name="once")
        jobs[0].cancel()


def test_a_cancelled_job_is_cancelled_and_can_be_run_again(service: Service, ring_capture: Path) -> None:
    with Client(service.url, service.key) as client:
        job = client.submit(ring_capture, engine="fusion")
        job.cancel()
        with pytest.raises(Cancelled):
            job.wait(timeout_s=30)
        with pytest.raises(Cancelled):
            job.download("nowhere")
        assert job.retry(OPTIONS).status in ("queued", "processing")
        job.cancel()
        assert job.wait(timeout_s=30, check=False).status == "cancelled"
        job.delete()
        with pytest.raises(JobExpired):
            job.download("nowhere")


def test_the_history_has_log_lines_and_ends(service: Service, finished: str) -> None:
    with Client(service.url, service.key) as client:
        events = list(client.job(finished).events())
        later = list(client.job(finished).events(after=events[-2].id))
    assert [event.data["status"] for event in events if event.kind == "status"] == ["queued", "processing", "completed"]
    assert [event.id for event in later] == [events[-1].id]


def test_listing_finds_jobs_by_name_and_status(service: Service, finished: str) -> None:
    with Client(service.url, service.key) as client:
        assert [job.id for job in client.jobs(name="watched", status=["completed"], page=1)] == [finished]
        assert finished not in {job.id for job in client.jobs(status=["failed"])}


def test_the_other_routes_answer(service: Service, posed_capture: Path) -> None:
    with Client(service.url, service.key) as client:
        assert client.health()["status"] == "healthy"
        assert "fusion" in {engine["name"] for engine in client.engines()["engines"]}
        assert client.validate(posed_capture)


def test_errors_are_the_librarys_own(service: Service, posed_capture: Path, tmp_path: Path) -> None:
    with Client(service.url, service.key) as client:
        with pytest.raises(JobNotFound):
            client.job("A" * 22)
        with pytest.raises(InputError):
            client.submit(posed_capture, engine="fusion", options={"faces": -1})
        job = client.submit(posed_capture, engine="fusion", name="in the way")
        with pytest.raises(JobNotReady):
            job.download(tmp_path / "out")
        job.cancel()
    with Client(service.url) as stranger, pytest.raises(Unauthorized):
        stranger.job("A" * 22)


def say(words: list[str], service: Service, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Run the command line and read its JSON lines."""
    assert run([*words, "--url", service.url, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_command_line_does_all_of_it(
    service: Service, finished: str, posed_capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --cache, so that one run is enough for all of these tests."""
    (tmp_path / "key").write_text(service.key + "\n")
    key = ["--key-file", str(tmp_path / "key")]
    words = ["jobs", "submit", str(posed_capture), "--engine", "fusion", "-o", str(tmp_path / "out"), "--cache"]
    for name, value in OPTIONS.items():
        words += ["--option", f"{name}={value}"]
    *progress, last = say([*words, *key], service, capsys)
    assert {line["event"] for line in progress} == {"progress"}
    assert (last["event"], last["status"], last["options"]) == ("job", "completed", OPTIONS)
    assert (tmp_path / "out" / "fusion" / "mesh.glb").is_file()
    assert last["id"] == finished
    assert say(["jobs", "show", finished, *key], service, capsys)[0]["verdict"] == last["verdict"]
    assert say(["jobs", "watch", finished, *key], service, capsys)[-1]["status"] == "completed"
    assert [line["id"] for line in say(["jobs", "list", "--name", "watched", *key], service, capsys)] == [finished]
    say(["jobs", "download", finished, "-o", str(tmp_path / "again.zip"), *key], service, capsys)
    assert verify(tmp_path / "again.zip", rescore=None).ok
    assert run(["jobs", "submit", str(posed_capture), "--url", service.url, *key]) == 0
    job_id = capsys.readouterr().out.strip()
    assert say(["jobs", "cancel", job_id, *key], service, capsys)[0]["status"] == "cancelled"
    assert say(["jobs", "retry", job_id, *key], service, capsys)[0]["id"] == job_id
    say(["jobs", "cancel", job_id, *key], service, capsys)
    assert say(["jobs", "delete", job_id, *key], service, capsys) == [{"id": job_id, "deleted": True}]
    assert run(["jobs", "show", "A" * 22, "--url", service.url, *key]) == 9


def test_the_example_of_the_docs_runs(
    service: Service, finished: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, posed_capture: Path
) -> None:
    """docs/client.md as written, but for the address, and on the small capture with its cached result."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text()
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    code = block[1].replace("http://127.0.0.1:8000", service.url).replace("examples/capture", str(posed_capture))
    code = code.replace('{"faces": 5000, "texture_size": 512}', f"{OPTIONS!r}, cache=True")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MESHWRIGHT_API_KEY", service.key)
    exec(compile(code, "docs/client.md", "exec"), {})
    assert (tmp_path / "out" / "fusion" / "mesh.glb").is_file()


def test_the_key_is_in_no_log_no_file_and_no_processs_arguments(service: Service, finished: str) -> None:
    """T-54: after all of the above, the canary is nowhere but with its holder."""
    secret = service.key.rpartition("_")[2].encode() if service.key.count("_") == 2 else service.key[20:].encode()
    assert len(secret) >= 40
    assert finished.encode() in service.log.read_bytes()
    assert secret not in service.log.read_bytes()
    for path in service.data.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        assert secret not in words
        assert int(process.name) == os.getpid() or secret not in environment


def test_every_line_of_the_log_is_json_with_the_ids(service: Service, finished: str) -> None:
    """T-17: the first line is for the person at the terminal, all others are JSON."""
    first, *lines = service.log.read_text().splitlines()
    assert first.startswith("Meshwright serves on")
    told = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= set(line) for line in told)
    assert any(line.get("request_id") for line in told)
    assert all(line.isprintable() for line in lines)
