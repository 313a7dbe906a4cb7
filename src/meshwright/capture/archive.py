"""A capture's ZIP, read carefully: structure checked before anything is unpacked, real bytes counted, no file written.

Only what a camera, a photo tool or an operating system writes is accepted: stored and deflated entries that lie one
after another, with plain relative names that stay distinct on every file system. See research T-09 to T-11:
zip-slip, bombs (flat, overlapping, lying), twins, links and encryption are each refused with their own reason.
"""

from __future__ import annotations

import mmap
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from meshwright.capture.files import ByteBudget, too_large, twin_key
from meshwright.capture.limits import Limits
from meshwright.errors import FileTooLarge, InputError, InvalidFileCount, InvalidFileFormat

_END, _CENTRAL, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_END_SIZE, _CENTRAL_SIZE, _LOCAL_SIZE, _MAX_COMMENT = 22, 46, 30, 65_535
_STORED, _DEFLATED = 0, 8
_CHUNK = 1 << 16
_ARCHIVES = {".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".zst", ".jar", ".whl"}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}


@dataclass(frozen=True)
class Entry:
    """One entry as the central directory declares it (APPNOTE 4.3.12)."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int


class ZipFiles:
    """The files of a ZIP archive. Raises `InvalidFileFormat` (``archive_*`` reasons) where its structure is not plain.

    The whole archive is held in memory (it is at most ``limits.capture_bytes``); nothing is written to disk. With
    ``mapped`` it stays on disk instead: only for a file that nobody else can shorten meanwhile.
    """

    def __init__(self, path: Path, limits: Limits, *, mapped: bool = False) -> None:
        self.limits, self.budget = limits, ByteBudget(limits)
        self.data = _mapped(path) if mapped else _held(path, limits.capture_bytes + 1)
        if len(self.data) > limits.capture_bytes:
            raise too_large(path.name, limits.capture_bytes)
        entries = _read_directory(self.data, limits)
        _check_names(entries)
        self._spans = _checked_layout(self.data, entries)
        files = [entry for entry in entries if not entry.name.endswith("/")]
        for entry in files:
            _check_ratio(entry, limits)
        self.entries = {entry.name: entry for entry in files if not _is_junk(entry.name)}
        self.sizes = {name: entry.size for name, entry in self.entries.items()}

    def read(self, path: str, max_bytes: int) -> bytes:
        """The entry's bytes (see `CaptureFiles.read`); at most 64 KiB more than allowed is ever unpacked."""
        entry = self.entries[path]
        start, end = self._spans[path]
        limit = min(max_bytes, entry.size)
        packed = memoryview(self.data)[start:end]
        data = bytes(packed[: limit + 1]) if entry.method == _STORED else _inflate(entry, packed, limit)
        if len(data) > max_bytes:
            raise too_large(path, max_bytes)
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise bad_archive("size_lies", f"The archive's entry {path} does not hold what its header says.", path)
        self.budget.spend(len(data))
        return data


def bad_archive(reason: str, message: str, entry: str | None = None) -> InvalidFileFormat:
    """An archive whose structure is refused; ``reason`` becomes ``archive_<reason>``."""
    suggestion = "Pack the images again with an ordinary ZIP tool (stored or deflated, no password, no links)."
    return InvalidFileFormat(
        message, suggestion=suggestion, reason=f"archive_{reason}", **({"file": entry} if entry else {})
    )


def _held(path: Path, count: int) -> bytes | mmap.mmap:
    with path.open("rb") as stream:
        return stream.read(count)


def _mapped(path: Path) -> bytes | mmap.mmap:
    if not path.stat().st_size:
        return b""
    with path.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _inflate(entry: Entry, packed: memoryview, limit: int) -> bytes:
    inflater, parts, count = zlib.decompressobj(-15), [], 0
    try:
        for start in range(0, len(packed), _CHUNK):
            pending: bytes | memoryview = packed[start : start + _CHUNK]
            while len(pending) and count <= limit:
                part = inflater.decompress(pending, min(_CHUNK, limit + 1 - count))
                parts.append(part)
                count += len(part)
                pending = inflater.unconsumed_tail
                if not part and not pending:
                    break
            if count > limit or inflater.eof:
                break
    except zlib.error as error:
        raise bad_archive("corrupt", f"The archive's entry {entry.name} is damaged.", entry.name) from error
    return b"".join(parts)


def _read_directory(data: bytes | mmap.mmap, limits: Limits) -> list[Entry]:
    """All entries of the central directory; the directory must end where the end record begins."""
    end = data.rfind(_END, max(0, len(data) - _END_SIZE - _MAX_COMMENT))
    if end < 0 or len(data) < end + _END_SIZE:
        raise bad_archive("corrupt", "The archive has no end record: it is cut short or no ZIP.")
    disk, first_disk, here, total, size, offset, comment = struct.unpack("<4H2LH", data[end + 4 : end + _END_SIZE])
    if 0xFFFF in (total, disk) or 0xFFFFFFFF in (size, offset):
        raise bad_archive("zip64", "The archive is in the ZIP64 form, which a capture does not need.")
    if disk or first_disk or here != total:
        raise bad_archive("multipart", "The archive is one part of several.")
    if total > limits.zip_entries:
        raise InvalidFileCount(
            f"The archive holds {total} entries, more than {limits.zip_entries}.",
            suggestion="Pack only the capture's images and cameras.",
            reason="archive_entries",
        )
    if offset + size != end or end + _END_SIZE + comment != len(data):
        raise bad_archive("corrupt", "The archive's directory does not lie where its end record says.")
    entries, position = [], offset
    for _ in range(total):
        entry, position = _read_entry(data, position, end)
        entries.append(entry)
    if position != end:
        raise bad_archive("corrupt", "The archive's directory is longer than its entry count says.")
    return entries


def _read_entry(data: bytes | mmap.mmap, at: int, end: int) -> tuple[Entry, int]:
    if data[at : at + 4] != _CENTRAL or at + _CENTRAL_SIZE > end:
        raise bad_archive("corrupt", "The archive's directory is damaged.")
    fields = struct.unpack("<6H3L5H2L", data[at + 4 : at + _CENTRAL_SIZE])
    made_by, _, flags, method, _, _, crc, packed, size, name_length, extra, comment, disk, _, attributes, offset = (
        fields
    )
    following = at + _CENTRAL_SIZE + name_length + extra + comment
    raw = data[at + _CENTRAL_SIZE : at + _CENTRAL_SIZE + name_length]
    if following > end or disk:
        raise bad_archive("corrupt", "The archive's directory is damaged.")
    name = _decoded_name(raw, utf8=bool(flags & 0x800))
    if flags & 0x2041 or flags & 0x20:
        raise bad_archive("encrypted", f"The archive's entry {name!r} is encrypted or patched data.", name)
    if method not in (_STORED, _DEFLATED):
        raise bad_archive("method", f"The archive's entry {name!r} is compressed by method {method}.", name)
    if 0xFFFFFFFF in (packed, size, offset):
        raise bad_archive("zip64", f"The archive's entry {name!r} is in the ZIP64 form.", name)
    kind = stat.S_IFMT(attributes >> 16) if made_by >> 8 == 3 else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise bad_archive("link", f"The archive's entry {name!r} is a link or a device.", name)
    if method == _STORED and packed != size:
        raise bad_archive("size_lies", f"The archive's entry {name!r} has two sizes.", name)
    return Entry(name, method, crc, packed, size, offset), following


def _decoded_name(raw: bytes, utf8: bool) -> str:
    try:
        return raw.decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:
        if utf8:
            raise bad_archive("name", "The archive holds a name that is no UTF-8.") from None
        return raw.decode("cp437")


def _checked_layout(data: bytes | mmap.mmap, entries: list[Entry]) -> dict[str, tuple[int, int]]:
    """Where each entry's packed bytes lie. Local headers must repeat the names, and nothing may overlap."""
    spans: dict[str, tuple[int, int]] = {}
    reached = 0
    for entry in sorted(entries, key=lambda e: e.offset):
        header = data[entry.offset : entry.offset + _LOCAL_SIZE]
        if len(header) < _LOCAL_SIZE or header[:4] != _LOCAL:
            raise bad_archive(
                "corrupt", f"The archive's entry {entry.name!r} has no header where one should be.", entry.name
            )
        if entry.offset < reached:
            raise bad_archive("overlap", f"The archive's entry {entry.name!r} overlaps another one.", entry.name)
        if not spans and entry.offset:
            raise bad_archive("prefix", "The archive has other data in front of its first entry.")
        name_length, extra = struct.unpack("<2H", header[26:30])
        start = entry.offset + _LOCAL_SIZE + name_length + extra
        local_name = data[entry.offset + _LOCAL_SIZE : entry.offset + _LOCAL_SIZE + name_length]
        if _decoded_name(local_name, utf8=bool(header[7] & 0x08)) != entry.name:
            raise bad_archive("name", f"The archive's entry {entry.name!r} has two names.", entry.name)
        reached = start + entry.packed
        spans[entry.name] = (start, reached)
    if reached > data.rfind(_END):
        raise bad_archive("overlap", "The archive's last entry reaches into its directory.")
    return spans


def _check_names(entries: list[Entry]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry.name
        if not _is_plain(name):
            raise bad_archive(
                "name", f"The archive's entry {name!r} has a path that leaves the archive or is unsafe.", name[:200]
            )
        if PurePosixPath(name).suffix.lower() in _ARCHIVES:
            raise bad_archive("nested", f"The archive holds another archive, {name!r}.", name)
        key = twin_key(name.rstrip("/"))
        if key in seen:
            raise bad_archive(
                "duplicate", f"The archive holds {seen[key]!r} and {name!r}, which are the same name.", name
            )
        seen[key] = name


def _is_plain(name: str) -> bool:
    """Relative, without dot segments, backslashes, drive letters, control or direction characters, reserved names."""
    if not name or len(name) > 512 or name.startswith("/") or "\\" in name or ":" in name:
        return False
    if any(
        ord(c) < 32
        or ord(c) == 127
        or 0x200B <= ord(c) <= 0x200F
        or 0x202A <= ord(c) <= 0x202E
        or 0x2066 <= ord(c) <= 0x2069
        for c in name
    ):
        return False
    parts = name.rstrip("/").split("/")
    return all(p not in ("", ".", "..") and p.split(".")[0].lower() not in _RESERVED for p in parts)


def _check_ratio(entry: Entry, limits: Limits) -> None:
    if entry.size > limits.zip_ratio_free_bytes and entry.size > limits.zip_ratio * max(entry.packed, 1):
        raise FileTooLarge(
            f"The archive's entry {entry.name!r} unpacks to {entry.size / max(entry.packed, 1):.0f} times its size.",
            suggestion="Pack the images as they are; PNG and JPEG files hardly shrink further.",
            reason="archive_ratio",
            file=entry.name,
        )


def _is_junk(name: str) -> bool:
    """Files that operating systems add on their own."""
    parts = name.split("/")
    return (
        parts[0] == "__MACOSX"
        or any(p.startswith(".") for p in parts)
        or parts[-1].lower() in ("thumbs.db", "desktop.ini")
    )


def open_archive(path: Path, limits: Limits) -> ZipFiles:
    """`ZipFiles` of a path; an unreadable file is an `InputError`."""
    try:
        return ZipFiles(path, limits)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror or error}.", reason="unreadable") from error
