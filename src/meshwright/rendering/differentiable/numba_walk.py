"""A walk over the mesh from one pixel towards its neighbour: `reference_walk` as kernels of the CPU backend."""

from __future__ import annotations

import numpy as np

from meshwright.rendering.differentiable.backend import BEYOND, STEPS
from meshwright.rendering.differentiable.numba_surface import add, corner, weights
from meshwright.rendering.threads import kernel

FOUND, NONE, LOST = 0, 1, 2


@kernel()
def _place(screen, v, way):
    """A vertex as the walk sees it: along and aside (times w), z, w. ``way`` is (px, py, axis, sign, perspective)."""
    px, py, axis, sign, perspective = way
    x, y, z, w = corner(screen, v, perspective)
    x, y = x - w * px, y - w * py
    return (sign * x, y, z, w) if axis == 0 else (sign * y, x, z, w)


@kernel()
def _crossing(p, q):
    """How many pixels along the walk the edge p-q is crossed."""
    return (p[0] * q[1] - q[0] * p[1]) / (p[3] * q[1] - q[3] * p[1])


@kernel()
def _is_ahead(p, q, r):
    """Whether r lies beyond the edge p-q, p on the side aside < 0."""
    if not (r[2] > 0.0 and np.isfinite(r[0]) and np.isfinite(r[1]) and np.isfinite(r[2])):
        return False
    qr, rp, pq = q[0] * r[1] - q[1] * r[0], r[0] * p[1] - r[1] * p[0], p[0] * q[1] - p[1] * q[0]
    return p[3] * qr + q[3] * rp + r[3] * pq < 0.0


@kernel()
def _exit(screen, face, way):
    """The edge through which the walk leaves its first face, the end with aside < 0 first; (-1, -1) if none."""
    i, j, best = -1, -1, -np.inf
    for e in range(3):
        u, v = face[e], face[(e + 1) % 3]
        p, q = _place(screen, u, way), _place(screen, v, way)
        if p[1] >= 0.0:
            u, v, p, q = v, u, q, p
        if p[1] < 0.0 <= q[1] and _crossing(p, q) > best:
            i, j, best = u, v, _crossing(p, q)
    return i, j


@kernel()
def _across(faces, neighbours, f, i, j):
    """The face beyond edge i-j of face f."""
    for e in range(3):
        u, v = faces[f, e], faces[f, (e + 1) % 3]
        if (u == i and v == j) or (u == j and v == i):
            return neighbours[f, e]
    return -1


@kernel()
def _tip(face, i, j):
    """The corner of a face that is not on its edge i-j."""
    for e in range(3):
        if face[e] != i and face[e] != j:
            return face[e]
    return -1


@kernel()
def _find(screen, faces, neighbours, f, target, way):
    """How the walk from face f ends, and the two vertices of the edge if it was ``FOUND``."""
    i, j = _exit(screen, faces[f], way)
    for _ in range(STEPS if i >= 0 else 0):
        p, q = _place(screen, i, way), _place(screen, j, way)
        if _crossing(p, q) > BEYOND:
            return (LOST if target < 0 else NONE), i, j
        f = _across(faces, neighbours, f, i, j)
        if f < 0:
            return FOUND, i, j
        tip = _tip(faces[f], i, j)
        r = _place(screen, tip, way)
        if not _is_ahead(p, q, r):
            return FOUND, i, j
        if f == target:
            return NONE, i, j
        i, j = (i, tip) if r[1] >= 0.0 else (tip, j)
    return LOST, i, j


@kernel()
def push_edge(screen, faces, neighbours, f, target, way, g, to_screen):
    """Add ``g`` times the gradient of the edge's position along the walk's axis to ``to_screen`` (V, 3)."""
    how, i, j = _find(screen, faces, neighbours, f, target, way)
    if how == NONE:
        return
    k, wk = i, 0.0
    if how == FOUND:
        p, q = _place(screen, i, way), _place(screen, j, way)
        wj = p[1] / (p[1] - q[1])
        wi = 1.0 - wj
    else:
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        a, b, c = corner(screen, i, way[4]), corner(screen, j, way[4]), corner(screen, k, way[4])
        wi, wj, wk = weights(a, b, c, way[0], way[1])
    axis = way[2]
    z = 0.0
    if way[4]:
        g /= wi * screen[i, 2] + wj * screen[j, 2] + wk * screen[k, 2]
        z = wi * screen[i, axis] + wj * screen[j, axis] + wk * screen[k, axis]
        z = -g * z / (wi * screen[i, 2] + wj * screen[j, 2] + wk * screen[k, 2])
    x, y = (g, 0.0) if axis == 0 else (0.0, g)
    add(to_screen, i, wi * x, wi * y, wi * z)
    add(to_screen, j, wj * x, wj * y, wj * z)
    add(to_screen, k, wk * x, wk * y, wk * z)
