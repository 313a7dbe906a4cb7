"""A file on its way: it goes on from where a broken link left it, and appears whole or not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import httpx

from meshwright.errors import IncompleteResults


class Partial:
    """What has come of a file so far, in a temporary one beside its place (`staged_file` renames it)."""

    def __init__(self, path: Path) -> None:
        self._sink: BinaryIO = path.open("wb")
        self.size = 0
        self.total: int | None = None
        self.tag: str | None = None

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sink.close()

    def headers(self) -> dict[str, str]:
        """Ask for the rest, if the file is still the same; nothing is compressed on the way, so that sizes hold."""
        plain = {"Accept-Encoding": "identity"}
        if self.size and self.tag:
            return plain | {"Range": f"bytes={self.size}-", "If-Range": self.tag}
        return plain

    def begin(self, response: httpx.Response) -> None:
        """Look at an answer's head: either it goes on where we are, or it starts anew."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("content-range", ""))
        if response.status_code == 206 and found and int(found[1]) == self.size:
            self.total = int(found[2])
            return
        self._sink.seek(0)
        self._sink.truncate()
        self.size = 0
        length = response.headers.get("content-length", "")
        self.total = int(length) if length.isdigit() else None
        tag = response.headers.get("etag")
        self.tag = tag if tag and not tag.startswith("W/") else None

    def write(self, block: bytes) -> None:
        """Take in a block."""
        self._sink.write(block)
        self.size += len(block)

    def check(self) -> None:
        """Raise unless as much came as was announced."""
        self._sink.flush()
        if self.total is not None and self.size != self.total:
            raise IncompleteResults(
                f"{self.size:,} of {self.total:,} bytes came.", suggestion="Download it again.", reason="download_short"
            )


def unpack(archive: Path, out: Path, *, overwrite: bool) -> None:
    """Make a downloaded result the folder ``out``, by the package's own reader with its limits."""
    from meshwright.package.archive import open_result
    from meshwright.package.staging import staged_folder

    with open_result(archive) as folder, staged_folder(out, overwrite=overwrite) as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
