"""A worker on a real SQLite file, a real folder as storage and real processes; only the engine is a script."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meshwright.service.db.database import Database
from meshwright.service.jobs.job import Job, NewJob, Status, input_prefix, new_job_id
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.queue.embedded import EmbeddedQueue
from meshwright.service.settings import Settings
from meshwright.service.storage.store import Store, open_store
from meshwright.service.worker.worker import Worker
from service.jobs.conftest import migrated_file
from service.worker import scripted

__all__ = ["migrated_file"]
QUICK = {"lease_s": 3.0, "heartbeat_s": 0.5, "poll_s": 0.05, "cancel_grace_s": 0.5, "log_level": "error"}


@dataclass
class Place:
    """A service without its HTTP side: submit jobs, run workers, look at what has become of them."""

    settings: Settings
    repository: JobRepository
    store: Store
    command: Sequence[str] = scripted.COMMAND
    workers: list[Worker] = field(default_factory=list)

    def submit(self, *script: str, capture: Path | None = None, **changes: Any) -> Job:
        job_id = new_job_id()
        files = [] if capture is None else [path for path in sorted(capture.rglob("*")) if path.is_file()]
        for path in files:
            self.store.put_file(f"{input_prefix(job_id)}/{path.relative_to(capture or path)}", path)
        if capture is None:
            self.store.put_bytes(f"{input_prefix(job_id)}/multi_views/front.png", b"not decoded by the script")
        options = {"script": list(script or ["ok"])} if capture is None else {}
        values = {"tenant": "a", "engine": "fusion", "input_hash": job_id.ljust(64, "0"), "input_bytes": 1}
        values["options"] = options | changes.pop("options", {})
        return self.repository.submit(NewJob(id=job_id, **(values | changes)))[0]

    @contextmanager
    def worker(self, **changes: Any) -> Iterator[Worker]:
        """A worker in a thread, stopped at the end of the block."""
        options = {"command": self.command, "grace_s": 0.0} | changes
        settings = options.pop("settings", self.settings)
        queue = options.pop("queue", None) or EmbeddedQueue(settings.poll_s)
        worker = Worker(settings, self.repository, self.store, queue, **options)
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            yield worker
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()

    def until(self, job: Job, *wanted: Status, timeout_s: float = 60) -> Job:
        """The job as soon as it has one of the states; a final one, by default."""
        return wait_for(lambda: self._if(job, wanted), timeout_s)

    def _if(self, job: Job, wanted: Sequence[Status]) -> Job | None:
        now = self.repository.get(job.id)
        return now if (now.status in wanted if wanted else now.status.is_final) else None

    def done(self, *script: str, **changes: Any) -> Job:
        """Submit, run with a worker of its own, and return the ended job."""
        worker = changes.pop("worker", {})
        job = self.submit(*script, **changes)
        with self.worker(**worker):
            return self.until(job)

    def lines(self, job: Job) -> list[str]:
        return [e.data["line"] for e in self.repository.events_after(job.id, 0, 5000) if e.kind == "log"]

    def with_settings(self, **changes: Any) -> Settings:
        return self.settings.model_copy(update=changes)


def wait_for(look: Callable[[], Any], timeout_s: float = 20) -> Any:
    """What ``look`` gives as soon as it gives something."""
    end = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that are alive."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and is_alive(int(entry)):
            try:
                parent = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except FileNotFoundError:
                continue
            if parent == pid:
                found.append(int(entry))
    return found


@pytest.fixture
def place(migrated_file: Path, tmp_path: Path) -> Iterator[Place]:
    shutil.copy(migrated_file, tmp_path / "meshwright.db")
    settings = Settings(_env_file=None, data_dir=tmp_path, **QUICK)  # type: ignore[call-arg]
    database = Database(settings.database)
    yield Place(settings, JobRepository(database, settings), open_store(settings.storage))
    database.close()
