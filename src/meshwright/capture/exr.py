"""Depth out of scan-line OpenEXR files: uncompressed, RLE, ZIPS and ZIP; half, float and uint channels.

Our own reader, after openexr.com's "File Layout" and "Technical Introduction", because the OpenEXR library ends the
process on some damaged files (found by benchmarks/fuzz_readers.py). Other compressions are refused by name.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from meshwright.capture.gate import bad_image

_COMPRESSIONS = ("NONE", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
_LINES = {0: 1, 1: 1, 2: 1, 3: 16}
_TYPES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))
_WANTED = ("Z", "Y", "V", "depth", "R")


class _Channel(NamedTuple):
    name: str
    dtype: np.dtype
    sampled: bool


def read_exr(data: bytes, path: str, width: int, height: int) -> Float[np.ndarray, "h w"]:
    """The depth channel: the one called Z, ``*.Z``, Y, V, depth or R, else the first.

    ``width`` and ``height`` are the header's (`meshwright.capture.gate`). Raises `InvalidFileFormat` for a compression
    that is not supported, `ValueError`, `struct.error` or `zlib.error` for a damaged file.
    """
    attributes, position = _attributes(data)
    compression = attributes["compression"][0]
    if compression not in _LINES:
        name = _COMPRESSIONS[compression] if compression < len(_COMPRESSIONS) else str(compression)
        raise bad_image("exr_compression", path, f"is an EXR compressed by {name}", "Save it with ZIP compression.")
    channels = _channels(attributes["channels"])
    chosen = _chosen([channel.name for channel in channels])
    if any(channel.sampled for channel in channels):
        raise ValueError("a subsampled channel")
    top = struct.unpack("<4i", attributes["dataWindow"])[1]
    line_bytes = width * sum(channel.dtype.itemsize for channel in channels)
    skip = width * sum(channel.dtype.itemsize for channel in channels[:chosen])
    dtype, lines = channels[chosen].dtype, _LINES[compression]
    values = np.zeros((height, width), np.float32)
    offsets = struct.unpack_from(f"<{-(-height // lines)}Q", data, position)
    for offset in offsets:
        first, size = struct.unpack_from("<2i", data, offset)
        first -= top
        count = min(lines, height - first)
        if not 0 <= first < height or size < 0 or offset + 8 + size > len(data):
            raise ValueError("a chunk outside the image")
        raw = _unpacked(data[offset + 8 : offset + 8 + size], compression, line_bytes * count)
        rows = np.frombuffer(raw, np.uint8).reshape(count, line_bytes)
        part = np.ascontiguousarray(rows[:, skip : skip + width * dtype.itemsize])
        values[first : first + count] = part.view(dtype)
    return values


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    found: dict[str, bytes] = {}
    position = 8
    while data[position]:
        name, position = _text(data, position)
        _, position = _text(data, position)
        size = struct.unpack_from("<i", data, position)[0]
        if size < 0 or len(found) > 256:
            raise ValueError("a damaged header")
        found[name] = data[position + 4 : position + 4 + size]
        position += 4 + size
    return found, position + 1


def _channels(value: bytes) -> list[_Channel]:
    found, at = [], 0
    while value[at]:
        name, at = _text(value, at)
        kind, _, across, down = struct.unpack_from("<4i", value, at)
        found.append(_Channel(name, _TYPES[kind], (across, down) != (1, 1)))
        at += 16
    return found


def _chosen(names: list[str]) -> int:
    order = [*_WANTED, *(name for name in names if name.endswith(".Z")), *names]
    return names.index(next(name for name in order if name in names))


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\x00", at, at + 256)
    return data[at:end].decode("latin1"), end + 1


def _unpacked(packed: bytes, compression: int, size: int) -> bytes:
    """A chunk's bytes; a chunk that compression would have made larger is stored as it is."""
    if compression == 0 or len(packed) == size:
        raw = packed
    else:
        shuffled = _run_lengths(packed, size) if compression == 1 else zlib.decompressobj().decompress(packed, size + 1)
        raw = _unshuffled(shuffled)
    if len(raw) != size:
        raise ValueError("a chunk of another size")
    return raw


def _unshuffled(data: bytes) -> bytes:
    """Undo the predictor (differences plus 128) and the split into even and odd bytes."""
    steps = np.frombuffer(data, np.uint8).astype(np.int64)
    steps[1:] -= 128
    plain = (np.cumsum(steps) & 0xFF).astype(np.uint8)
    half = (len(plain) + 1) // 2
    joined = np.empty_like(plain)
    joined[0::2], joined[1::2] = plain[:half], plain[half:]
    return joined.tobytes()


def _run_lengths(packed: bytes, size: int) -> bytes:
    out, at = bytearray(), 0
    while at < len(packed) and len(out) <= size:
        count = packed[at] - 256 if packed[at] > 127 else packed[at]
        if count < 0:
            out += packed[at + 1 : at + 1 - count]
            at += 1 - count
        else:
            out += packed[at + 1 : at + 2] * (count + 1)
            at += 2
    return bytes(out)
