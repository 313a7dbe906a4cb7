"""Plain threads over the parts of one job: decoders, filters, PNG and our kernels release the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def worker_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def mapped(work: Callable[[Item], Found], items: Iterable[Item], workers: int | None = None) -> Iterator[Found]:
    """``work`` of every item, in order, on all cores; the first error (or a caller who stops) ends the rest."""
    pool = ThreadPoolExecutor(workers or worker_count())
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)
