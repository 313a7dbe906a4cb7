"""Starting a compiled Triton kernel directly.

Triton's own launch works out anew, each time, which compiled form fits the arguments. On an H100's host that takes
longer than most of these kernels run: a whole step took 1.3 ms, and with this launch 0.67 ms, of the CPU's time.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import triton
from torch import Tensor

ALIGNED = 16  # bytes: Triton compiles for pointers that are multiples of this, or are not
MOST = 4096  # starts remembered: a service that sees ever new mesh sizes shall not grow
KNOWN = (3, 3), (3, 8)  # first and last Triton whose compiled kernels are known to start as `launch` starts them

_started: dict[tuple[Any, ...], tuple[Any, ...]] = {}


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """``kernel[grid](*arguments, **options)``, the first argument a tensor. Each argument keeps its dtype in all calls.

    Compiles once for each set of numbers and of pointers' alignments. A Triton that is not known, and Triton's
    interpreter, start their kernels as they do it themselves.
    """
    if not _DIRECT or not isinstance(kernel, triton.runtime.JITFunction):
        kernel[grid](*arguments, **options)
        return
    device = arguments[0].get_device()
    kinds = [a.data_ptr() % ALIGNED if isinstance(a, Tensor) else a for a in arguments]
    key = (id(kernel), device, *kinds)
    found = _started.get(key)
    if found is None:
        if len(_started) >= MOST:
            _started.clear()
        found = _started[key] = _compile(kernel, grid, arguments, options)
    run, function, metadata = found
    x, y = grid if len(grid) == 2 else (*grid, 1)
    stream = triton.runtime.driver.active.get_current_stream(device)
    run(x, y, 1, stream, function, metadata, None, None, None, *arguments)


def _compile(
    kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Any, ...]:
    compiled = kernel.warmup(*arguments, grid=grid, **options)
    compiled._init_handles()
    return compiled.run, compiled.function, compiled.packed_metadata


_DIRECT = KNOWN[0] <= tuple(map(int, triton.__version__.split(".")[:2])) <= KNOWN[1]
