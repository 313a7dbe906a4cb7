"""The gradient of visible edges: `reference_edges` as kernels of the CPU backend."""

from __future__ import annotations

import numpy as np

from meshwright.rendering.differentiable.backend import RELATIVE_GAP
from meshwright.rendering.differentiable.numba_surface import clipped, corner, is_outside
from meshwright.rendering.differentiable.numba_walk import push_edge
from meshwright.rendering.threads import kernel


@kernel()
def _plane(screen, faces, f, px, py, perspective):
    """Nearness of face ``f`` at the pixel, and its change per pixel in x and in y (0 where the weights are clipped)."""
    ax, ay, az = corner(screen, faces[f, 0], px, py, perspective)
    bx, by, bz = corner(screen, faces[f, 1], px, py, perspective)
    cx, cy, cz = corner(screen, faces[f, 2], px, py, perspective)
    w0, w1, w2 = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    total = w0 + w1 + w2
    if is_outside(w0, w1, w2, total):
        w0, w1, w2 = clipped(w0, w1, w2, total)
        z = w0 * az + w1 * bz + w2 * cz
        return (1.0 / z if perspective else -z), 0.0, 0.0
    nx = (by - ay) * (cz - az) - (bz - az) * (cy - ay)
    ny = (bz - az) * (cx - ax) - (bx - ax) * (cz - az)
    depth = w0 * az + w1 * bz + w2 * cz
    if perspective:
        scale = 1.0 / depth
        return total * scale, nx * scale, ny * scale
    scale = 1.0 / total
    return -depth * scale, nx * scale, ny * scale


@kernel()
def _find_planes(screen, faces, ids, row, perspective, planes):
    """Nearness and slopes at each covered pixel of a row, into ``planes`` (w, 3)."""
    for col in range(ids.shape[1]):
        f = ids[row, col]
        if f >= 0:
            planes[col] = _plane(screen, faces, f, col + 0.5, row + 0.5, perspective)


@kernel()
def _owner(face, other, plane, plane_other, axis):
    """Which of two neighbours' faces may end between them: 0, 1 (the right or lower one), or -1 if none does."""
    if other < 0:
        return 0
    if face < 0:
        return 1
    gap = plane[0] - plane_other[0]
    recedes, approaches = -plane[1 + axis], -plane_other[1 + axis]
    if gap < 0.0:
        gap, recedes, approaches = -gap, plane_other[1 + axis], plane[1 + axis]
    near = max(plane[0], plane_other[0])
    if gap > max(recedes, approaches, 0.0) + RELATIVE_GAP * abs(near):
        return 0 if plane[0] > plane_other[0] else 1
    return -1


@kernel()
def _change(image, grad, row, col, row_other, col_other):
    """What the loss changes by if the edge between two neighbours moves one pixel towards the second."""
    g = 0.0
    for c in range(image.shape[2]):
        towards = np.float64(grad[row, col, c]) + np.float64(grad[row_other, col_other, c])
        g += towards * (np.float64(image[row, col, c]) - np.float64(image[row_other, col_other, c]))
    return 0.5 * g


@kernel()
def edge_rows(screen, faces, neighbours, ids, image, grad, perspective, row_start, row_end, to_screen):
    """Add the edges right of and below the pixels of rows ``row_start..row_end`` to ``to_screen`` (V, 3)."""
    height, width = ids.shape
    planes, planes_below = np.zeros((width, 3)), np.zeros((width, 3))
    _find_planes(screen, faces, ids, row_start, perspective, planes)
    for row in range(row_start, row_end):
        if row + 1 < height:
            _find_planes(screen, faces, ids, row + 1, perspective, planes_below)
        for col in range(width):
            f = ids[row, col]
            for axis in range(2):
                r, c = (row, col + 1) if axis == 0 else (row + 1, col)
                if r == height or c == width or ids[r, c] == f:
                    continue
                g = _change(image, grad, row, col, r, c)
                if g == 0.0 or not np.isfinite(g):
                    continue
                owner = _owner(f, ids[r, c], planes[col], planes[c] if axis == 0 else planes_below[c], axis)
                if owner == 0:
                    way = (col + 0.5, row + 0.5, axis, 1.0, perspective)
                    push_edge(screen, faces, neighbours, f, ids[r, c], way, g, to_screen)
                elif owner == 1:
                    way = (c + 0.5, r + 0.5, axis, -1.0, perspective)
                    push_edge(screen, faces, neighbours, ids[r, c], f, way, g, to_screen)
        planes, planes_below = planes_below, planes
