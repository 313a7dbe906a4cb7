"""How kernels are compiled and how image rows are shared among threads.

Kernels release the GIL, so plain threads use all cores: numba's own ``parallel=True`` compiles several times slower and
gains nothing over this. numpy's error model spares the code that would raise on a division by zero.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from numba import njit

from meshwright.workers import worker_count

__all__ = ["kernel", "over_rows", "row_bands", "worker_count"]

kernel = partial(njit, cache=True, nogil=True, error_model="numpy")


def row_bands(height: int, count: int) -> list[tuple[int, int]]:
    """``count`` (at most ``height``) ranges of rows that cover 0..height; none for an image without rows."""
    count = min(count, height)
    return [(height * k // count, height * (k + 1) // count) for k in range(count)]


def over_rows(height: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(row_start, row_end)`` for all rows, one band a core."""
    bands = row_bands(height, worker_count())
    if len(bands) < 2:
        for low, high in bands:
            work(low, high)
        return
    with ThreadPoolExecutor(len(bands)) as pool:
        list(pool.map(lambda band: work(*band), bands))
