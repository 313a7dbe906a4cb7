"""How the service bears load: latencies at 50 clients, jobs a second, memory under uploads, patience with slow clients.

    python benchmarks/service_load.py [--parts latency,queues,uploads,loris] [--clients 50] [--seconds 20]

Own driver over real sockets, in a process of its own beside the API's and the workers' (on two cores they share, that
is part of the figure). Every figure stands beside what it must hold; exits with 1 when one does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meshwright.service.db.database import Database
from meshwright.service.jobs.job import Job, NewJob, Status, input_prefix, new_job_id
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.settings import Settings
from meshwright.service.storage.store import open_store
from meshwright.service.worker.start import open_queue
from service_fleet import Fleet, encode, quantile, small_capture

MIB = 2**20
BOUNDARY = "meshwright-load"
LORIS = 500
QUEUED = 200
PIECE = 256 * 1024


@dataclass
class Figures:
    """What was measured, and whether it is within its bound."""

    failed: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, bound: float | None = None) -> None:
        """Print one line; ``bound`` is the most that is allowed."""
        mark = "" if bound is None else f"  (at most {bound:g} {unit}: {'ok' if value <= bound else 'NO'})"
        print(f"{name:>46}  {value:10.1f} {unit}{mark}", flush=True)
        if bound is not None and not value <= bound:
            self.failed.append(name)


class Connection:
    """A kept-alive HTTP/1.1 connection that tells how long the answer took after the last byte was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: Callable[[], Iterator[bytes]] | None = None, length: int = 0, kind: str = ""
    ) -> tuple[int, bytes, float]:
        """Status, body and seconds from the last byte sent to the last one read."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n"
        writer.write((head + (f"Content-Type: {kind}\r\n" if kind else "") + "\r\n").encode())
        for piece in body() if body else ():
            writer.write(piece)
            await writer.drain()
        sent = time.monotonic()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        took = time.monotonic() - sent
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), content, took

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


def form(files: list[tuple[str, tuple[str, bytes, str]]], **fields: str) -> list[bytes]:
    """A multipart body, in pieces that share the files' bytes."""
    parts: list[bytes] = []
    for name, value in fields.items():
        parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, (filename, data, kind) in files:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        parts += [f"{head}Content-Type: {kind}\r\n\r\n".encode(), data, b"\r\n"]
    return [*parts, f"--{BOUNDARY}--\r\n".encode()]


def pieces(parts: list[bytes]) -> Iterator[bytes]:
    """The body as it goes onto the wire."""
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), PIECE):
            yield bytes(view[start : start + PIECE])


async def submit(connection: Connection, parts: list[bytes]) -> tuple[int, bytes, float]:
    length = sum(map(len, parts))
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return await connection.ask("POST", "/jobs", lambda: pieces(parts), length, kind)


async def latency(fleet: Fleet, clients: int, seconds: float, figures: Figures) -> None:
    """Clients that each send a request a second, every fifth a capture, the others asking for their newest job.

    When a request is sent is fixed beforehand, so that slow answers make the load no lighter.
    """
    status: list[float] = []
    submits: list[float] = []
    late: list[float] = []
    parts = form(small_capture(), model="fusion")
    start = time.monotonic() + 0.5

    async def client(number: int) -> None:
        connection, job_id = Connection(fleet.port), ""
        for round_ in range(int(seconds)):
            due = start + round_ + number / clients
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late.append(time.monotonic() - due)
            if round_ % 5 == number % 5 or not job_id:
                code, body, took = await submit(connection, parts)
                job_id = json.loads(body)["job_id"]
                submits.append(took)
            else:
                code, body, took = await connection.ask("GET", f"/jobs/{job_id}")
                status.append(took)
            assert code == 200, body
        connection.close()

    await asyncio.gather(*(client(n) for n in range(clients)))
    rates = f"{len(status) / seconds:.0f} status and {len(submits) / seconds:.0f} submits a second"
    print(f"{'load':>46}  {clients} clients, each a request a second: {rates}, beside a worker with two jobs at once")
    add_latencies(figures, f"status ({len(status)})", status, 30)
    add_latencies(figures, f"submit after the upload ({len(submits)})", submits, 100)
    figures.add("sent later than planned p99", quantile(late, 0.99) * 1e3, "ms")


async def saturation(fleet: Fleet, clients: int, seconds: float, figures: Figures) -> None:
    """The same clients without a pause: what the process can answer at most, and how long each then waits."""
    connection = Connection(fleet.port)
    _, body, _ = await submit(connection, form(small_capture(), model="fusion"))
    path = f"/jobs/{json.loads(body)['job_id']}"
    connection.close()
    print(f"{'load':>46}  {clients} clients without a pause, all status, then all submits; no worker")
    for ask in ("status", "submit"):
        took: list[float] = []
        began = time.monotonic()

        async def client(ask: str = ask, end: float = began + seconds, took: list[float] = took) -> None:
            own, parts = Connection(fleet.port), form(small_capture(), model="fusion")
            while time.monotonic() < end:
                code, _, one = await (own.ask("GET", path) if ask == "status" else submit(own, parts))
                assert code == 200
                took.append(one)
            own.close()

        await asyncio.gather(*(client() for _ in range(clients)))
        figures.add(f"{ask} without a pause", len(took) / (time.monotonic() - began), "a second")
        add_latencies(figures, f"{ask} without a pause", took)


def add_latencies(figures: Figures, name: str, took: list[float], bound: float | None = None) -> None:
    """Median and 99th percentile; the bound is the latter's."""
    figures.add(f"{name} p50", quantile(took, 0.5) * 1e3, "ms")
    figures.add(f"{name} p99", quantile(took, 0.99) * 1e3, "ms", bound)


def throughput(folder: Path, queue: str, figures: Figures) -> None:
    """Jobs whose engine does nothing, from the table to published results, by two workers."""
    with Fleet(folder, queue, workers=0, engine_s=0) as fleet:
        settings = Settings(**{  # type: ignore[arg-type]
            name: fleet.environment[f"MESHWRIGHT_{name.upper()}"] for name in ("data_dir", "queue", "redis_url")
            if f"MESHWRIGHT_{name.upper()}" in fleet.environment
        })  # fmt: skip
        database, store = Database(settings.database), open_store(settings.storage)
        repository, doorbell = JobRepository(database, settings), open_queue(settings)
        jobs: list[Job] = []
        for _ in range(QUEUED):
            job_id = new_job_id()
            store.put_bytes(f"{input_prefix(job_id)}/multi_views/front.png", b"not decoded")
            job, _ = repository.submit(NewJob(job_id, "local", "fusion", {}, job_id.ljust(64, "0"), 11))
            doorbell.announce(job)
            jobs.append(job)
        fleet.workers, fleet.seats = 2, 1
        for name in fleet.worker_names:
            fleet.start(name)
        while sum(repository.counts().get("completed", {}).values()) < QUEUED:
            time.sleep(0.1)
        ended = [repository.get(job.id) for job in jobs]
        assert all(job.status is Status.COMPLETED for job in ended)
        times = sorted(job.finished_at.timestamp() for job in ended if job.finished_at)
        figures.add(f"jobs through {queue}", (len(times) - 1) / (times[-1] - times[0]), "a second")
        database.close()


async def uploads(fleet: Fleet, count: int, megabytes: int, figures: Figures) -> None:
    """Many large captures at once; what the API's process held at most."""
    noise = np.random.default_rng(0).integers(0, 256, (2048, 4096, 3), np.uint8)
    image = encode(noise)
    files = [("views", (f"view_{n:02}.png", image, "image/png")) for n in range(max(1, megabytes * MIB // len(image)))]
    parts = form(files, model="fusion")
    before, began = memory(fleet, "VmHWM"), time.monotonic()

    async def client() -> int:
        connection = Connection(fleet.port)
        code, _, _ = await submit(connection, parts)
        connection.close()
        return code

    codes = await asyncio.gather(*(client() for _ in range(count)))
    seconds, sent = time.monotonic() - began, count * sum(map(len, parts)) / MIB
    told = ", ".join(f"{codes.count(code)} x {code}" for code in sorted(set(codes)))
    print(f"{'uploads':>46}  {count} of {sent / count:.0f} MiB in {seconds:.0f} s: {told}")
    figures.add("API memory before", before / MIB, "MiB")
    figures.add("API memory at most", memory(fleet, "VmHWM") / MIB, "MiB", 512)


async def loris(fleet: Fleet, figures: Figures) -> None:
    """Sockets that send a byte a second of a request that never ends, and one client that asks for /health."""

    async def slow() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", fleet.port)
                for byte in b"POST /jobs HTTP/1.1\r\nHost: slow\r\nX-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1.0)
            except OSError:
                await asyncio.sleep(0.1)

    slows = [asyncio.create_task(slow()) for _ in range(LORIS)]
    await asyncio.sleep(3)
    took, connection = [], Connection(fleet.port)
    for _ in range(200):
        code, _, seconds = await connection.ask("GET", "/health")
        assert code == 200
        took.append(seconds)
        await asyncio.sleep(0.05)
    for task in slows:
        task.cancel()
    await asyncio.gather(*slows, return_exceptions=True)
    figures.add(f"/health p50 beside {LORIS} slow sockets", quantile(took, 0.5) * 1e3, "ms")
    figures.add("/health p99", quantile(took, 0.99) * 1e3, "ms", 200)


def memory(fleet: Fleet, name: str) -> int:
    """A value of the API's process, in bytes."""
    lines = Path(f"/proc/{fleet.processes['api'].pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def on_a_fleet(work: Callable[[Fleet], Awaitable[None]], workers: int = 0) -> None:
    with tempfile.TemporaryDirectory(prefix="mw-load-") as folder, Fleet(Path(folder), workers=workers) as fleet:
        asyncio.run(_await(work(fleet)))


async def _await(work: Awaitable[None]) -> None:
    await work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="latency,queues,uploads,loris")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=100)
    asked = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, files[1]), files[1]))
    figures, parts = Figures(), asked.parts.split(",")
    if "latency" in parts:
        on_a_fleet(lambda fleet: latency(fleet, asked.clients, asked.seconds, figures), workers=1)
        on_a_fleet(lambda fleet: saturation(fleet, asked.clients, asked.seconds / 4, figures))
    if "queues" in parts:
        for queue in ("embedded", "celery"):
            with tempfile.TemporaryDirectory(prefix="mw-load-") as folder:
                throughput(Path(folder), queue, figures)
    if "uploads" in parts:
        on_a_fleet(lambda fleet: uploads(fleet, asked.uploads, asked.megabytes, figures))
    if "loris" in parts:
        on_a_fleet(lambda fleet: loris(fleet, figures))
    if figures.failed:
        raise SystemExit(f"over their bounds: {', '.join(figures.failed)}")


if __name__ == "__main__":
    main()
