"""A closed triangle mesh as half-edges, and the three changes that keep it closed and manifold: split, collapse, flip.

Half-edge ``h`` is side ``h % 3`` of face ``h // 3``. It runs from ``start[h]`` to ``start[ahead(h)]``; ``twin[h]`` is
the same edge in the neighbouring face. ``out[v]`` is one half-edge that leaves vertex v. ``used`` are the vertices and
faces in use; dead faces have ``start`` -1, dead vertices ``out`` -1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.mesh import Mesh
from meshwright.rendering.threads import kernel


def half_edges(
    mesh: Mesh, room: int
) -> tuple[
    Float[np.ndarray, "p 3"], Int[np.ndarray, "h"], Int[np.ndarray, "h"], Int[np.ndarray, "p"], Int[np.ndarray, "2"]
]:
    """``points, start, twin, out, used`` of a closed manifold mesh, with room for ``room`` faces."""
    count, sides = len(mesh.vertices), 3 * len(mesh.faces)
    points = np.zeros((count + room // 2 + 1, 3))
    points[:count] = mesh.vertices
    start, twin = np.full(3 * room, -1, np.int64), np.full(3 * room, -1, np.int64)
    start[:sides] = mesh.faces.reshape(-1)
    end = np.roll(mesh.faces, -1, 1).reshape(-1).astype(np.int64)
    forward, backward = np.argsort(start[:sides] * count + end), np.argsort(end * count + start[:sides])
    twin[forward] = backward
    out = np.full(len(points), -1, np.int64)
    out[start[:sides]] = np.arange(sides)
    return points, start, twin, out, np.array([count, len(mesh.faces)], np.int64)


@kernel()
def ahead(h):
    """The next side of the same face."""
    return h - 2 if h % 3 == 2 else h + 1


@kernel()
def behind(h):
    """The side before in the same face."""
    return h + 2 if h % 3 == 0 else h - 1


@kernel()
def split(points, start, twin, out, used, h):
    """Halve the edge of ``h``; there must be room for a vertex and two faces."""
    t, m, p = twin[h], used[0], 3 * used[1]
    q = p + 3
    hn, hp, tp = ahead(h), behind(h), behind(t)
    b, c, d = start[hn], start[hp], start[tp]
    beyond_bc, beyond_db = twin[hn], twin[tp]
    for k in range(3):
        points[m, k] = 0.5 * (points[start[h], k] + points[b, k])
    start[hn] = start[t] = start[p] = start[q + 1] = m
    start[p + 1] = start[q] = b
    start[p + 2], start[q + 2] = c, d
    _link(twin, p + 1, beyond_bc)
    _link(twin, p + 2, hn)
    _link(twin, q, p)
    _link(twin, q + 1, tp)
    _link(twin, q + 2, beyond_db)
    out[m], out[b] = p, q
    used[0] += 1
    used[1] += 2


@kernel()
def collapse(start, twin, out, h):
    """Pull the start of ``h`` into its end; only the two vertices opposite may be neighbours of both."""
    t = twin[h]
    hn, hp, tn, tp = ahead(h), behind(h), ahead(t), behind(t)
    a, b, c, d = start[h], start[hn], start[hp], start[tp]
    around = h
    while True:
        start[around] = b
        around = twin[behind(around)]
        if around == h:
            break
    bc, ca, ad, db = twin[hn], twin[hp], twin[tn], twin[tp]
    _link(twin, bc, ca)
    _link(twin, ad, db)
    out[a], out[b], out[c], out[d] = -1, ca, bc, ad
    for k in range(3):
        start[h - h % 3 + k] = start[t - t % 3 + k] = -1


@kernel()
def flip(start, twin, out, h):
    """Join the two vertices opposite the edge of ``h`` in its place; they must not be joined yet."""
    t = twin[h]
    hn, hp, tn, tp = ahead(h), behind(h), ahead(t), behind(t)
    a, b, c, d = start[h], start[hn], start[hp], start[tp]
    bc, ca, ad, db = twin[hn], twin[hp], twin[tn], twin[tp]
    start[h], start[hn], start[hp] = d, c, a
    start[t], start[tn], start[tp] = c, d, b
    _link(twin, hn, ca)
    _link(twin, hp, ad)
    _link(twin, tn, db)
    _link(twin, tp, bc)
    out[a], out[b], out[c], out[d] = hp, tp, hn, tn


@kernel()
def _link(twin, one, other):
    twin[one], twin[other] = other, one


@kernel()
def joined(start, twin, out, v, w):
    """Whether an edge joins the two vertices."""
    first = around = out[v]
    while True:
        if start[twin[around]] == w:
            return True
        around = twin[behind(around)]
        if around == first:
            return False


@kernel()
def valence(twin, out, v):
    """How many neighbours a vertex has."""
    first = around = out[v]
    count = 0
    while True:
        count += 1
        around = twin[behind(around)]
        if around == first:
            return count
