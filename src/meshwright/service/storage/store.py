"""What a store can do, whichever it is, and which one a URL means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from meshwright.errors import InputError, ServiceError

CHUNK_BYTES = 2**20
KEY_BYTES = 1024  # S3's limit


class StorageUnavailable(ServiceError):
    """The storage could not be reached, or refused; trying again later may help."""


class Entry(NamedTuple):
    """One stored file."""

    key: str
    size: int
    modified: datetime


class Store(Protocol):
    """Files by keys such as ``jobs/ID/input/multi_views/front.png``.

    A file appears whole or not at all. A missing key raises FileNotFoundError, a key that is no key ValueError, a full
    disk DiskFull, a storage that does not answer StorageUnavailable.
    """

    def put_file(self, key: str, path: Path) -> None:
        """Store a file of this machine."""
        ...

    def take_folder(self, prefix: str, folder: Path) -> None:
        """Store all files of a folder that nobody needs any more, below a prefix where nothing is yet.

        The folder may be gone afterwards. After an error some of the files may be stored.
        """
        ...

    def put_bytes(self, key: str, data: bytes, *, create_only: bool = False) -> None:
        """Store bytes; with ``create_only`` FileExistsError when there is such a file already."""
        ...

    def get_bytes(self, key: str) -> bytes:
        """A whole file; for small ones."""
        ...

    def open_range(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` up to and without ``end``, in pieces; the file is opened by the call itself.

        Whoever reads goes on reading the same file, also when it is deleted meanwhile.
        """
        ...

    def fetch(self, key: str, path: Path) -> str:
        """Copy to a file of this machine, in pieces; returns its sha256."""
        ...

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Keys below a prefix (a folder) and their sizes, in the order of the keys."""
        ...

    def entries(self, prefix: str) -> list[Entry]:
        """The same, with the times of their last change."""
        ...

    def children(self, prefix: str) -> list[str]:
        """The names of the folders directly in a folder."""
        ...

    def head(self, key: str) -> int | None:
        """The size of a file; None when there is none."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Delete a folder and all below it; it is no error when there is none."""
        ...

    def sign(self, key: str, seconds: int) -> str | None:
        """A URL that gives the file to whoever has it, for so long; None where the store serves nobody itself."""
        ...

    def free_bytes(self) -> int | None:
        """Free space; None where there is no such limit."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Where the file lies on this machine; None where it does not."""
        ...

    def remove_temporaries(self, older_s: float) -> int:
        """Delete what writers that died have left behind; returns how many files."""
        ...


def open_store(url: str) -> Store:
    """The store of ``file:///folder`` or ``s3://bucket/prefix``.

    S3 reads its credentials, region and endpoint from the usual ``AWS_...`` environment variables.

    Raises:
        InputError: reason ``storage_url_invalid``.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        from meshwright.service.storage.local import LocalStore

        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from meshwright.service.storage.s3 import S3Store

        return S3Store(parts.netloc, unquote(parts.path).strip("/"))
    raise InputError(
        f"{url} is not a storage URL.",
        suggestion="Use file:///absolute/folder or s3://bucket/prefix.",
        reason="storage_url_invalid",
    )


def checked_key(key: str) -> str:
    """The key, if it is one: relative, with forward slashes, and nothing in it that could lead elsewhere.

    Raises:
        ValueError: when it is not.
    """
    parts = key.split("/")
    is_bad = (
        len(key.encode("utf-8", "replace")) > KEY_BYTES
        or any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > 255 for part in parts)
        or any(character in key for character in "\\\0\r\n")
        or any(part.startswith(TEMPORARY) for part in parts)
    )
    if is_bad:
        raise ValueError(f"{key[:200]!r} is not a storage key")
    return key


TEMPORARY = ".part-"  # what is being written is called so, and never listed
