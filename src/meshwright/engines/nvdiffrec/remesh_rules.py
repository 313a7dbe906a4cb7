"""Which edges of a mesh are split, collapsed and flipped, so that triangles get better and the surface stays.

Meshes are half-edges (`halfedges`); edges are gone through in order of their number.
"""

from __future__ import annotations

import numpy as np

from meshwright.engines.nvdiffrec.halfedges import behind, collapse, flip, joined, split, valence
from meshwright.rendering.threads import kernel

PASSES = 6  # over all edges, of flips that each may make others right
NEEDLE = 0.2  # of the length below which edges are collapsed: shorter ones are so at creases too
THIN = 0.05  # height, of its longest side, below which a face's normal says nothing
ABOUT = 0.3  # cosine to the normal around a vertex that faces keep where thin ones had no normal of their own


@kernel()
def split_long(points, start, twin, out, used, kept, longest, crease):
    """Halve every edge longer than ``longest``, as far as there is room; halves of creases are ``kept``."""
    for h in range(3 * used[1]):
        t = twin[h]
        if h > t or _length(points, start[h], start[t]) <= longest:
            continue
        if used[1] + 2 > len(start) // 3 or used[0] + 1 > len(points):
            return
        kept[used[0]] = _creased(points, start, h, t, crease)
        split(points, start, twin, out, used, h)


@kernel()
def collapse_short(points, start, twin, out, used, kept, shortest, longest, turned):
    """Pull one end of every edge shorter than ``shortest`` into the other, where the surface stays as it is.

    The end that goes is not ``kept``, unless the edge is a needle's. No face that stays turns its normal by more than
    the cosine ``turned``, and no edge gets longer than ``longest``.
    """
    for h in range(3 * used[1]):
        if start[h] < 0 or _length(points, start[h], start[twin[h]]) >= shortest:
            continue
        free = not kept[start[h]] or _length(points, start[h], start[twin[h]]) < NEEDLE * shortest
        if free and _may_collapse(points, start, twin, out, h, longest, turned):
            collapse(start, twin, out, h)


@kernel()
def flip_edges(points, start, twin, out, used, crease):
    """Flip edges whose opposite angles sum to more than 180 degrees, except at creases."""
    for _ in range(PASSES):
        flips = 0
        for h in range(3 * used[1]):
            if start[h] >= 0 and h < twin[h] and _should_flip(points, start, twin, out, h, crease):
                flip(start, twin, out, h)
                flips += 1
        if flips == 0:
            break


@kernel()
def _may_collapse(points, start, twin, out, h, longest, turned):
    a, b = start[h], start[twin[h]]
    c, d = start[behind(h)], start[behind(twin[h])]
    if c == d or valence(twin, out, c) < 4 or valence(twin, out, d) < 4:
        return False
    facing = _facing(points, start, twin, a, h)
    around = twin[behind(h)]
    while around != h:
        v, w = start[twin[around]], start[behind(around)]  # face (a, v, w)
        if v != c and v != d and joined(start, twin, out, v, b):
            return False
        if _length(points, v, b) > longest:
            return False
        if v != b and w != b:
            one, other, least = _area(points, a, v, w), _area(points, b, v, w), turned
            if _thin(points, a, v, w):
                one, least = facing, ABOUT
            if _dot(one, other) <= least * np.sqrt(_dot(one, one) * _dot(other, other)):
                return False
        around = twin[behind(around)]
    return True


@kernel()
def _should_flip(points, start, twin, out, h, crease):
    t = twin[h]
    a, b, c, d = start[h], start[t], start[behind(h)], start[behind(t)]
    if _angle(points, c, a, b) + _angle(points, d, a, b) <= np.pi + 1e-6:
        return False
    if _creased(points, start, h, t, crease):
        return False
    if valence(twin, out, a) < 4 or valence(twin, out, b) < 4 or joined(start, twin, out, c, d):
        return False
    new, next_to = _area(points, a, d, c), _area(points, b, c, d)
    whole = _sum(_area(points, a, b, c), _area(points, b, a, d))
    least = 0.05 * np.sqrt(_dot(whole, whole))
    return _dot(new, whole) > least * np.sqrt(_dot(new, new)) and _dot(next_to, whole) > least * np.sqrt(
        _dot(next_to, next_to)
    )


@kernel()
def _facing(points, start, twin, v, h):
    """The sum of the normals of the faces around the start v of ``h``, each as long as its face's area."""
    total, around = (0.0, 0.0, 0.0), h
    while True:
        total = _sum(total, _area(points, v, start[twin[around]], start[behind(around)]))
        around = twin[behind(around)]
        if around == h:
            return total


@kernel()
def _creased(points, start, h, t, crease):
    """Whether an edge (``h`` and its twin ``t``) lies between two faces that meet at an angle, neither of them thin."""
    a, b, c, d = start[h], start[t], start[behind(h)], start[behind(t)]
    one, other = _area(points, a, b, c), _area(points, b, a, d)
    if _thin(points, a, b, c) or _thin(points, b, a, d):
        return False
    return _dot(one, other) < crease * np.sqrt(_dot(one, one) * _dot(other, other))


@kernel()
def _thin(points, a, b, c):
    longest = max(_length(points, a, b), _length(points, b, c), _length(points, c, a))
    area = _area(points, a, b, c)
    return 2 * np.sqrt(_dot(area, area)) < THIN * longest**2


# Vectors of three are tuples: a kernel would take arrays from the heap, at ten times the cost of the arithmetic.


@kernel()
def _length(points, a, b):
    u = _apart(points, a, b)
    return np.sqrt(_dot(u, u))


@kernel()
def _angle(points, at, a, b):
    area = _area(points, at, a, b)
    return np.arctan2(2 * np.sqrt(_dot(area, area)), _dot(_apart(points, at, a), _apart(points, at, b)))


@kernel()
def _area(points, a, b, c):
    """The face's normal, as long as its area."""
    u, v = _apart(points, a, b), _apart(points, a, c)
    return 0.5 * (u[1] * v[2] - u[2] * v[1]), 0.5 * (u[2] * v[0] - u[0] * v[2]), 0.5 * (u[0] * v[1] - u[1] * v[0])


@kernel()
def _apart(points, a, b):
    return points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]


@kernel()
def _sum(a, b):
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@kernel()
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
