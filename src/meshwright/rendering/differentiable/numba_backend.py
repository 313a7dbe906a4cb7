"""The CPU backend: numba kernels over views and bands of rows, on all cores.

Views are shared out among the cores; only where there are fewer views than cores are images cut into bands, each with a
gradient of its own. Images are allocated by numpy, which asks for huge pages: with small ones, the page faults of a
fresh image cost more than filling it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.numba_edges import edge_rows
from meshwright.rendering.differentiable.numba_surface import backward_rows, interpolate_rows
from meshwright.rendering.differentiable.numba_visibility import draw_rows, snap
from meshwright.rendering.threads import row_bands, worker_count


def visibility(
    screen: Float[Tensor, "n V 3"], faces: Int[Tensor, "F 3"], height: int, width: int, perspective: bool
) -> Int[Tensor, "n h w"]:
    """As `Backend.visibility`."""
    n = len(screen)
    face_id = torch.from_numpy(np.full((n, height, width), -1, np.int32))
    points = np.empty((n, screen.shape[1], 3))
    views, triangles, ids = screen.detach().numpy(), faces.numpy(), face_id.numpy()

    def draw(view: int, _band: int, low: int, high: int) -> None:
        draw_rows(points[view], triangles, low, high, ids[view])

    _over_rows(n, 1, lambda view, *_: snap(views[view], perspective, points[view]))
    _over_rows(n, height, draw)
    return face_id


def interpolate(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    attributes: Float[Tensor, "m V C"],
    perspective: bool,
) -> Float[Tensor, "n h w C"]:
    """As `Backend.interpolate`."""
    image = torch.from_numpy(np.empty((*face_id.shape, attributes.shape[-1]), np.float32))
    out, values = image.numpy(), _per_view(attributes, len(screen))
    views, triangles, ids = screen.detach().numpy(), faces.numpy(), face_id.numpy()

    def rows(view: int, _band: int, low: int, high: int) -> None:
        interpolate_rows(views[view], triangles, ids[view], values[view], perspective, low, high, out[view])

    _over_rows(len(screen), face_id.shape[1], rows)
    return image


def interpolate_backward(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    attributes: Float[Tensor, "m V C"],
    grad: Float[Tensor, "n h w C"],
    perspective: bool,
    need_screen: bool,
    need_attributes: bool,
) -> tuple[Float[Tensor, "n V 3"] | None, Float[Tensor, "m V C"] | None]:
    """As `Backend.interpolate_backward`."""
    n, height = face_id.shape[:2]
    values = _per_view(attributes, n)
    views, triangles, ids, flow = screen.detach().numpy(), faces.numpy(), face_id.numpy(), grad.numpy()
    to_screen = _accumulators(n, height, screen.shape[1:]) if need_screen else None
    to_attributes = _accumulators(n, height, attributes.shape[1:]) if need_attributes else None
    none = np.zeros((0, 1), np.float32)

    def rows(view: int, band: int, low: int, high: int) -> None:
        geometry = views[view], triangles, ids[view], values[view], flow[view]
        out = [none if parts is None else parts[band, view].numpy() for parts in (to_screen, to_attributes)]
        backward_rows(*geometry, perspective, low, high, *out)

    _over_rows(n, height, rows)
    return (
        None if to_screen is None else _summed(to_screen),
        None if to_attributes is None else _summed(to_attributes, len(attributes) == 1),
    )


def edge_backward(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    neighbours: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    image: Float[Tensor, "n h w C"],
    grad: Float[Tensor, "n h w C"],
    perspective: bool,
) -> Float[Tensor, "n V 3"]:
    """As `Backend.edge_backward`."""
    n, height = face_id.shape[:2]
    to_screen = _accumulators(n, height, screen.shape[1:])
    views, triangles, ids = screen.detach().numpy(), faces.numpy(), face_id.numpy()
    beside, colors, flow = neighbours.numpy(), image.detach().numpy(), grad.numpy()

    def rows(view: int, band: int, low: int, high: int) -> None:
        seen = ids[view], colors[view], flow[view]
        edge_rows(views[view], triangles, beside, *seen, perspective, low, high, to_screen[band, view].numpy())

    _over_rows(n, height, rows)
    return _summed(to_screen)


def _bands(n: int, height: int) -> list[tuple[int, int]]:
    return row_bands(height, -(-worker_count() // max(n, 1)))


def _over_rows(n: int, height: int, work: Callable[[int, int, int, int], object]) -> None:
    """Call ``work(view, band, row_start, row_end)`` for all rows of all views, on all cores."""
    items = [(view, band, *rows) for view in range(n) for band, rows in enumerate(_bands(n, height))]
    if len(items) < 2:
        for item in items:
            work(*item)
        return
    with ThreadPoolExecutor(min(worker_count(), len(items))) as pool:
        list(pool.map(lambda item: work(*item), items))


def _per_view(attributes: Float[Tensor, "m V C"], n: int) -> list[Float[np.ndarray, "V C"]]:
    values = attributes.detach().numpy()
    return [values[view % len(values)] for view in range(n)]


def _accumulators(n: int, height: int, shape: tuple[int, ...]) -> Float[Tensor, "bands n V C"]:
    """One gradient for each view and band: what one thread adds to, no other touches."""
    return torch.from_numpy(np.zeros((max(len(_bands(n, height)), 1), n, *shape), np.float32))


def _summed(parts: Float[Tensor, "bands n V C"], shared: bool = False) -> Float[Tensor, "m V C"]:
    """The gradient of all bands, and if it is ``shared`` of all views."""
    if shared:
        return parts.sum((0, 1))[None]
    return parts[0] if len(parts) == 1 else parts.sum(0)
