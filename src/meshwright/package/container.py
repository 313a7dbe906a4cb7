"""The GLB container: a JSON chunk and a binary chunk in 4-byte alignment (glTF 2.0 specification, section 4)."""

from __future__ import annotations

import json
import struct
from typing import Any

from meshwright.errors import InvalidFileFormat

MAGIC, VERSION, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942


class BufferBuilder:
    """Collects bytes into one buffer and writes down its views, each aligned to 4 bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []

    def add(self, payload: bytes, target: int | None = None) -> int:
        """Append a payload; returns the index of its buffer view. ``target`` is 34962 (vertices) or 34963 (indices)."""
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(payload)}
        self.views.append(view | ({"target": target} if target is not None else {}))
        self.data += payload + bytes(-len(payload) % 4)
        return len(self.views) - 1


def pack_glb(document: dict[str, Any], binary: bytes) -> bytes:
    """The bytes of a GLB file. Keys keep their order, so equal documents give equal bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<III", MAGIC, VERSION, total)
    return b"".join(
        [head, struct.pack("<II", len(text), JSON_CHUNK), text, struct.pack("<II", len(binary), BIN_CHUNK), binary]
    )


def unpack_glb(data: bytes, name: str = "mesh.glb") -> tuple[dict[str, Any], bytes]:
    """The JSON document and the binary chunk of a GLB file; the inverse of `pack_glb`.

    Raises:
        InvalidFileFormat: reason ``glb_corrupt``, when lengths, magic numbers or the JSON are wrong.
    """
    if len(data) < 20 or struct.unpack_from("<II", data) != (MAGIC, VERSION):
        raise broken_glb(name, "it does not begin as a glTF 2.0 binary")
    if struct.unpack_from("<I", data, 8)[0] != len(data):
        raise broken_glb(name, "its length differs from the one in its header")
    chunks = _chunks(data, name)
    if not chunks or chunks[0][0] != JSON_CHUNK:
        raise broken_glb(name, "its first chunk is not JSON")
    try:
        document = json.loads(chunks[0][1])
    except (ValueError, RecursionError) as error:
        raise broken_glb(name, f"its JSON cannot be read ({error})") from error
    if not isinstance(document, dict):
        raise broken_glb(name, "its JSON is not an object")
    return document, chunks[1][1] if len(chunks) > 1 and chunks[1][0] == BIN_CHUNK else b""


def broken_glb(name: str, what: str) -> InvalidFileFormat:
    """The error for a damaged GLB file."""
    return InvalidFileFormat(
        f"{name} is damaged: {what}.", suggestion="Export or copy the file again.", reason="glb_corrupt"
    )


def _chunks(data: bytes, name: str) -> list[tuple[int, bytes]]:
    found, offset = [], 12
    while offset < len(data):
        if offset + 8 > len(data):
            raise broken_glb(name, "a chunk header is cut off")
        length, kind = struct.unpack_from("<II", data, offset)
        if offset + 8 + length > len(data):
            raise broken_glb(name, "a chunk is cut off")
        found.append((kind, data[offset + 8 : offset + 8 + length]))
        offset += 8 + length
    return found
