"""A whole service as processes, for the benchmarks: the API as `meshwright serve`, workers whose engine is a double."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from PIL import Image

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from services.redis_server import Redis, running_redis  # noqa: E402
from services.servers import free_port, running_postgres  # noqa: E402

LAUNCH = TESTS / "service" / "worker" / "launch.py"
SIDES = ("front", "back", "left", "right", "top", "bottom")


@dataclass
class Fleet:
    """One API process, some workers and, for the celery queue, Redis and PostgreSQL. Whatever dies is started again."""

    folder: Path
    queue: str = "embedded"
    workers: int = 2
    seats: int = 2
    engine_s: float = 2.0
    database: str = "sqlite"
    settings: dict[str, Any] = field(default_factory=dict)
    redis: Redis | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __enter__(self) -> Fleet:
        self._servers = ExitStack()
        values = {"data_dir": self.folder / "data", "queue": self.queue, "log_level": "warning"}
        values |= {"submits_per_minute": 10**6, "rate_per_minute": 10**6, "low_water_bytes": 0} | self.settings
        if self.queue == "celery":
            self.redis = self._servers.enter_context(running_redis())
            values["redis_url"] = self.redis.url
        if self.database == "postgres":
            values["database_url"] = self._servers.enter_context(running_postgres()).url
        self.environment = {**os.environ, **{f"MESHWRIGHT_{name.upper()}": str(v) for name, v in values.items()}}
        self.start("api")
        self.wait_until_ready()
        for name in self.worker_names:
            self.start(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._servers.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def worker_names(self) -> list[str]:
        return [f"worker-{n}" for n in range(self.workers)]

    def start(self, name: str) -> None:
        """Start a process, again if it is dead."""
        if name == "api":
            command = [sys.executable, "-m", "meshwright", "serve", "--no-worker", "--port", str(self.port)]
        else:
            own = ["--seats", str(self.seats), "fake.py", f"--seconds={self.engine_s}"]
            command = [sys.executable, str(LAUNCH), *own]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def kill(self, name: str) -> int:
        """kill -9, then start again; returns the pid that died."""
        process = self.processes[name]
        process.kill()
        process.wait()
        self.start(name)
        return process.pid

    def wait_until_ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise SystemExit(f"the API did not start; see {self.folder / 'api.log'}")

    def is_up(self, name: str) -> bool:
        """Whether a process has started so far that it serves or takes jobs."""
        if name != "api":
            return any((self.folder / "data" / "scratch").glob(f"*-{self.processes[name].pid}-*.lock"))
        try:
            return httpx.get(f"{self.url}/health", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    def engines(self) -> dict[int, int]:
        """The engines' processes that run, each with the worker that started it."""
        workers = {self.processes[name].pid for name in self.worker_names}
        return {pid: parent for pid, parent in parents().items() if parent in workers}


def parents() -> dict[int, int]:
    """Every process that runs, with its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                found[int(entry.name)] = int(parent)
    return found


def fakes_left() -> list[int]:
    """Engines' processes of the double that run, whoever started them."""
    left = []
    for pid in parents():
        try:
            if b"fake.py" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                left.append(pid)
        except OSError:
            continue
    return left


def small_capture() -> list[tuple[str, tuple[str, bytes, str]]]:
    """Six views and depth maps that pass the gate, as multipart fields."""
    rgb = encode(np.full((64, 64, 3), 200, np.uint8))
    depth = encode(np.full((64, 64), 1000, np.uint16))
    views = [("views", (f"{side}.png", rgb, "image/png")) for side in SIDES]
    return [*views, *[("depth_renders", (f"{side}.png", depth, "image/png")) for side in SIDES]]


def encode(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def quantile(values: list[float], share: float) -> float:
    """Without interpolation: a value that was measured."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")
