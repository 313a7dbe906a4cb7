"""A running service for tests, captures to send to it, and results made by hand."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from meshwright.service import logs
from meshwright.service.app import create_app
from meshwright.service.http.protocol import server_config
from meshwright.service.jobs.job import Job, Outcome, Status
from meshwright.service.parts import Service
from meshwright.service.server import Server
from meshwright.service.settings import Settings
from meshwright.service.storage.publish import publish

NAMES = ("front", "back", "left", "right", "top", "bottom")
MANY = 1_000_000
Files = list[tuple[str, tuple[str, bytes]]]


@dataclass(frozen=True)
class Live:
    """A server: its address, and its parts for those who look behind the answers."""

    url: str
    port: int
    settings: Settings
    app: Any
    client: httpx.Client

    @property
    def service(self) -> Service:
        return self.app.state.service

    def submit(self, files: Files | None = None, path: str = "/v1/jobs", **kwargs: Any) -> httpx.Response:
        return self.client.post(path, files=six() if files is None else files, **kwargs)

    def submitted(self, **data: str) -> str:
        """The id of a new job."""
        answer = self.submit(data=data)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def claim(self, job_id: str) -> Job:
        job = self.service.repository.claim("hand", devices=("cpu", "cuda"), job_id=job_id)
        assert job is not None
        return job

    def complete(self, job_id: str, folder: Path, verdict: str = "normal") -> Job:
        """Do what a worker does, with a result made by hand."""
        job = self.claim(job_id)
        artifacts = publish(self.service.store, folder, job.result_prefix)
        engines = {"fusion": {"status": "completed", "error": None, "verdict": verdict, "quality": {"metrics": {}}}}
        outcome = Outcome(Status.COMPLETED, engines, verdict, artifacts, stage_seconds={"load": 0.5})
        assert self.service.repository.finish(job_id, job.attempt, outcome)
        return self.service.repository.get(job_id)

    def fail(self, job_id: str, code: str = "MODEL_OOM") -> None:
        job = self.claim(job_id)
        error = {"code": code, "message": "It failed.", "details": {}, "suggestion": "Try again."}
        assert self.service.repository.finish(job_id, job.attempt, Outcome(Status.FAILED, error=error))

    def curl(self, *words: str, path: str = "") -> str:
        """The output of curl, as it is on this machine."""
        done = subprocess.run(["curl", "-sS", *words, self.url + path], capture_output=True, timeout=30, check=True)
        return done.stdout.decode()

    def leftovers(self) -> list[Path]:
        """What lies in the staging folder."""
        staging = self.settings.data_dir / "staging"
        found: list[Path] = []
        for folder, _, files in os.walk(staging):  # skips what goes while it looks
            found += [Path(folder), *(Path(folder) / name for name in files)]
        return sorted(found)[1:]

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until no upload is under way and nothing of any is left."""
        until = time.monotonic() + seconds
        while (self.leftovers() or self.service.slots.total) and time.monotonic() < until:
            time.sleep(0.02)
        assert self.leftovers() == []

    def stored(self) -> list[str]:
        return [key for key, _ in self.service.store.list("jobs")]


def live_settings(folder: Path, **changes: Any) -> Settings:
    given = {
        "data_dir": folder,
        "low_water_bytes": 0,
        "rate_per_minute": MANY,
        "submits_per_minute": MANY,
        "log_level": "warning",
        **changes,
    }
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]


@contextmanager
def live(folder: Path, **changes: Any) -> Generator[Live]:
    """The application behind uvicorn, with the settings that ``meshwright serve`` gives it, in a thread."""
    settings = live_settings(folder, **changes)
    logs.configure(settings.log_level, "json")
    app = create_app(settings)
    sock = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = Server(server_config(app, settings, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    port = sock.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=20) as client:
        yield Live(url, port, settings, app, client)
    server.should_exit = True
    thread.join(15)
    sock.close()
    assert not thread.is_alive()


def png(size: int = 64, shade: int = 120, mode: str = "RGB") -> bytes:
    """A picture of a disc."""
    y, x = np.mgrid[:size, :size]
    disc = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (size / 3) ** 2
    plane = np.where(disc, shade, 0 if mode == "L" else 255).astype(np.uint8)
    image = Image.fromarray(plane if mode == "L" else np.stack([plane] * 3, axis=-1))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def six(names: Sequence[str] = NAMES, *, depth: bool = True) -> Files:
    """Six views, and their depth images, as form fields."""
    found: Files = [("views", (f"{name}.png", png(shade=60 + 20 * i))) for i, name in enumerate(names)]
    if depth:
        found += [("depth_renders", (f"{name}.png", png(32, 100 + 10 * i, "L"))) for i, name in enumerate(names)]
    return found


def capture_zip(entries: Mapping[str, bytes] | None = None) -> bytes:
    """A capture as a ZIP."""
    default = {f"multi_views/{name}.png": png(shade=60 + 20 * i) for i, name in enumerate(NAMES)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in (default if entries is None else entries).items():
            archive.writestr(name, data)
    return out.getvalue()


def result_folder(folder: Path) -> Path:
    """A package as far as the service looks into it: some files and the ZIP of them."""
    (folder / "fusion").mkdir(parents=True)
    (folder / "fusion" / "mesh.glb").write_bytes(bytes(range(256)) * 40)
    (folder / "fusion" / "texture.png").write_bytes(png())
    (folder / "manifest.json").write_text(json.dumps({"engines": {}}))
    with zipfile.ZipFile(folder / "result.zip", "w") as archive:
        archive.write(folder / "fusion" / "mesh.glb", "fusion/mesh.glb")
    return folder


def code_of(answer: httpx.Response) -> str:
    """The code of an error, having checked the whole form of it."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body["error"]) == {"code", "message", "details", "suggestion"}
    assert body["status"] == answer.status_code
    assert body["detail"] == body["error"]["message"]
    assert body["type"] == f"urn:meshwright:error:{body['error']['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return body["error"]["code"]


def reason_of(answer: httpx.Response) -> str:
    code_of(answer)
    return answer.json()["error"]["details"].get("reason", "")
