"""Throw-away servers for tests: PostgreSQL in a folder of its own, and moto as S3."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUCKET = "meshwright-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    for _ in range(int(seconds * 20)):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} did not listen on {port}")


@dataclass(frozen=True)
class Postgres:
    """A running cluster."""

    binaries: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def control(self, *arguments: str) -> None:
        command = [str(self.binaries / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "-s", *arguments]
        subprocess.run([*as_postgres(), *command], check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def restart(self) -> None:
        """As after a power cut: nobody is asked, nothing is flushed."""
        self.control("restart", "-m", "immediate", "-o", self.options)

    @property
    def options(self) -> str:
        return f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"


def as_postgres() -> list[str]:
    """PostgreSQL does not run as root."""
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def postgres_binaries() -> Path:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda p: int(p.parts[-3]), reverse=True)
    on_path = shutil.which("pg_ctl")
    found = [*versions, *([Path(on_path)] if on_path else [])]
    if not found:
        raise RuntimeError("PostgreSQL is not installed: .ci/services does it, or apt install postgresql")
    return found[0].parent


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="mw-pg-"))
    server = Postgres(postgres_binaries(), folder, free_port())
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        command = [str(server.binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run([*as_postgres(), *command, "-E", "UTF8"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        server.control("start", "-l", str(folder / "log"), "-o", server.options)
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.control("stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_moto() -> Iterator[str]:
    """The endpoint of an S3 server in memory."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
