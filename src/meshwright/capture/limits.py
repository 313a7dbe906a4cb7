"""How much a capture may ask of the machine: every limit in one place, checked before memory is spent."""

from __future__ import annotations

from dataclasses import dataclass

MiB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Limits of one capture. Bytes are counted as they are read, never taken from a header.

    ``capture_pixels`` bounds the decoded RGB and depth pixels together.
    ``zip_ratio`` holds for archive entries above ``zip_ratio_free_bytes``, since small text compresses without end.
    """

    max_views: int = 64
    image_bytes: int = 32 * MiB
    image_side: int = 4096
    capture_bytes: int = 512 * MiB
    capture_pixels: int = 400_000_000
    zip_entries: int = 256
    zip_ratio: float = 200.0
    zip_ratio_free_bytes: int = MiB
    cameras_bytes: int = MiB
    json_depth: int = 32
    folder_entries: int = 20_000
    folder_depth: int = 6
    image_chunks: int = 10_000


DEFAULT_LIMITS = Limits()
