"""A job's files between storage and the folder where it is worked on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from meshwright.errors import JobExpired
from meshwright.service.jobs.job import Artifact, Job, input_prefix
from meshwright.service.storage.publish import publish
from meshwright.service.storage.store import Store

ARCHIVE = "result.zip"  # the package's ZIP among its artifacts


def fetch_input(store: Store, job: Job, folder: Path, goes_on: Callable[[], bool]) -> Path:
    """The job's input as a folder, or as the one ZIP that it is; incomplete when ``goes_on`` says no.

    Raises:
        JobExpired: it is not in storage any more.
        DiskFull, StorageUnavailable: it could not be copied.
    """
    prefix = input_prefix(job.id)
    files = store.list(prefix)
    if not files:
        raise JobExpired("The job's input is not in storage any more.", suggestion="Submit it again.")
    source = folder / "input"
    for key, _ in files:
        if not goes_on():
            break
        path = source / key.removeprefix(f"{prefix}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(key, path)
    only = files[0][0].removeprefix(f"{prefix}/")
    return source / only if len(files) == 1 and only.lower().endswith(".zip") else source


def publish_package(store: Store, package: Path, prefix: str) -> tuple[Artifact, ...]:
    """The package's files and its ZIP into the attempt's own place: nobody sees them before the table says so."""
    folder = package.with_name(f"{package.name}-archive")
    folder.mkdir()
    Path(f"{package}.zip").rename(folder / ARCHIVE)
    return (*publish(store, folder, prefix), *publish(store, package, prefix))
