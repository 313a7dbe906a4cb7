"""The gradient of visible edges: `reference_edges` as kernels of the CPU backend.

Nearness and slopes of the visible planes are kept for two rows at a time. Background counts as infinitely far with no
slope, and within one plane the gap to the next pixel is the slope itself: one comparison tells for any pair.
"""

from __future__ import annotations

import numpy as np

from meshwright.rendering.differentiable.backend import RELATIVE_GAP
from meshwright.rendering.differentiable.numba_surface import areas, clipped, corner, corner_ids, is_outside
from meshwright.rendering.differentiable.numba_walk import push_edge
from meshwright.rendering.threads import kernel


@kernel()
def _plane(screen, faces, f, px, py, perspective):
    """Nearness of a face at the pixel, its change per pixel in x and in y (0 if clipped), and whether it is clipped."""
    i, j, k = corner_ids(faces, f)
    a, b, c = corner(screen, i, perspective), corner(screen, j, perspective), corner(screen, k, perspective)
    ax, ay, bx, by, cx, cy, w0, w1, w2 = areas(a, b, c, px, py)
    total = w0 + w1 + w2
    if is_outside(w0, w1, w2, total):
        w0, w1, w2 = clipped(w0, w1, w2, total)
        z = w0 * a[2] + w1 * b[2] + w2 * c[2]
        return (1.0 / z if perspective else -z), 0.0, 0.0, True
    nx = (by - ay) * (c[2] - a[2]) - (b[2] - a[2]) * (cy - ay)
    ny = (b[2] - a[2]) * (cx - ax) - (bx - ax) * (c[2] - a[2])
    depth = w0 * a[2] + w1 * b[2] + w2 * c[2]
    scale = 1.0 / depth if perspective else 1.0 / total
    return (total if perspective else -depth) * scale, nx * scale, ny * scale, False


@kernel()
def _find_planes(screen, faces, ids, row, perspective, planes):
    """Nearness (-inf for background) and slopes in x and y at each pixel of a row, into ``planes`` (3, w)."""
    last = -1
    near, along_x, along_y, outside = -np.inf, 0.0, 0.0, False
    for col in range(ids.shape[1]):
        f = ids[row, col]
        if f == last and not outside:
            near += along_x
        elif f >= 0:
            near, along_x, along_y, outside = _plane(screen, faces, f, col + 0.5, row + 0.5, perspective)
        else:
            near, along_x, along_y, outside = -np.inf, 0.0, 0.0, False
        last = f
        planes[0, col], planes[1, col], planes[2, col] = near, along_x, along_y


@kernel()
def _owner(near, other, slope, slope_other):
    """Which of two neighbours' faces may end between them: 0, 1 (the right or lower one), or -1 if none does."""
    gap = near - other
    tolerance = RELATIVE_GAP * abs(max(near, other))
    if gap + min(slope, slope_other, 0.0) > tolerance:
        return 0
    if gap + max(slope, slope_other, 0.0) < -tolerance:
        return 1
    return -1


@kernel()
def _change(image, grad, row, col, row_other, col_other):
    """What the loss changes by if the edge between two neighbours moves one pixel towards the second."""
    g = 0.0
    for n in range(image.shape[2]):
        towards = np.float64(grad[row, col, n]) + np.float64(grad[row_other, col_other, n])
        g += towards * (np.float64(image[row, col, n]) - np.float64(image[row_other, col_other, n]))
    return 0.5 * g


@kernel()
def _push_pair(screen, faces, neighbours, ids, image, grad, perspective, row, col, axis, owner, to_screen):
    """Handle a pair with an owner: the pixel and the one right of (axis 0) or below it (axis 1)."""
    r, c = (row, col + 1) if axis == 0 else (row + 1, col)
    g = _change(image, grad, row, col, r, c)
    if g == 0.0 or not np.isfinite(g) or ids[row, col] == ids[r, c]:
        return
    if owner == 0:
        way = (col + 0.5, row + 0.5, axis, 1.0, perspective)
        push_edge(screen, faces, neighbours, ids[row, col], ids[r, c], way, g, to_screen)
    else:
        way = (c + 0.5, r + 0.5, axis, -1.0, perspective)
        push_edge(screen, faces, neighbours, ids[r, c], ids[row, col], way, g, to_screen)


@kernel()
def edge_rows(screen, faces, neighbours, ids, image, grad, perspective, row_start, row_end, to_screen):
    """Add the edges right of and below the pixels of rows ``row_start..row_end`` to ``to_screen`` (V, 3)."""
    height, width = ids.shape
    here, below = np.empty((3, width)), np.empty((3, width))
    _find_planes(screen, faces, ids, row_start, perspective, here)
    for row in range(row_start, row_end):
        if row + 1 < height:
            _find_planes(screen, faces, ids, row + 1, perspective, below)
        for col in range(width):
            near = here[0, col]
            if col + 1 < width:
                owner = _owner(near, here[0, col + 1], here[1, col], here[1, col + 1])
                if owner >= 0:
                    _push_pair(screen, faces, neighbours, ids, image, grad, perspective, row, col, 0, owner, to_screen)
            if row + 1 < height:
                owner = _owner(near, below[0, col], here[2, col], below[2, col])
                if owner >= 0:
                    _push_pair(screen, faces, neighbours, ids, image, grad, perspective, row, col, 1, owner, to_screen)
        here, below = below, here
