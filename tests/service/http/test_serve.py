"""``meshwright serve`` as a process: what it refuses, what it starts, how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from meshwright.package.verify import verify
from meshwright.service.companion import Companion
from service.http.live import capture_zip

MESHWRIGHT = [sys.executable, "-m", "meshwright"]


def environment(**settings: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MESHWRIGHT_")}
    return {**own, "MESHWRIGHT_LOW_WATER_BYTES": "0", **{f"MESHWRIGHT_{key.upper()}": v for key, v in settings.items()}}


@contextmanager
def serving(folder: Path, *options: str, **settings: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The process and its address; whatever happens, it is gone at the end."""
    command = [*MESHWRIGHT, "serve", "--port", "0", "--data", str(folder / "data"), *options]
    process = subprocess.Popen(command, cwd=folder, env=environment(**settings), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = None
        for line in process.stderr:
            found = re.search(r"http://\S+", line)
            if found:
                break
        assert found is not None
        url = found[0]
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield process, url
    finally:
        if process.poll() is None:
            process.kill()
        process.stderr.close()
        process.wait()


def wait_for(url: str, job_id: str, seconds: float = 120) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        job = httpx.get(f"{url}/v1/jobs/{job_id}").json()
        if job["status"] not in ("queued", "processing"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def run(*words: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MESHWRIGHT, "serve", *words], cwd=folder, env=environment(**settings), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


def test_beyond_this_machine_it_does_not_start_without_a_key(tmp_path: Path) -> None:
    done = run("--host", "0.0.0.0", "--port", "0", "--no-worker", folder=tmp_path)
    assert done.returncode == 3
    assert "exposed_without_keys" in done.stderr


def test_beyond_this_machine_it_starts_when_it_is_meant(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", "--allow-anonymous", "--no-worker") as (_, url):
        assert httpx.get(f"http://127.0.0.1:{url.rsplit(':', 1)[1]}/v1/jobs").status_code == 200


@pytest.mark.parametrize(
    ("settings", "reason"), [({"port": "x"}, "bad_setting"), ({"storage_url": "ftp://x"}, "storage_url_invalid")]
)
def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    done = run("--no-worker", *([] if "port" in settings else ["--port", "0"]), folder=tmp_path, **settings)
    assert done.returncode == 3
    assert reason in done.stderr


def test_an_address_that_is_taken_is_told_of(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-worker") as (_, url):
        done = run("--no-worker", "--port", url.rsplit(":", 1)[1], folder=tmp_path)
    assert done.returncode == 3
    assert "address_taken" in done.stderr


def test_a_capture_becomes_a_verified_result(tmp_path: Path, posed_capture: Path) -> None:
    """The whole way: one command, an upload, the real worker and engine, a download, its check."""
    entries = {
        path.relative_to(posed_capture).as_posix(): path.read_bytes()
        for path in posed_capture.rglob("*")
        if path.is_file()
    }
    with serving(tmp_path, log_level="warning") as (process, url):
        data = {"model_type": "fusion", "options": '{"faces": 1500, "texture_size": 256, "resolution": 64}'}
        files = [("archive", ("capture.zip", capture_zip(entries)))]
        job_id = httpx.post(f"{url}/v1/jobs", files=files, data=data).json()["job_id"]
        job = wait_for(url, job_id)
        assert (job["status"], job["progress"]) == ("completed", 100), job
        assert job["verdict"] in ("normal", "warning", "failure")
        assert job["stage_seconds"]
        out = tmp_path / "results.zip"
        with httpx.stream("GET", f"{url}/jobs/{job_id}/download") as answer, out.open("wb") as sink:
            assert int(answer.headers["content-length"]) > 0
            for piece in answer.iter_bytes():
                sink.write(piece)
        assert verify(out).ok
        with zipfile.ZipFile(out) as archive:
            assert {"manifest.json", "cameras.json", "fusion/mesh.glb", "fusion/quality.json"} <= set(
                archive.namelist()
            )
        worker = int(
            subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=True).stdout.split()[0]
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_worker_that_dies_is_started_again() -> None:
    companion = Companion([sys.executable, "-c", "import time; time.sleep(60)"])
    companion.start()
    seen: list[int] = []
    until = time.monotonic() + 10
    while len(seen) < 2 and time.monotonic() < until:
        pid = companion.pid
        if pid is not None and pid not in seen:
            seen.append(pid)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    assert len(seen) == 2
    companion.stop(2.0)
    assert companion.pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(companion.pid, 0)
