"""One upload from the socket to a folder of its own: streamed, bounded, and gone again if anything is wrong."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from meshwright.errors import DiskFull, InputError
from meshwright.package.staging import NO_SPACE
from meshwright.service.failpoints import failpoint
from meshwright.service.settings import Settings
from meshwright.service.storage.store import StorageUnavailable
from meshwright.service.uploads.parts import PartLimits, PartReader, ReceivedFile, body_too_large

BATCH_BYTES = 256 * 1024  # handed to a thread at once, so that the event loop never waits for the disk
PREFIX = "upload-"


@dataclass(frozen=True)
class Upload:
    """A request's files, on disk in ``folder``, and its values by our names of the fields."""

    folder: Path
    files: tuple[ReceivedFile, ...]
    values: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def staging_folder(settings: Settings) -> Path:
    """Where uploads lie while they arrive and are looked at."""
    return settings.data_dir.absolute() / "staging"


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder that may not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(free: int | None, settings: Settings, incoming: int) -> None:
    """Refuse an upload that would take the disk below the low-water mark.

    Raises:
        DiskFull: reason ``low_water``.
    """
    if free is not None and free - incoming < settings.low_water_bytes:
        raise DiskFull(
            "The service's disk is too full to accept uploads.",
            suggestion="Try again later; the operator has to free some space.",
            reason="low_water",
            retry_after_s=60,
        )


@asynccontextmanager
async def receive(request: Request, settings: Settings, *, archives: int = 1) -> AsyncGenerator[Upload]:
    """Receive a multipart body into a new folder, which is removed at the end of the block, whatever happens.

    Raises:
        InputError, FileTooLarge, InvalidFileCount: see `PartReader`; reason ``content_type`` where it is no multipart.
        DiskFull, StorageUnavailable: when there is no room, or the disk fails.
        ClientDisconnect: the client went away.
    """
    limits = PartLimits.of(settings, archives)
    boundary, declared = _boundary(request), _declared_bytes(request)
    if declared is not None and declared > limits.total_bytes:
        raise body_too_large(limits.total_bytes)
    staging = staging_folder(settings)
    await run_in_threadpool(lambda: check_space(free_bytes(staging), settings, declared or 0))
    folder = await run_in_threadpool(_new_folder, staging)
    try:
        reader = PartReader(boundary, folder, limits)
        try:
            await _stream(request, reader)
        finally:
            reader.close()
        failpoint("upload.received")
        yield Upload(folder, tuple(reader.files), reader.values)
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


def remove_leftovers(settings: Settings, older_s: float = 3600.0) -> int:
    """Remove the folders of uploads whose process died; returns how many."""
    import time

    removed = 0
    for folder in staging_folder(settings).glob(f"{PREFIX}*"):
        if folder.stat().st_mtime < time.time() - older_s:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


async def _stream(request: Request, reader: PartReader) -> None:
    batch = bytearray()
    try:
        async for chunk in request.stream():
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                await run_in_threadpool(reader.feed, bytes(batch))
                batch.clear()
        await run_in_threadpool(reader.feed, bytes(batch))
        reader.finish()
    except OSError as error:
        raise disk_fault(error) from error


def disk_fault(error: OSError) -> DiskFull | StorageUnavailable:
    """What a disk that does not take an upload means to its client: nothing of it is kept, and it may try again."""
    if error.errno in NO_SPACE:
        return DiskFull("The service's disk is full.", suggestion="Try again later.", reason="upload", retry_after_s=60)
    return StorageUnavailable(
        "The service's disk failed while the upload was written.",
        suggestion="Try again; if it stays so, the operator has to look at the disk.",
        reason="storage_unavailable",
    )


def _new_folder(staging: Path) -> Path:
    try:
        staging.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=staging))
    except OSError as error:
        raise disk_fault(error) from error


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise InputError(
            "The request is not multipart/form-data.",
            suggestion="Send the files as form fields, as curl -F does.",
            reason="content_type",
        )
    return boundary


def _declared_bytes(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


__all__ = ["ClientDisconnect", "Upload", "check_space", "disk_fault", "receive", "remove_leftovers", "staging_folder"]
