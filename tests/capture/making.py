"""Small captures and image files for the tests of reading; also the seeds of benchmarks/fuzz_readers.py."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("front", "back", "left", "right", "top", "bottom")


def rgb_pixels(seed: int = 0, size: int = 64) -> np.ndarray:
    """A textured disc on white, different for each seed."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    inside = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (0.3 * size) ** 2
    texture = rng.integers(0, 160, (size // 8 + 1, size // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)[:size, :size]
    return np.where(inside[..., None], texture, 255).astype(np.uint8)


def depth_pixels(size: int = 64, dtype: type = np.uint16) -> np.ndarray:
    """A bulging disc; 0 outside."""
    rows, columns = np.mgrid[:size, :size]
    radius = np.hypot(rows - size / 2 + 0.5, columns - size / 2 + 0.5) / (0.3 * size)
    top = 250 if dtype == np.uint8 else 60_000
    return np.where(radius < 1, top * (0.6 + 0.4 * radius), 0).astype(dtype)


def png(pixels: np.ndarray, **options: Any) -> bytes:
    return encoded(pixels, "PNG", **options)


def encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bare_png(width: int, height: int, idat: bytes = b"", bits: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG written chunk by chunk, for headers that no encoder would write."""
    head = struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def good_files(names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    """The reference's layout, tiny."""
    files = {f"multi_views/{name}.png": png(rgb_pixels(i)) for i, name in enumerate(names)}
    return files | {f"depth_renders/{name}.png": png(depth_pixels(32)) for name in names}


def frame(name: str, **changes: Any) -> dict[str, Any]:
    matrix = np.eye(4)
    matrix[2, 3] = 2.0
    numbers = {"w": 64, "h": 64, "fl_x": 80.0, "fl_y": 80.0, "cx": 32.0, "cy": 32.0}
    return {"file_path": f"multi_views/{name}.png", **numbers, "transform_matrix": matrix.tolist(), **changes}


def cameras(names: tuple[str, ...] = NAMES, **changes: Any) -> dict[str, Any]:
    return {"convention": "OpenGL c2w; pixel centres at +0.5", "frames": [frame(n) for n in names], **changes}


def with_cameras(document: dict[str, Any] | str | bytes) -> dict[str, bytes]:
    text = document if isinstance(document, (str, bytes)) else json.dumps(document)
    return {**good_files(), "cameras.json": text.encode() if isinstance(text, str) else text}


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def zip_bytes(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()
