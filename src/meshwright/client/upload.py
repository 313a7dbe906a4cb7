"""A capture made ready to be sent: a ZIP as it is, a folder packed into one in a temporary file."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from meshwright.errors import InputError, InvalidFileCount

IN_MEMORY = 32 * 2**20  # a packed capture beyond this goes to the disk
SENT_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".exr", ".npy", ".json", ".txt", ".bin"})
EPOCH = (1980, 1, 1, 0, 0, 0)


@contextmanager
def packed(path: str | Path) -> Generator[BinaryIO]:
    """The capture's ZIP, open to be read; equal folders give equal bytes.

    Raises:
        InputError: reason ``not_found``.
        InvalidFileCount: reason ``no_views`` when there is nothing that could be sent.
    """
    source = Path(path)
    if source.is_file():
        with source.open("rb") as stream:
            yield stream
        return
    if not source.is_dir():
        raise InputError(f"There is no folder or file {source}.", suggestion="Check the path.", reason="not_found")
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as stream:
        _pack(source, stream)
        stream.seek(0)
        yield stream  # type: ignore[misc]  # it has all of a BinaryIO's methods


def _pack(folder: Path, sink: tempfile.SpooledTemporaryFile[bytes]) -> None:
    from meshwright.capture.files import FolderFiles
    from meshwright.capture.limits import DEFAULT_LIMITS

    names = [name for name in FolderFiles(folder, DEFAULT_LIMITS).sizes if _is_sent(name)]
    if not names:
        raise InvalidFileCount(
            f"{folder} holds no images.",
            suggestion="Give the folder of a capture, with its views in multi_views/.",
            reason="no_views",
        )
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # images do not get smaller by deflating
        for name in sorted(names):
            info = zipfile.ZipInfo(name, EPOCH)
            info.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, archive.open(info, "w") as entry:
                shutil.copyfileobj(source, entry, 2**20)


def _is_sent(name: str) -> bool:
    return Path(name).suffix.lower() in SENT_SUFFIXES
