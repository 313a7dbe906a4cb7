"""A multipart body, written to disk part by part while it arrives; limits are kept while counting, not at the end."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from meshwright.errors import FileTooLarge, InputError, InvalidFileCount
from meshwright.service.settings import MIB, Settings
from meshwright.service.uploads.fields import FILE_FIELDS, TEXT_FIELDS, Role

FIELD_BYTES = 64 * 1024
HEADER_BYTES = 2048  # of one line of a part's head; a file name is at most 255 bytes on any disk
NAME_LENGTH = 255
SLACK_BYTES = MIB  # for what lies between the files


@dataclass(frozen=True)
class ReceivedFile:
    """A file on disk; ``name`` is what the client called it, without folders, and only ever compared."""

    role: Role
    name: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class PartLimits:
    """What one request may hold."""

    files: dict[Role, int]
    bytes_each: dict[Role, int]
    total_bytes: int

    @classmethod
    def of(cls, settings: Settings, archives: int = 1) -> PartLimits:
        """The limits that the settings mean; ``archives`` is how many captures may come as one ZIP each."""
        views, image = settings.view_limit, settings.image_bytes
        return cls(
            files={"views": views, "depth": views, "masks": views, "cameras": 1, "archive": archives},
            bytes_each={
                "views": image,
                "depth": image,
                "masks": image,
                "cameras": settings.cameras_bytes,
                "archive": settings.capture_bytes,
            },
            total_bytes=settings.capture_bytes * max(1, archives // 4) + SLACK_BYTES,
        )

    @property
    def parts(self) -> int:
        """How many parts of any kind."""
        return sum(self.files.values()) + 2 * len(TEXT_FIELDS)


@dataclass
class _Part:
    """The part that is being read."""

    name: str = ""
    file_name: str = ""
    role: Role | None = None
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    sink: BinaryIO | None = None
    path: Path | None = None
    size: int = 0


class PartReader:
    """Takes the bytes of a body as they come (`feed`, then `finish`); files go to ``folder``, values to ``values``.

    Raises from both:
        FileTooLarge: reasons ``file_too_large`` and ``body_too_large``, as soon as the count passes.
        InvalidFileCount: reason ``too_many_files``.
        InputError: reasons ``multipart_invalid``, ``unknown_field``, ``duplicate_field`` and ``too_many_parts``.
    """

    def __init__(self, boundary: bytes, folder: Path, limits: PartLimits) -> None:
        self.folder = folder
        self.limits = limits
        self.files: list[ReceivedFile] = []
        self.values: dict[str, str] = {}
        self.received = 0
        self._parts = 0
        self._part = _Part()
        self._hash = hashlib.sha256()
        self._ended = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks(), max_header_size=HEADER_BYTES)  # pyright: ignore[reportArgumentType]
        except FormParserError as error:
            raise _invalid("its boundary is too long") from error

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        self.received += len(data)
        if self.received > self.limits.total_bytes:
            raise body_too_large(self.limits.total_bytes)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _invalid("it cannot be read as multipart/form-data") from error

    def finish(self) -> None:
        """The body has ended; it must have been whole."""
        if not self._ended:
            raise _invalid("it is cut short")

    def close(self) -> None:
        """Close the file that was being written; for bodies that did not end well."""
        if self._part.sink is not None:
            self._part.sink.close()

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._head,
            "on_header_value": self._head,
            "on_header_begin": self._next_header,
            "on_header_end": self._read_header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._mark_end,
        }

    def _begin(self) -> None:
        self._part = _Part()
        self._parts += 1
        if self._parts > self.limits.parts:
            raise InputError(
                f"The request holds more than {self.limits.parts} parts.",
                suggestion="Send each file and each field once.",
                reason="too_many_parts",
            )

    def _next_header(self) -> None:
        self._part.header.clear()

    def _head(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _read_header(self) -> None:
        """Only ``Content-Disposition`` says anything that matters; name and value of a header come glued together."""
        header, marker = bytes(self._part.header), b"content-disposition"
        if header[: len(marker)].lower() == marker:
            _, options = parse_options_header(header[len(marker) :])
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            self._part.file_name = _plain_name(options.get(b"filename", b""))

    def _open(self) -> None:
        part = self._part
        part.role = FILE_FIELDS.get(part.name)
        if part.role is None:
            if part.name not in TEXT_FIELDS:
                raise _unknown_field(part.name)
            return
        part.path = self.folder / f"part-{len(self.files):03d}"
        part.sink = part.path.open("wb")
        self._hash = hashlib.sha256()

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        if part.role is None or part.sink is None:
            if part.size > FIELD_BYTES:
                raise _too_large(f"The field {part.name!r}", FIELD_BYTES, "Shorten it.")
            part.value += data[start:end]
            return
        limit = self.limits.bytes_each[part.role]
        if part.size > limit:
            what = f"File {len(self.files) + 1} ({part.role})"
            raise _too_large(what, limit, "Scale the image down or save it with compression.")
        piece = memoryview(data)[start:end]
        self._hash.update(piece)
        part.sink.write(piece)

    def _end(self) -> None:
        part = self._part
        if part.role is None:
            self._keep_value(part)
            return
        assert part.sink is not None
        assert part.path is not None
        part.sink.close()
        if not part.size and not part.file_name:  # a browser's file field in which nothing was chosen
            part.path.unlink()
            return
        allowed = self.limits.files[part.role]
        if sum(file.role == part.role for file in self.files) >= allowed:
            raise InvalidFileCount(
                f"The request holds more than {allowed} {part.role} file{'s' * (allowed != 1)}.",
                suggestion="Send fewer files.",
                reason="too_many_files",
                limit=allowed,
            )
        self.files.append(ReceivedFile(part.role, part.file_name, part.path, part.size, self._hash.hexdigest()))

    def _keep_value(self, part: _Part) -> None:
        name = TEXT_FIELDS[part.name]
        value = part.value.decode("utf-8", "replace").strip()
        if name in self.values and self.values[name] != value:
            raise InputError(
                f"The field {part.name!r} came twice, with different values.",
                suggestion="Send it once; model and model_type are the same field.",
                reason="duplicate_field",
                field=part.name,
            )
        self.values[name] = value

    def _mark_end(self) -> None:
        self._ended = True


def body_too_large(limit: int) -> FileTooLarge:
    """The error of a body over its limit, by its declared length or by the count."""
    return FileTooLarge(
        f"The request holds more than {limit:,} bytes.",
        suggestion="Send fewer or smaller images.",
        reason="body_too_large",
        limit=limit,
    )


def _plain_name(raw: bytes) -> str:
    """The last part of a path, without anything that does not print."""
    text = unicodedata.normalize("NFC", raw.decode("utf-8", "replace")).replace("\\", "/")
    return "".join(c for c in PurePosixPath(text).name if c.isprintable())[-NAME_LENGTH:]


def _too_large(what: str, limit: int, suggestion: str) -> FileTooLarge:
    return FileTooLarge(
        f"{what} is larger than {limit:,} bytes.", suggestion=suggestion, reason="file_too_large", limit=limit
    )


def _invalid(what: str) -> InputError:
    return InputError(
        f"The request's body is not usable: {what}.",
        suggestion="Send it as multipart/form-data, as curl -F does.",
        reason="multipart_invalid",
    )


def _unknown_field(name: str) -> InputError:
    shown = "".join(c for c in name[:40] if c.isprintable())
    return InputError(
        f"There is no field {shown!r}.",
        suggestion=f"Files go into {', '.join(FILE_FIELDS)}; values into {', '.join(TEXT_FIELDS)}.",
        reason="unknown_field",
    )
