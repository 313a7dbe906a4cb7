"""What an image file says about itself, read from its header alone: nothing is decoded before this has agreed.

A PNG is walked chunk by chunk (sizes, order, checksums) and handed on with its pixel chunks only, so that text and
profile chunks, which may be bombs, never reach a decoder (research/reliability.md T-01 to T-05).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from meshwright.capture.limits import Limits
from meshwright.errors import FileTooLarge, InvalidFileFormat

ImageFormat = Literal["png", "jpeg", "webp", "tiff", "exr", "npy"]

_PNG, _PNG_DEPTHS = b"\x89PNG\r\n\x1a\n", {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_JPEG_SCANS = 100  # a progressive file has about ten; thousands are an attack on the decoder's time
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}


@dataclass(frozen=True)
class ImageHeader:
    """Size and sample layout of an image file. ``bits`` is per channel; ``is_float`` for floating-point samples.

    ``data`` is what a decoder may see (for PNG: the pixel chunks alone, for others the file).
    """

    format: ImageFormat
    width: int
    height: int
    channels: int
    bits: int
    data: bytes
    is_float: bool = False
    orientation: int = 1


def read_header(data: bytes, path: str, limits: Limits) -> ImageHeader:
    """The header of an image file, by its first bytes (never by its name).

    Raises:
        FileTooLarge: a side is over ``limits.image_side`` (reason ``image_too_large``).
        InvalidFileFormat: no known format, damaged, animated or of an unsupported kind.
    """
    reader = next((read for magic, read in _READERS if data.startswith(magic)), None)
    if reader is None or (data.startswith(b"RIFF") and data[8:12] != b"WEBP"):
        raise bad_image("image_unknown", path, "is no PNG, JPEG, WebP, TIFF, EXR or NPY file")
    try:
        header = reader(data, path, limits)
    except (struct.error, IndexError, KeyError, ValueError, OverflowError) as error:
        raise corrupt(path) from error
    _check_size(header, path, limits)
    return header


def bad_image(reason: str, path: str, what: str, suggestion: str = "Save the image again as PNG.") -> InvalidFileFormat:
    """An image that is refused: ``<path> <what>.``"""
    return InvalidFileFormat(f"{path} {what}.", suggestion=suggestion, reason=reason, file=path)


def corrupt(path: str) -> InvalidFileFormat:
    """An image that is damaged or cut short."""
    return bad_image("image_corrupt", path, "is damaged or cut short", "Export or upload the image again.")


def _check_size(header: ImageHeader, path: str, limits: Limits) -> None:
    if header.width < 1 or header.height < 1:
        raise corrupt(path)
    if max(header.width, header.height) > limits.image_side:
        raise FileTooLarge(
            f"{path} is {header.width} x {header.height} pixels; the limit is {limits.image_side} on either side.",
            suggestion=f"Scale the image to at most {limits.image_side} pixels.",
            reason="image_too_large",
            file=path,
            width=header.width,
            height=header.height,
        )


# PNG (W3C PNG, third edition).


def _png(data: bytes, path: str, limits: Limits) -> ImageHeader:
    if data[8:16] != b"\x00\x00\x00\x0dIHDR":
        raise corrupt(path)
    width, height, bits, colour, compression, filtering, interlace = struct.unpack(">2I5B", data[16:29])
    if bits not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise corrupt(path)
    if max(width, height) > limits.image_side:  # before the checksums of a huge file are computed
        return ImageHeader("png", width, height, 1, bits, b"")
    kept = _png_chunks(data, path, limits)
    return ImageHeader("png", width, height, _PNG_CHANNELS[colour], bits, kept)


def _png_chunks(data: bytes, path: str, limits: Limits) -> bytes:
    """The signature and the pixel chunks, their checksums checked; IEND must come, what follows it is dropped."""
    parts, position, count = [_PNG], 8, 0
    while True:
        length = struct.unpack(">I", data[position : position + 4])[0]
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        count += 1
        if end > len(data) or count > limits.image_chunks:
            raise corrupt(path)
        if kind in (b"acTL", b"fcTL", b"fdAT"):
            raise bad_image("image_animated", path, "is animated", "Save one frame as a still image.")
        critical = not kind[0] & 0x20
        if critical and kind not in _PNG_KEPT:
            raise corrupt(path)
        if kind in _PNG_KEPT:
            if zlib.crc32(data[position + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
                raise corrupt(path)
            parts.append(data[position:end])
        if kind == b"IEND":
            return b"".join(parts)
        position = end


# JPEG (ITU T.81, B.1 and B.2).


def _jpeg(data: bytes, path: str, limits: Limits) -> ImageHeader:
    if data.count(b"\xff\xda") > _JPEG_SCANS:
        raise bad_image("image_corrupt", path, f"has more than {_JPEG_SCANS} scans")
    position = 2
    for _ in range(limits.image_chunks):
        while data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1
        marker = data[position + 1]
        if data[position] != 0xFF or marker in (0xD9, 0xDA):
            break
        length = struct.unpack(">H", data[position + 2 : position + 4])[0]
        if marker in _JPEG_FRAMES:
            bits, height, width, channels = struct.unpack(">B2HB", data[position + 4 : position + 10])
            if channels not in (1, 3, 4) or bits != 8:
                raise bad_image("image_mode", path, f"is a JPEG of {channels} channels with {bits} bits")
            return ImageHeader("jpeg", width, height, channels, bits, data)
        if 0xC3 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            raise bad_image("image_mode", path, "is a lossless or arithmetic JPEG")
        position += 2 + max(length, 2)
    raise corrupt(path)


# WebP (RFC 9649).


def _webp(data: bytes, path: str, limits: Limits) -> ImageHeader:
    kind = data[12:16]
    if struct.unpack("<I", data[4:8])[0] + 8 > len(data):
        raise corrupt(path)
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise bad_image("image_animated", path, "is animated", "Save one frame as a still image.")
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack("<2H", data[26:30]))
    else:
        raise corrupt(path)
    return ImageHeader("webp", width, height, 4, 8, data)


# TIFF 6.0: one page, strips or tiles, the compressions that cameras and scientific tools write.

_TIFF_COMPRESSIONS = {1, 5, 8, 32773, 32946}


def _tiff(data: bytes, path: str, limits: Limits) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack(order + "I", data[4:8])[0]
    count = struct.unpack(order + "H", data[start : start + 2])[0]
    if count > 512 or start + 2 + 12 * count + 4 > len(data):
        raise corrupt(path)
    tags = dict(_tiff_tag(data, start + 2 + 12 * i, order) for i in range(count))
    if struct.unpack(order + "I", data[start + 2 + 12 * count :][:4])[0]:
        raise bad_image("image_animated", path, "has several pages", "Save the first page as a still image.")
    if tags.get(259, 1) not in _TIFF_COMPRESSIONS:
        raise bad_image("image_mode", path, f"is a TIFF with compression {tags[259]}", "Save it with LZW or deflate.")
    is_float = tags.get(339, 1) == 3
    return ImageHeader(
        "tiff", tags[256], tags[257], tags.get(277, 1), tags.get(258, 1), data, is_float, tags.get(274, 1)
    )


def _tiff_tag(data: bytes, at: int, order: str) -> tuple[int, int]:
    """Tag number and its first value."""
    tag, kind, count = struct.unpack(order + "2HI", data[at : at + 8])
    code = _TIFF_TYPES.get(kind)
    if code is None or count == 0:
        return tag, 0
    size = struct.calcsize(order + code)
    where = at + 8 if size * count <= 4 else struct.unpack(order + "I", data[at + 8 : at + 12])[0]
    return tag, struct.unpack(order + code, data[where : where + size])[0]


# OpenEXR 2 file layout: magic, version, attributes.


def _exr(data: bytes, path: str, limits: Limits) -> ImageHeader:
    if data[4] != 2 or data[5] & 0x1A:  # long names (0x04) are fine; tiles 0x02, deep 0x08 and multipart 0x10 are not
        raise bad_image("image_mode", path, "is a tiled, deep or multi-part EXR", "Save it as a scan-line image.")
    position, window, channels = 8, None, 0
    for _ in range(256):
        name, position = _exr_text(data, position)
        if not name:
            break
        kind, position = _exr_text(data, position)
        size = struct.unpack("<i", data[position : position + 4])[0]
        if size < 0 or position + 4 + size > min(len(data), 1 << 20):
            raise corrupt(path)
        value = data[position + 4 : position + 4 + size]
        window = struct.unpack("<4i", value) if name == b"dataWindow" else window
        channels = _exr_channels(value) if name == b"channels" and kind == b"chlist" else channels
        position += 4 + size
    if window is None or not channels:
        raise corrupt(path)
    return ImageHeader("exr", window[2] - window[0] + 1, window[3] - window[1] + 1, channels, 32, data, True)


def _exr_text(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.index(b"\x00", at, at + 256)
    return data[at:end], end + 1


def _exr_channels(value: bytes) -> int:
    count, at = 0, 0
    while value[at]:
        _, at = _exr_text(value, at)
        at, count = at + 16, count + 1
    return count


# NPY (numpy.lib.format 1.0 to 3.0).

_NPY_KINDS = {"f": (2, 4, 8), "u": (1, 2, 4), "i": (2, 4)}


def _npy(data: bytes, path: str, limits: Limits) -> ImageHeader:
    import ast

    import numpy as np

    wide = data[6] > 1
    start = 12 if wide else 10
    length = struct.unpack("<I" if wide else "<H", data[8:start])[0]
    if length > 4096:
        raise corrupt(path)
    try:
        fields = ast.literal_eval(data[start : start + length].decode("latin1").strip())
        dtype = np.dtype(fields["descr"])
        shape, fortran = tuple(int(n) for n in fields["shape"]), bool(fields["fortran_order"])
    except (SyntaxError, TypeError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise corrupt(path) from error
    if dtype.itemsize not in _NPY_KINDS.get(dtype.kind, ()) or dtype.hasobject:
        raise bad_image("image_mode", path, f"holds {dtype} and not numbers", "Save a float32 or uint16 array.")
    if fortran or len(shape) != 2 + (len(shape) == 3 and shape[-1] == 1):
        raise bad_image("image_mode", path, f"holds an array of shape {shape}", "Save one array of height x width.")
    header = ImageHeader("npy", shape[1], shape[0], 1, 8 * dtype.itemsize, data, dtype.kind == "f")
    _check_size(header, path, limits)
    if len(data) - start - length != dtype.itemsize * shape[0] * shape[1]:
        raise corrupt(path)
    return header


_READERS = (
    (_PNG, _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"RIFF", _webp),
    (b"II*\x00", _tiff),
    (b"MM\x00*", _tiff),
    (b"v/1\x01", _exr),
    (b"\x93NUMPY", _npy),
)
