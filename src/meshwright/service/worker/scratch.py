"""Folders that a worker works in: its own while it lives, and removed by the next one when it was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class Scratch:
    """A worker's folder below ``root``. A lock, which ends with the process however it ends, says that it lives."""

    def __init__(self, root: Path, worker: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._lock_path = root / f"{worker}.lock"
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = root / worker
        self.folder.mkdir(mode=0o700)
        self.clear_dead()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)

    def clear_dead(self) -> None:
        """Remove the folders of workers that do not live any more."""
        for path in self.folder.parent.glob("*.lock"):
            if path != self._lock_path:
                _clear_if_dead(path)

    @contextmanager
    def attempt(self, job_id: str, attempt: int) -> Generator[Path]:
        """A new folder for one attempt, removed at its end."""
        folder = self.folder / f"{job_id}-{attempt}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def fresh(self, name: str) -> Path:
        """An empty folder for an engine's process."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def _clear_if_dead(path: Path) -> None:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        pass  # it lives
    finally:
        os.close(lock)
