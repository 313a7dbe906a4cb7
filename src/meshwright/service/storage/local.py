"""A store in a folder of this machine: written beside its place, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from meshwright.errors import DiskFull
from meshwright.package.staging import NO_SPACE
from meshwright.service.failpoints import failpoint
from meshwright.service.storage.store import CHUNK_BYTES, TEMPORARY, Entry, StorageUnavailable, checked_key
from meshwright.workers import mapped

WRITERS, MANY = 6, 16  # threads for many files; a few are flushed by one as fast
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStore:
    """Implements :class:`.store.Store` below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        with _as_ours("its folder"):
            self.root.mkdir(parents=True, exist_ok=True)

    def put_file(self, key: str, path: Path) -> None:
        """See :class:`.store.Store`."""
        self._put(key, lambda temporary: shutil.copyfile(path, temporary))

    def take_folder(self, prefix: str, folder: Path) -> None:
        """See :class:`.store.Store`; on the same disk the folder is moved, whole, once all of it is flushed."""
        target = self._path(prefix)
        failpoint("storage.before_temp")
        with _as_ours(prefix):
            _make_folders(target.parent, self.root)
            if _move(folder, target):
                return
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put_file(f"{prefix}/{path.relative_to(folder).as_posix()}", path)

    def put_bytes(self, key: str, data: bytes, *, create_only: bool = False) -> None:
        """See :class:`.store.Store`."""
        self._put(key, lambda temporary: temporary.write_bytes(data), create_only=create_only)

    def get_bytes(self, key: str) -> bytes:
        """See :class:`.store.Store`."""
        with self._open(key) as source:
            return source.read()

    def open_range(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See :class:`.store.Store`."""
        return _pieces(self._open(key), start, end)

    def fetch(self, key: str, path: Path) -> str:
        """See :class:`.store.Store`."""
        digest = hashlib.sha256()
        pieces = self.open_range(key)
        with _as_ours(str(path)), path.open("wb") as sink:
            for piece in pieces:
                digest.update(piece)
                sink.write(piece)
        return digest.hexdigest()

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """See :class:`.store.Store`."""
        return [(entry.key, entry.size) for entry in self.entries(prefix)]

    def entries(self, prefix: str) -> list[Entry]:
        """See :class:`.store.Store`."""
        return sorted(self._walk(self._path(prefix)))

    def children(self, prefix: str) -> list[str]:
        """See :class:`.store.Store`."""
        with suppress(*NOT_THERE), os.scandir(self._path(prefix)) as found:
            return sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
        return []

    def head(self, key: str) -> int | None:
        """See :class:`.store.Store`."""
        path = self._path(key)
        try:
            return path.stat().st_size if path.is_file() else None
        except NOT_THERE:
            return None

    def delete_prefix(self, prefix: str) -> None:
        """See :class:`.store.Store`; the folder is renamed first, so that nobody sees half of it."""
        path = self._path(prefix)
        doomed = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
        with _as_ours(prefix):
            try:
                path.rename(doomed)
            except NOT_THERE:
                return
            _remove(doomed)

    def sign(self, key: str, seconds: int) -> None:
        """Nobody but the service serves these files."""
        del key, seconds

    def free_bytes(self) -> int | None:
        """See :class:`.store.Store`."""
        return shutil.disk_usage(self.root).free

    def local_path(self, key: str) -> Path | None:
        """See :class:`.store.Store`."""
        path = self._path(key)
        return path if path.is_file() else None

    def remove_temporaries(self, older_s: float) -> int:
        """See :class:`.store.Store`."""
        before = time.time() - older_s
        removed = 0
        for folder, folders, files in os.walk(self.root):
            for name in [name for name in (*folders, *files) if name.startswith(TEMPORARY)]:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    if path.lstat().st_mtime <= before:
                        _remove(path)
                        removed += 1
            folders[:] = [name for name in folders if not name.startswith(TEMPORARY)]
        return removed

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key.rstrip("/"))

    def _open(self, key: str) -> BinaryIO:
        path = self._path(key)
        try:
            return path.open("rb")
        except NOT_THERE as error:
            raise FileNotFoundError(errno.ENOENT, "There is no such file in storage", key) from error

    def _put(self, key: str, write: Callable[[Path], object], *, create_only: bool = False) -> None:
        path = self._path(key)
        temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
        failpoint("storage.before_temp")
        with _as_ours(key):
            _make_folders(path.parent, self.root)
            try:
                write(temporary)
                _flush(temporary)
                failpoint("storage.after_temp")
                failpoint("storage.before_rename")
                _rename(temporary, path, create_only=create_only)
            except OSError:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
            _flush(path.parent)
        failpoint("storage.after_rename")

    def _walk(self, folder: Path) -> Generator[Entry]:
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(TEMPORARY)]
            for path in (Path(parent, name) for name in files if not name.startswith(TEMPORARY)):
                with suppress(*NOT_THERE):
                    facts = path.stat()
                    changed = datetime.fromtimestamp(facts.st_mtime, UTC)
                    yield Entry(path.relative_to(self.root).as_posix(), facts.st_size, changed)


def _pieces(source: BinaryIO, start: int, end: int | None) -> Generator[bytes]:
    with source:
        source.seek(start)
        left = None if end is None else max(0, end - start)
        while left is None or left > 0:
            piece = source.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def _make_folders(folder: Path, root: Path) -> None:
    """Make a folder and those above it; each new name is flushed, or a power cut could take the whole branch."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folders(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _flush(folder.parent)


def _rename(temporary: Path, path: Path, *, create_only: bool) -> None:
    if create_only:
        os.link(temporary, path)  # unlike a rename, it never replaces a file
        temporary.unlink()
    else:
        temporary.replace(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move(folder: Path, target: Path) -> bool:
    """Move a folder once all of it is flushed; False where that cannot be, as from another disk or mount."""
    if folder.stat().st_dev != target.parent.stat().st_dev:
        return False
    found = sorted(folder.rglob("*"))
    for path in found:
        os.utime(path)  # stored now: the janitor goes by that
    for _ in mapped(_flush, found, WRITERS) if len(found) > MANY else map(_flush, found):
        pass
    _flush(folder)
    failpoint("storage.after_temp")
    failpoint("storage.before_rename")
    try:
        folder.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    _flush(target.parent)
    failpoint("storage.after_rename")
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _as_ours(what: str) -> Generator[None]:
    """The system's errors of writing as the store's; what callers ask about (a missing file) passes."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFull(
                f"The storage is full: {what} was not written.",
                suggestion="Free some space, or delete results that are not needed, then try again.",
                key=what,
            ) from error
        raise StorageUnavailable(
            f"The storage failed at {what}: {error.strerror or error}.",
            suggestion="Try again; if it stays so, look at the disk.",
            reason="storage_unavailable",
            key=what,
        ) from error
