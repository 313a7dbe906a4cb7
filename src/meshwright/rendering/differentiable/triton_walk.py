"""A walk over the mesh from one pixel towards its neighbour, on CUDA, a lane a walk: `reference_walk`.

In float64, the operations in the order of `numba_walk` and not to be fused: degenerate faces decide as they do there.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

import triton
import triton.language as tl

from meshwright.rendering.differentiable.triton_surface import LARGEST, corner_ids, plane, weights


@triton.jit
def walk(
    screen, faces, neighbours, face_id, pairs, changes, count, to_screen, n_vertices, height, width,
    OUTSIDE: tl.constexpr, GAP: tl.constexpr, STEPS: tl.constexpr, BEYOND: tl.constexpr, PERSPECTIVE: tl.constexpr,
    LANES: tl.constexpr,
):  # fmt: skip
    """Walk from the owner of each listed pair and hand what moving the edge changes to the vertices that hold it."""
    total = tl.load(count)
    for first in range(tl.program_id(0) * LANES, total, tl.num_programs(0) * LANES):
        item = first + tl.arange(0, LANES)
        listed = item < total
        pair = tl.load(pairs + item, listed, 0)
        g = tl.load(changes + item, listed, 0.0).to(tl.float64)
        offset, axis, second = pair >> 2, (pair >> 1) & 1, (pair & 1) == 1
        beside = offset + tl.where(axis == 0, 1, width)
        owner = tl.where(second, beside, offset)
        face = tl.load(face_id + owner, listed, 0)
        target = tl.load(face_id + tl.where(second, offset, beside), listed, -1)
        x, y = (owner % width).to(tl.float64) + 0.5, (owner // width % height).to(tl.float64) + 0.5
        base = (owner // width // height) * n_vertices
        sign = tl.where(second, -1.0, 1.0).to(tl.float64)
        listed &= _ends(screen, faces, base, face, target, x, y, axis, sign, listed, OUTSIDE, GAP, PERSPECTIVE)
        i, pi, qi, wi, j, pj, qj, wj, crossed = _exit(screen, faces, base, face, x, y, axis, sign, listed, PERSPECTIVE)
        lost, walking, found = listed & ~crossed, listed & crossed, listed & ~listed
        at, step = face, 0
        while (tl.max(walking.to(tl.int32), 0) > 0) & (step < STEPS):
            step += 1
            beyond = walking & (_crossing(pi, qi, wi, pj, qj, wj) > BEYOND)
            lost, walking = lost | (beyond & (target < 0)), walking & ~beyond
            at, tip = _across(faces, neighbours, at, i, j, walking)
            border = walking & (at < 0)
            found, walking = found | border, walking & ~border
            pt, qt, wt = _place(screen, base, tip, x, y, axis, sign, walking, PERSPECTIVE)
            z = tl.load(screen + (base + tip) * 3 + 2, walking, 1.0)
            turned = walking & ~_is_ahead(pi, qi, wi, pj, qj, wj, pt, qt, wt, z)
            found, walking = found | turned, walking & ~turned & (at != target)
            upper, lower = walking & (qt >= 0.0), walking & (qt < 0.0)
            j, pj, qj, wj = _where(upper, tip, pt, qt, wt, j, pj, qj, wj)
            i, pi, qi, wi = _where(lower, tip, pt, qt, wt, i, pi, qi, wi)
        part = qi / tl.where(qi == qj, 1.0, qi - qj)
        _push(
            to_screen, base, i, j, j, 1.0 - part, part, 0.0 * part, pi, pj, pj, wi, wj, wj, g, x, y, axis, sign, found,
            PERSPECTIVE,
        )  # fmt: skip
        lost = lost | walking
        if tl.max(lost.to(tl.int32), 0) > 0:
            a, pa, qa, wa, b, pb, qb, wb, c, pc, qc, wc = _places(
                screen, faces, base, face, x, y, axis, sign, lost, PERSPECTIVE
            )
            ba, bb, bc, _, _ = weights(pa, qa, pb, qb, pc, qc, OUTSIDE)
            _push(to_screen, base, a, b, c, ba, bb, bc, pa, pb, pc, wa, wb, wc, g, x, y, axis, sign, lost, PERSPECTIVE)


@triton.jit
def _ends(
    screen, faces, base, face, target, x, y, axis, sign, listed, OUTSIDE: tl.constexpr, GAP: tl.constexpr,
    PERSPECTIVE: tl.constexpr,
):  # fmt: skip
    """Whether the face at the pixel may end before the next one: background, or a gap that no slope explains."""
    both = listed & (target >= 0)
    there_x, there_y = x + tl.where(axis == 0, sign, 0.0), y + tl.where(axis == 0, 0.0, sign)
    key, slope_x, slope_y, _ = plane(screen, faces, base, face, x, y, both, OUTSIDE, 0.0, PERSPECTIVE)
    other, other_x, other_y, _ = plane(screen, faces, base, target, there_x, there_y, both, OUTSIDE, 0.0, PERSPECTIVE)
    slope = sign * tl.where(axis == 0, slope_x, slope_y)
    other_slope = sign * tl.where(axis == 0, other_x, other_y)
    explained = tl.maximum(tl.maximum(-slope, -other_slope), 0.0) + GAP * tl.abs(key)
    return (target < 0) | (key - other > explained)


@triton.jit
def _places(screen, faces, base, face, x, y, axis, sign, inside, PERSPECTIVE: tl.constexpr):
    """The ids of a face's corners, and where the walk sees them."""
    a, b, c = corner_ids(faces, face, inside)
    pa, qa, wa = _place(screen, base, a, x, y, axis, sign, inside, PERSPECTIVE)
    pb, qb, wb = _place(screen, base, b, x, y, axis, sign, inside, PERSPECTIVE)
    pc, qc, wc = _place(screen, base, c, x, y, axis, sign, inside, PERSPECTIVE)
    return a, pa, qa, wa, b, pb, qb, wb, c, pc, qc, wc


@triton.jit
def _exit(screen, faces, base, face, x, y, axis, sign, inside, PERSPECTIVE: tl.constexpr):
    """The edge through which the walk leaves its first face: of those that it crosses, the farthest. And if any."""
    a, pa, qa, wa, b, pb, qb, wb, c, pc, qc, wc = _places(
        screen, faces, base, face, x, y, axis, sign, inside, PERSPECTIVE
    )
    at_ab, at_bc, at_ca = _way(pa, qa, wa, pb, qb, wb), _way(pb, qb, wb, pc, qc, wc), _way(pc, qc, wc, pa, qa, wa)
    farthest = tl.maximum(tl.maximum(at_ab, at_bc), at_ca)
    on_ab, on_bc = at_ab == farthest, (at_bc == farthest) & (at_ab != farthest)
    i, pi, qi, wi = _where(on_bc, b, pb, qb, wb, c, pc, qc, wc)
    i, pi, qi, wi = _where(on_ab, a, pa, qa, wa, i, pi, qi, wi)
    j, pj, qj, wj = _where(on_bc, c, pc, qc, wc, a, pa, qa, wa)
    j, pj, qj, wj = _where(on_ab, b, pb, qb, wb, j, pj, qj, wj)
    before, p, q, w = _where(qi < 0, i, pi, qi, wi, j, pj, qj, wj)
    j, pj, qj, wj = _where(qi < 0, j, pj, qj, wj, i, pi, qi, wi)
    return before, p, q, w, j, pj, qj, wj, farthest > float("-inf")


@triton.jit
def _across(faces, neighbours, at, i, j, walking):
    """The face beyond the edge i-j of a face (-1 = none), and its corner that is not on that edge."""
    a, b, c = corner_ids(faces, at, walking)
    side = tl.where(_joins(a, b, i, j), 0, tl.where(_joins(b, c, i, j), 1, 2))
    at = tl.where(walking, tl.load(neighbours + at.to(tl.int64) * 3 + side, walking, -1), at)
    a, b, c = corner_ids(faces, at, walking & (at >= 0))
    return at, tl.where((a != i) & (a != j), a, tl.where((b != i) & (b != j), b, c))


@triton.jit
def _is_ahead(pi, qi, wi, pj, qj, wj, pt, qt, wt, z):
    """Whether a face's tip lies beyond its edge i-j, as the walk sees it; one behind the camera does not."""
    turn = wi * (pj * qt - qj * pt) + wj * (pt * qi - qt * pi) + wt * (pi * qj - qi * pj)
    return (z > 0.0) & (tl.abs(pt) + tl.abs(qt) + z < float("inf")) & (turn < 0.0)


@triton.jit
def _place(screen, base, vertex, x, y, axis, sign, inside, PERSPECTIVE: tl.constexpr):
    """A vertex from the pixel's centre: along and aside of the walk (times w), and w."""
    at = screen + (base + vertex) * 3
    vx = tl.load(at, inside, 0.0).to(tl.float64)
    vy = tl.load(at + 1, inside, 0.0).to(tl.float64)
    w = tl.load(at + 2, inside, 1.0).to(tl.float64)
    if not PERSPECTIVE:
        w = w * 0.0 + 1.0
    vx, vy = vx - w * x, vy - w * y
    return sign * tl.where(axis == 0, vx, vy), tl.where(axis == 0, vy, vx), w


@triton.jit
def _crossing(pi, qi, wi, pj, qj, wj):
    """How many pixels along the walk an edge is crossed."""
    return (pi * qj - pj * qi) / (wi * qj - wj * qi)


@triton.jit
def _way(pi, qi, wi, pj, qj, wj):
    """`_crossing` of an edge whose ends lie on different sides of the walk, else minus infinity."""
    crossing = _crossing(pi, qi, wi, pj, qj, wj)
    return tl.where(((qi < 0.0) != (qj < 0.0)) & (crossing == crossing), crossing, float("-inf"))


@triton.jit
def _where(chosen, a, pa, qa, wa, b, pb, qb, wb):
    return tl.where(chosen, a, b), tl.where(chosen, pa, pb), tl.where(chosen, qa, qb), tl.where(chosen, wa, wb)


@triton.jit
def _joins(a, b, i, j):
    return ((a == i) & (b == j)) | ((a == j) & (b == i))


@triton.jit
def _push(
    to_screen, base, a, b, c, ba, bb, bc, pa, pb, pc, wa, wb, wc, g, x, y, axis, sign, held, PERSPECTIVE: tl.constexpr
):
    """Hand g to the point with frozen weights (ba, bb, bc): d u / d X_i = b_i / w, d u / d z_i = -b_i u / w."""
    w = ba * wa + bb * wb + bc * wc
    pull = g / tl.where(held, w, 1.0)
    u = tl.where(axis == 0, x, y) + sign * (ba * pa + bb * pb + bc * pc) / tl.where(held, w, 1.0)
    _add(to_screen, base + a, pull * ba, u, axis, held, PERSPECTIVE)
    _add(to_screen, base + b, pull * bb, u, axis, held, PERSPECTIVE)
    _add(to_screen, base + c, pull * bc, u, axis, held, PERSPECTIVE)


@triton.jit
def _add(to_screen, vertex, push, u, axis, held, PERSPECTIVE: tl.constexpr):
    held = held & (push != 0.0) & (tl.abs(push) < LARGEST) & (tl.abs(push * u) < LARGEST)
    tl.atomic_add(to_screen + vertex * 3 + axis, push.to(tl.float32), held, sem="relaxed")
    if PERSPECTIVE:
        tl.atomic_add(to_screen + vertex * 3 + 2, (-push * u).to(tl.float32), held, sem="relaxed")
