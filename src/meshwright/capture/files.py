"""The files of a capture, by relative path, whether they lie in a folder or in a ZIP."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path
from typing import Protocol

from meshwright.capture.limits import Limits
from meshwright.errors import FileTooLarge, InputError, InvalidFileCount, InvalidFileFormat


class CaptureFiles(Protocol):
    """Read access to a capture's files. ``sizes`` maps each path (posix, relative) to its declared size in bytes."""

    sizes: dict[str, int]

    def read(self, path: str, max_bytes: int) -> bytes:
        """The file's bytes; `FileTooLarge` as soon as they pass ``max_bytes`` or the capture's total."""
        ...


def twin_key(path: str) -> str:
    """What two paths share when some file system holds them for the same: NFC and case folding."""
    return unicodedata.normalize("NFC", path).casefold()


class ByteBudget:
    """Counts the real bytes that a capture gives, over all of its files."""

    def __init__(self, limits: Limits) -> None:
        self.left = limits.capture_bytes
        self.total = limits.capture_bytes

    def spend(self, count: int) -> None:
        """Take ``count`` bytes off the budget, or raise `FileTooLarge`."""
        self.left -= count
        if self.left < 0:
            raise FileTooLarge(
                f"The capture's files hold more than {self.total:,} bytes.",
                suggestion="Send fewer or smaller images.",
                reason="capture_too_large",
                limit=self.total,
            )


class FolderFiles:
    """The regular files below a folder; hidden files and what lies deeper than the limit are left out."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self.budget = ByteBudget(limits)
        self.sizes = {path: size for path, size in self._walk()}

    def _walk(self) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for folder, subfolders, names in os.walk(self.root, followlinks=True, onerror=_raise_unreadable):
            depth = len(Path(folder).relative_to(self.root).parts)
            subfolders[:] = (
                sorted(d for d in subfolders if not d.startswith(".")) if depth < self.limits.folder_depth else []
            )
            for name in sorted(names):
                path = Path(folder, name)
                if name.startswith(".") or not path.exists():
                    continue
                found.append((path.relative_to(self.root).as_posix(), path.stat().st_size))
            if len(found) > self.limits.folder_entries:
                raise InvalidFileCount(
                    f"The folder {self.root.name} holds more than {self.limits.folder_entries:,} files.",
                    suggestion="Point to the folder of one capture.",
                    reason="folder_entries",
                )
        return found

    def read(self, path: str, max_bytes: int) -> bytes:
        """The file's bytes (see `CaptureFiles.read`)."""
        target = self.root / path
        try:
            if not stat.S_ISREG(target.stat().st_mode):
                raise InvalidFileFormat(
                    f"{path} is not a regular file.",
                    suggestion="Replace it by the file itself.",
                    reason="not_a_file",
                    file=path,
                )
            with target.open("rb") as stream:
                data = stream.read(max_bytes + 1)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror or error}.",
                suggestion="Check that the file exists and may be read.",
                reason="unreadable",
                file=path,
            ) from error
        if len(data) > max_bytes:
            raise too_large(path, max_bytes)
        self.budget.spend(len(data))
        return data


def too_large(path: str, max_bytes: int) -> FileTooLarge:
    """The error of a file over its limit in bytes."""
    return FileTooLarge(
        f"{path} is larger than {max_bytes:,} bytes.",
        suggestion="Scale the image down or save it with compression.",
        reason="file_too_large",
        file=path,
        limit=max_bytes,
    )


def _raise_unreadable(error: OSError) -> None:
    raise InputError(
        f"The folder {error.filename} cannot be read: {error.strerror}.",
        suggestion="Check the folder's permissions.",
        reason="unreadable",
    ) from error
