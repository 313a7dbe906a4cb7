"""How kernels are compiled and how image rows are shared among threads.

Kernels release the GIL, so plain threads use all cores: numba's own ``parallel=True`` compiles several times slower and
gains nothing over this. numpy's error model spares the code that would raise on a division by zero.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numba import njit

from meshwright.workers import worker_count

__all__ = ["kernel", "over_rows", "row_bands", "worker_count"]


def kernel() -> Callable[[Callable[..., Any]], Any]:
    """The decorator of every kernel. Its cache lies beside the source or, where that cannot be written, in the user's
    cache folder (or in ``NUMBA_CACHE_DIR``); where nothing can be written each process compiles anew.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # "no locator available": numba found no folder to write to
            return njit(nogil=True, error_model="numpy")(function)

    return compiled


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
