"""The result as one ZIP, and either of the two opened again as a folder."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from meshwright.errors import FileTooLarge, IncompleteResults, InputError, InvalidFileFormat
from meshwright.package.manifest import MANIFEST_NAME, result_files
from meshwright.package.staging import staged_file

EPOCH = (1980, 1, 1, 0, 0, 0)
STORED_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".mp4", ".usdz"}
MAX_ENTRIES = 4096
MAX_ENTRY_BYTES, MAX_TOTAL_BYTES = 2**31, 2**32
MAX_RATIO, RATIO_FREE_BYTES = 200, 2**20
BLOCK = 2**20


def pack_zip(folder: str | Path, zip_path: str | Path) -> None:
    """Write the folder's files into a ZIP with the same names: manifest first, then by path, without times.

    Streams file by file; equal folders give equal bytes. The ZIP appears whole or not at all.

    Raises:
        IncompleteResults: reason ``manifest_missing`` when the folder is no result.
        InputError: reason ``link_in_result`` when it holds a symbolic link.
        DiskFull: when the disk is full.
    """
    root = Path(folder)
    if not (root / MANIFEST_NAME).is_file():
        raise _no_manifest(root)
    with (
        staged_file(zip_path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for path in [root / MANIFEST_NAME, *result_files(root)]:
            _add(archive, root, path)


@contextmanager
def open_result(path: str | Path) -> Generator[Path, None, None]:
    """A result folder or ZIP as a folder to read; a ZIP is unpacked, with limits, into a temporary one.

    Raises:
        InputError: reason ``result_not_found``.
        InvalidFileFormat: reason ``archive_corrupt`` or ``archive_unsafe``.
        FileTooLarge: reason ``archive_too_large``.
        IncompleteResults: reason ``manifest_missing``.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"{source} does not exist.", suggestion="Check the path.", reason="result_not_found")
    if source.is_dir():
        if not (source / MANIFEST_NAME).is_file():
            raise _no_manifest(source)
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="meshwright-") as temporary:
        _unpack(source, Path(temporary))
        if not (Path(temporary) / MANIFEST_NAME).is_file():
            raise _no_manifest(source)
        yield Path(temporary)


def _add(archive: zipfile.ZipFile, root: Path, path: Path) -> None:
    name = path.relative_to(root).as_posix()
    if path.is_symlink():
        raise InputError(f"{name} is a link.", suggestion="Replace it by the file itself.", reason="link_in_result")
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr, info.create_system = (stat.S_IFREG | 0o644) << 16, 3
    info.compress_type = zipfile.ZIP_STORED if path.suffix in STORED_SUFFIXES else zipfile.ZIP_DEFLATED
    info.file_size = path.stat().st_size  # lets zipfile choose ZIP64 before it streams
    with path.open("rb") as source, archive.open(info, "w") as sink:
        shutil.copyfileobj(source, sink, BLOCK)


def _unpack(source: Path, folder: Path) -> None:
    """Extract by our own rules: plain relative names, no duplicates, and limits on what is really read."""
    try:
        with zipfile.ZipFile(source) as archive:
            _check_entries(source, archive.infolist())
            total = 0
            for info in archive.infolist():
                if not info.is_dir():
                    total += _extract(archive, info, folder, MAX_TOTAL_BYTES - total)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error) as error:
        raise InvalidFileFormat(
            f"{source.name} is not a readable ZIP: {error}",
            suggestion="Download or pack the result again.",
            reason="archive_corrupt",
        ) from error


def _check_entries(source: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise _too_large(source.name, f"has {len(entries)} entries, over {MAX_ENTRIES}")
    seen: set[str] = set()
    for info in entries:
        name = info.filename
        parts = PurePosixPath(name).parts
        kind = stat.S_IFMT(info.external_attr >> 16)
        bad_name = name.startswith("/") or ".." in parts or not name.isprintable() or set(name) & set("\\:")
        if bad_name or kind not in (0, stat.S_IFREG, stat.S_IFDIR) or name.casefold() in seen:
            raise InvalidFileFormat(
                f"{source.name} holds an entry that no result has: {name!r}.",
                suggestion="Download or pack the result again.",
                reason="archive_unsafe",
            )
        seen.add(name.casefold())
        if info.file_size > _entry_limit(info):
            raise _too_large(source.name, f"unpacks {name!r} to {info.file_size} bytes")


def _entry_limit(info: zipfile.ZipInfo) -> int:
    """The most that an entry may unpack to: small ones freely, others by the ratio."""
    return min(MAX_ENTRY_BYTES, max(RATIO_FREE_BYTES, MAX_RATIO * info.compress_size))


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, left: int) -> int:
    target = folder / info.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    limit, written = min(_entry_limit(info), left), 0
    with archive.open(info) as stream, target.open("wb") as sink:
        while block := stream.read(BLOCK):
            written += len(block)
            if written > limit:
                raise _too_large(archive.filename or "The archive", f"unpacks {info.filename!r} to over {limit} bytes")
            sink.write(block)
    return written


def _too_large(name: str, what: str) -> FileTooLarge:
    return FileTooLarge(
        f"{name} {what}.", suggestion="Unpack it yourself and give the folder.", reason="archive_too_large"
    )


def _no_manifest(path: Path) -> IncompleteResults:
    return IncompleteResults(
        f"{path} is not a result: it has no {MANIFEST_NAME}.",
        suggestion="Give the folder that `meshwright reconstruct` wrote, or its ZIP.",
        reason="manifest_missing",
    )
