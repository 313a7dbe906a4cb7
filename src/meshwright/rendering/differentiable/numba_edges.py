"""The gradient of visible edges: the kernels of the CPU backend. The rule is that of `reference.owned_edges`."""

from __future__ import annotations

import numpy as np

from meshwright.rendering.differentiable.backend import RELATIVE_GAP, SLOPES
from meshwright.rendering.differentiable.numba_surface import add, clipped, corner, is_outside, weights
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
    """Which of two neighbours' faces ends between them: 0, 1 (the right or lower one), or -1 if the surface goes on."""
    if other < 0:
        return 0
    if face < 0:
        return 1
    gap = plane[0] - plane_other[0]
    recedes, approaches = -plane[axis], -plane_other[axis]
    if gap < 0.0:
        gap, recedes, approaches = -gap, plane_other[axis], plane[axis]
    near = max(plane[0], plane_other[0])
    if gap > SLOPES * max(recedes, approaches, 0.0) + RELATIVE_GAP * abs(near):
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
def _push(screen, faces, f, row, col, axis, g, perspective, to_screen):
    """Move the surface point seen at a pixel by one pixel along an axis (1 = x, 2 = y): add ``g`` to its gradient."""
    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
    px, py = col + 0.5, row + 0.5
    w0, w1, w2 = weights(screen, i, j, k, px, py, perspective)
    z = 0.0
    if perspective:
        g /= w0 * screen[i, 2] + w1 * screen[j, 2] + w2 * screen[k, 2]
        z = -g * (px if axis == 1 else py)
    x, y = (g, 0.0) if axis == 1 else (0.0, g)
    add(to_screen, i, w0 * x, w0 * y, w0 * z)
    add(to_screen, j, w1 * x, w1 * y, w1 * z)
    add(to_screen, k, w2 * x, w2 * y, w2 * z)


@kernel()
def edge_rows(screen, faces, ids, image, grad, perspective, row_start, row_end, to_screen):
    """Add the edges right of and below the pixels of rows ``row_start..row_end`` to ``to_screen`` (V, 3)."""
    height, width = ids.shape
    planes, planes_below = np.zeros((width, 3)), np.zeros((width, 3))
    _find_planes(screen, faces, ids, row_start, perspective, planes)
    for row in range(row_start, row_end):
        if row + 1 < height:
            _find_planes(screen, faces, ids, row + 1, perspective, planes_below)
        for col in range(width):
            f = ids[row, col]
            for axis in (1, 2):
                r, c = (row, col + 1) if axis == 1 else (row + 1, col)
                if r == height or c == width or ids[r, c] == f:
                    continue
                g = _change(image, grad, row, col, r, c)
                if g == 0.0 or not np.isfinite(g):
                    continue
                other = planes[c] if axis == 1 else planes_below[c]
                owner = _owner(f, ids[r, c], planes[col], other, axis)
                if owner == 0:
                    _push(screen, faces, f, row, col, axis, g, perspective, to_screen)
                elif owner == 1:
                    _push(screen, faces, ids[r, c], r, c, axis, g, perspective, to_screen)
        planes, planes_below = planes_below, planes
