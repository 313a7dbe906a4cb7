"""How image rows are shared among threads: kernels release the GIL, so plain threads use all cores.

numba's own ``parallel=True`` compiles several times slower and gains nothing over this.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def worker_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def row_bands(height: int, count: int) -> list[tuple[int, int]]:
    """``count`` (at most ``height``) ranges of rows that cover 0..height; none for an image without rows."""
    count = min(count, height)
    return [(height * k // count, height * (k + 1) // count) for k in range(count)]


def over_rows(height: int, kernel: Callable[[int, int], None]) -> None:
    """Call ``kernel(row_start, row_end)`` for all rows, one band a core."""
    bands = row_bands(height, worker_count())
    if len(bands) < 2:
        for low, high in bands:
            kernel(low, high)
        return
    with ThreadPoolExecutor(len(bands)) as pool:
        list(pool.map(lambda band: kernel(*band), bands))
