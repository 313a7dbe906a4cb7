"""A store in an S3 bucket, through obstore; its credentials, region and endpoint come from ``AWS_...`` variables."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import S3Store as Bucket

from meshwright.service.failpoints import failpoint
from meshwright.service.storage.store import CHUNK_BYTES, Entry, StorageUnavailable, checked_key
from meshwright.workers import mapped

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

DELETED_AT_ONCE = 1000  # S3's limit of one request
WRITERS = 6  # of one input: most of their time is waiting for answers
RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


class S3Store:
    """Implements :class:`.store.Store` in a bucket, below a prefix."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        client: ClientConfig = {"connect_timeout": "5s", "timeout": "120s"}
        if endpoint.startswith("http://"):
            client["allow_http"] = True
        # The checksum makes the server refuse an upload that was damaged on its way.
        self._bucket = Bucket(
            bucket,
            prefix=prefix or None,
            config={"checksum_algorithm": "SHA256"},
            client_options=client,
            retry_config=RETRIES,
        )

    def put_file(self, key: str, path: Path) -> None:
        """See :class:`.store.Store`."""
        failpoint("storage.before_temp")
        with _as_ours(key):
            obstore.put(self._bucket, checked_key(key), path)  # in parts when large; aborted when one fails
        self._check(key, path.stat().st_size)
        failpoint("storage.after_rename")

    def take_folder(self, prefix: str, folder: Path) -> None:
        """See :class:`.store.Store`."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        keys = [f"{prefix}/{path.relative_to(folder).as_posix()}" for path in files]
        for _ in mapped(lambda pair: self.put_file(*pair), zip(keys, files, strict=True), WRITERS):
            pass

    def put_bytes(self, key: str, data: bytes, *, create_only: bool = False) -> None:
        """See :class:`.store.Store`."""
        failpoint("storage.before_temp")
        with _as_ours(key):
            obstore.put(
                self._bucket,
                checked_key(key),
                data,
                mode="create" if create_only else "overwrite",
                use_multipart=False if create_only else None,
            )
        self._check(key, len(data))
        failpoint("storage.after_rename")

    def get_bytes(self, key: str) -> bytes:
        """See :class:`.store.Store`."""
        with _as_ours(key):
            return bytes(obstore.get(self._bucket, checked_key(key)).bytes())

    def open_range(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See :class:`.store.Store`."""
        size = self.head(key)
        if size is None:
            raise _missing(key)
        stop = size if end is None else min(end, size)
        if start >= stop:
            return iter(())
        with _as_ours(key):
            answer = obstore.get(self._bucket, checked_key(key), options={"range": (start, stop)})
            return _pieces(key, iter(answer.stream(min_chunk_size=CHUNK_BYTES)))

    def fetch(self, key: str, path: Path) -> str:
        """See :class:`.store.Store`."""
        digest = hashlib.sha256()
        pieces = self.open_range(key)
        with path.open("wb") as sink:
            for piece in pieces:
                digest.update(piece)
                sink.write(piece)
        return digest.hexdigest()

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """See :class:`.store.Store`."""
        return [(entry.key, entry.size) for entry in self.entries(prefix)]

    def entries(self, prefix: str) -> list[Entry]:
        """See :class:`.store.Store`."""
        folder = checked_key(prefix.rstrip("/"))
        with _as_ours(prefix):
            found = [item for page in obstore.list(self._bucket, folder, chunk_size=1000) for item in page]
        return sorted(Entry(item["path"], item["size"], item["last_modified"]) for item in found)

    def children(self, prefix: str) -> list[str]:
        """See :class:`.store.Store`."""
        folder = checked_key(prefix.rstrip("/"))
        with _as_ours(prefix):
            found = obstore.list_with_delimiter(self._bucket, folder)["common_prefixes"]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def head(self, key: str) -> int | None:
        """See :class:`.store.Store`."""
        try:
            with _as_ours(key):
                return obstore.head(self._bucket, checked_key(key))["size"]
        except FileNotFoundError:
            return None

    def delete_prefix(self, prefix: str) -> None:
        """See :class:`.store.Store`."""
        keys = [key for key, _ in self.list(prefix)]
        with _as_ours(prefix):
            for first in range(0, len(keys), DELETED_AT_ONCE):
                obstore.delete(self._bucket, keys[first : first + DELETED_AT_ONCE])

    def sign(self, key: str, seconds: int) -> str | None:
        """See :class:`.store.Store`."""
        with _as_ours(key):
            return obstore.sign(self._bucket, "GET", checked_key(key), timedelta(seconds=seconds))

    def free_bytes(self) -> int | None:
        """A bucket has no end."""
        return None

    def local_path(self, key: str) -> Path | None:
        """Nothing lies here."""
        del key
        return None

    def remove_temporaries(self, older_s: float) -> int:
        """S3 shows no unfinished uploads as files; a rule of the bucket's life cycle removes their parts."""
        del older_s
        return 0

    def _check(self, key: str, size: int) -> None:
        stored = self.head(key)
        if stored != size:
            raise StorageUnavailable(
                f"{key} has {stored} bytes in storage, not {size}.",
                suggestion="Try again.",
                reason="storage_unavailable",
                key=key,
            )


def _pieces(key: str, source: Iterator[object]) -> Generator[bytes]:
    with _as_ours(key):
        for piece in source:
            yield bytes(memoryview(piece))  # pyright: ignore[reportArgumentType]


def _missing(key: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "There is no such file in storage", key)


@contextmanager
def _as_ours(key: str) -> Generator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(key) from error
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        raise FileExistsError(errno.EEXIST, "There is such a file in storage", key) from error
    except exceptions.BaseError as error:
        raise StorageUnavailable(
            f"The storage did not do what was asked with {key}.",
            suggestion="Try again; if it stays so, check the bucket, its region and the credentials.",
            reason="storage_unavailable",
            key=key,
            cause=str(error).splitlines()[0][:300],
        ) from error
