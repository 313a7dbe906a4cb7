"""Which face each pixel sees, on CUDA: exact integer coverage, one 64-bit atomic maximum a fragment.

`_snap` rounds each view's vertices to the grid. `_small` gives each lane one face and walks the pixels of its box, its
edge functions stepped along in 64-bit integers, its key in float64. Faces of more than `SMALL_PX` pixels on a side go
to a list, which `_large` walks in blocks of pixels. A fragment is (key as a sortable integer) << 32 | (ones - face), so
that the maximum is the nearest face and, of equals, the lowest id: the order of arrival cannot matter.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import NEAR, UNITS
from meshwright.rendering.differentiable.triton_launch import launch
from meshwright.rendering.differentiable.triton_surface import append, share

SMALL_PX = 20  # measured on an H100: 8, 12 and 16 are slower where faces are larger
FARTHEST = 2**30
LANES = 32  # faces of a program: one warp, so that lanes wait for few others
TILE_H, TILE_W = 4, 8  # pixels of a block of a large face
SPLIT = 8  # programs that share a large face, unless it has at most `ALONE` tiles
ALONE = 64
PROGRAMS = 8448  # that walk the list of large faces
EMPTY = -(2**63)
BLOCK = 1024


def visibility(
    screen: Float[Tensor, "n V 3"], faces: Int[Tensor, "F 3"], height: int, width: int, perspective: bool
) -> Int[Tensor, "n h w"]:
    """Id of the nearest face at each pixel centre, int32, -1 where there is none."""
    n, n_vertices, n_faces = len(screen), screen.shape[1], len(faces)
    ids = torch.empty((n, height, width), dtype=torch.int32, device=screen.device)
    if ids.numel() == 0:
        return ids
    if n_faces == 0 or n_vertices == 0:
        return ids.fill_(-1)
    # the low words of EMPTY are zeros: of n + 1 more entries they serve as counters
    packed = torch.full((ids.numel() + n + 1,), EMPTY, dtype=torch.int64, device=screen.device)
    counters = packed[ids.numel() :].view(torch.int32)
    snapped = torch.empty((n, n_vertices, 4), dtype=torch.int32, device=screen.device)
    large = torch.empty(n * n_faces, dtype=torch.int32, device=screen.device)
    sizes = (n, n_vertices, n_faces, height, width)
    launch(
        _snap, (triton.cdiv(n_vertices, BLOCK), n),
        screen, counters, snapped, n_vertices, UNITS, FARTHEST, perspective, BLOCK,
    )  # fmt: skip
    launch(
        _small, (triton.cdiv(n_faces, LANES), n),
        snapped, faces, packed, large, counters, *sizes, NEAR, UNITS, SMALL_PX, perspective, LANES, num_warps=1,
    )  # fmt: skip
    launch(
        _large, (PROGRAMS,),
        snapped, faces, packed, large, counters, *sizes, UNITS, perspective, TILE_H, TILE_W, SPLIT, ALONE, num_warps=1,
    )  # fmt: skip
    launch(_unpack, (triton.cdiv(ids.numel(), BLOCK),), packed, ids, ids.numel(), BLOCK)
    return ids


@triton.jit
def _snap(
    screen, counters, snapped, n_vertices, UNITS: tl.constexpr, FARTHEST: tl.constexpr, PERSPECTIVE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Grid coordinates (x, y) and z's bits of each vertex, 0 for one that is not finite or behind; the farthest z.

    The bits of positive floats sort like integers, so the farthest z of a view is an integer maximum.
    """
    view = tl.program_id(1)
    vertex = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = vertex < n_vertices
    at = view.to(tl.int64) * n_vertices + vertex
    x = tl.load(screen + at * 3, inside, 0.0)
    y = tl.load(screen + at * 3 + 1, inside, 0.0)
    z = tl.load(screen + at * 3 + 2, inside, 0.0)
    usable = (tl.abs(x) < float("inf")) & (tl.abs(y) < float("inf")) & (z < float("inf")) & (z > 0.0)
    bits = tl.where(usable, z, 0.0).to(tl.int32, bitcast=True)
    tl.atomic_max(counters + view * 2, tl.max(bits, 0), sem="relaxed")
    w = tl.where(usable, z, 1.0).to(tl.float64) if PERSPECTIVE else 1.0
    tl.store(snapped + at * 4, _rounded(tl.where(usable, x, 0.0).to(tl.float64) / w * UNITS, FARTHEST), inside)
    tl.store(snapped + at * 4 + 1, _rounded(tl.where(usable, y, 0.0).to(tl.float64) / w * UNITS, FARTHEST), inside)
    tl.store(snapped + at * 4 + 2, bits, inside)


@triton.jit
def _rounded(x, FARTHEST: tl.constexpr):
    """To the nearest integer, halves to even: adding 1.5 * 2^52 leaves no fraction bits in a float64."""
    magic = 6755399441055744.0
    return (tl.minimum(tl.maximum(x, -FARTHEST), FARTHEST) + magic - magic).to(tl.int32)


@triton.jit
def _corner(snapped, faces, view, n_vertices, face, k, inside):
    vertex = tl.load(faces + face * 3 + k, inside, 0)
    at = snapped + (view.to(tl.int64) * n_vertices + vertex) * 4
    z = tl.load(at + 2, inside, 0).to(tl.float32, bitcast=True)
    return tl.load(at, inside, 0), tl.load(at + 1, inside, 0), z


@triton.jit
def _key(z, PERSPECTIVE: tl.constexpr):
    """Larger for nearer points and linear over the screen within a face."""
    return 1.0 / z.to(tl.float64) if PERSPECTIVE else -(z.to(tl.float64))


@triton.jit
def _sortable(key):
    """A float64 key, rounded to float32, as an integer that sorts like it (bits of negative floats sort backwards)."""
    bits = key.to(tl.float32).to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64)


@triton.jit
def _box(ax, ay, bx, by, cx, cy, height, width):
    """First and last column and row of the pixels whose centres lie in the box of three grid points."""
    half = 2048
    left = tl.maximum((tl.minimum(tl.minimum(ax, bx), cx) - half + 4095) >> 12, 0)
    right = tl.minimum((tl.maximum(tl.maximum(ax, bx), cx) - half) >> 12, width - 1)
    top = tl.maximum((tl.minimum(tl.minimum(ay, by), cy) - half + 4095) >> 12, 0)
    bottom = tl.minimum((tl.maximum(tl.maximum(ay, by), cy) - half) >> 12, height - 1)
    return left, right, top, bottom


@triton.jit
def _edge(fx, fy, tx, ty, sign):
    """Direction of an edge, turned so that inside is positive, and the least value that counts: 0 on top-left edges."""
    ex, ey = sign * (tx - fx), sign * (ty - fy)
    return ex, ey, tl.where((ey < 0) | ((ey == 0) & (ex > 0)), 0, 1)


@triton.jit
def _small(
    snapped, faces, packed, large, counters, n, n_vertices, n_faces, height, width, NEAR: tl.constexpr,
    UNITS: tl.constexpr, SMALL_PX: tl.constexpr, PERSPECTIVE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    view = tl.program_id(1)
    face = tl.program_id(0) * LANES + tl.arange(0, LANES)
    inside = face < n_faces
    ax, ay, az = _corner(snapped, faces, view, n_vertices, face, 0, inside)
    bx, by, bz = _corner(snapped, faces, view, n_vertices, face, 1, inside)
    cx, cy, cz = _corner(snapped, faces, view, n_vertices, face, 2, inside)
    left, right, top, bottom = _box(ax, ay, bx, by, cx, cy, height, width)
    near = NEAR * tl.load(counters + view * 2).to(tl.float32, bitcast=True).to(tl.float64)
    nearest = tl.minimum(tl.minimum(az, bz), cz)
    usable = inside & (nearest > 0) & (nearest.to(tl.float64) > near) & (left <= right) & (top <= bottom)
    columns, rows = right - left + 1, bottom - top + 1
    fits = (columns <= SMALL_PX) & (rows <= SMALL_PX) & _near_origin(ax, ay, bx, by, cx, cy)
    append(large, counters + n * 2, usable & ~fits, view * n_faces + face)
    usable = usable & fits
    area = (bx - ax).to(tl.int64) * (cy - ay).to(tl.int64) - (by - ay).to(tl.int64) * (cx - ax).to(tl.int64)
    usable = usable & (area != 0)
    sign = tl.where(area > 0, 1, -1)
    e0x, e0y, m0 = _edge(bx, by, cx, cy, sign)
    e1x, e1y, m1 = _edge(cx, cy, ax, ay, sign)
    e2x, e2y, m2 = _edge(ax, ay, bx, by, sign)
    px, py = left * UNITS + UNITS // 2, top * UNITS + UNITS // 2
    w0 = e0x.to(tl.int64) * (py - by).to(tl.int64) - e0y.to(tl.int64) * (px - bx).to(tl.int64) - m0
    w1 = e1x.to(tl.int64) * (py - cy).to(tl.int64) - e1y.to(tl.int64) * (px - cx).to(tl.int64) - m1
    w2 = e2x.to(tl.int64) * (py - ay).to(tl.int64) - e2y.to(tl.int64) * (px - ax).to(tl.int64) - m2
    k0, k1, k2 = _key(az, PERSPECTIVE), _key(bz, PERSPECTIVE), _key(cz, PERSPECTIVE)
    scale = 1.0 / tl.where(area == 0, 1, sign * area).to(tl.float64)
    right_by = -(e0y * k0 + e1y * k1 + e2y * k2) * scale * UNITS
    down_by = (e0x * k0 + e1x * k1 + e2x * k2) * scale * UNITS
    start = (w0 + m0).to(tl.float64) * k0 + (w1 + m1).to(tl.float64) * k1 + (w2 + m2).to(tl.float64) * k2
    first = start * scale
    columns, rows = tl.where(usable, columns, 0), tl.where(usable, rows, 0)
    most_columns, most_rows = tl.max(columns, 0), tl.max(rows, 0)
    at = packed + view.to(tl.int64) * height * width + top * width + left
    low = (0x7FFFFFFF - face).to(tl.int64)
    for j in range(0, most_rows):
        u0, u1, u2 = w0, w1, w2
        line = first + j * down_by
        for i in range(0, most_columns):
            hit = (i < columns) & (j < rows) & ((u0 | u1 | u2) >= 0)
            key = _sortable(line + i * right_by)
            tl.atomic_max(at + j * width + i, (key << 32) | low, hit, sem="relaxed")
            u0 -= e0y * UNITS
            u1 -= e1y * UNITS
            u2 -= e2y * UNITS
        w0 += e0x * UNITS
        w1 += e1x * UNITS
        w2 += e2x * UNITS


@triton.jit
def _near_origin(ax, ay, bx, by, cx, cy):
    """Whether all coordinates lie within +-2^25 (8192 px), so that an edge's step over a pixel fits in 32 bits."""
    low = tl.minimum(tl.minimum(tl.minimum(ax, bx), cx), tl.minimum(tl.minimum(ay, by), cy))
    high = tl.maximum(tl.maximum(tl.maximum(ax, bx), cx), tl.maximum(tl.maximum(ay, by), cy))
    return (low > -33554432) & (high < 33554432)


@triton.jit
def _large(
    snapped, faces, packed, large, counters, n, n_vertices, n_faces, height, width, UNITS: tl.constexpr,
    PERSPECTIVE: tl.constexpr, TILE_H: tl.constexpr, TILE_W: tl.constexpr, SPLIT: tl.constexpr,
    ALONE: tl.constexpr,
):  # fmt: skip
    count = tl.load(counters + n * 2) * SPLIT
    half = UNITS // 2
    lane = tl.arange(0, TILE_H * TILE_W)
    for item in range(tl.program_id(0), count, tl.num_programs(0)):
        entry = tl.load(large + item // SPLIT)
        view, face = entry // n_faces, entry % n_faces
        ax, ay, az = _corner(snapped, faces, view, n_vertices, face, 0, True)
        bx, by, bz = _corner(snapped, faces, view, n_vertices, face, 1, True)
        cx, cy, cz = _corner(snapped, faces, view, n_vertices, face, 2, True)
        left, right, top, bottom = _box(ax, ay, bx, by, cx, cy, height, width)
        first, tiles, step, across = share(left, right, top, bottom, item % SPLIT, TILE_H, TILE_W, SPLIT, ALONE)
        ax, ay, bx, by = ax.to(tl.int64), ay.to(tl.int64), bx.to(tl.int64), by.to(tl.int64)
        cx, cy = cx.to(tl.int64), cy.to(tl.int64)
        if first < tiles:
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            sign = tl.where(area > 0, 1, -1).to(tl.int64)
            e0x, e0y, m0 = _edge(bx, by, cx, cy, sign)
            e1x, e1y, m1 = _edge(cx, cy, ax, ay, sign)
            e2x, e2y, m2 = _edge(ax, ay, bx, by, sign)
            k0, k1, k2 = _key(az, PERSPECTIVE), _key(bz, PERSPECTIVE), _key(cz, PERSPECTIVE)
            base = packed + view.to(tl.int64) * height * width
            tiles = tl.where(area != 0, tiles, 0)
            for tile in range(first, tiles, step):
                x = left + (tile % across) * TILE_W + lane % TILE_W
                y = top + (tile // across) * TILE_H + lane // TILE_W
                px, py = x.to(tl.int64) * UNITS + half, y.to(tl.int64) * UNITS + half
                w0 = e0x * (py - by) - e0y * (px - bx)
                w1 = e1x * (py - cy) - e1y * (px - cx)
                w2 = e2x * (py - ay) - e2y * (px - ax)
                hit = (x <= right) & (y <= bottom) & (w0 >= m0) & (w1 >= m1) & (w2 >= m2)
                if tl.max(hit.to(tl.int32), 0) > 0:
                    f0, f1, f2 = w0.to(tl.float64), w1.to(tl.float64), w2.to(tl.float64)
                    key = _sortable((f0 * k0 + f1 * k1 + f2 * k2) / tl.maximum(f0 + f1 + f2, 1.0))
                    value = (key << 32) | (0x7FFFFFFF - face).to(tl.int64)
                    tl.atomic_max(base + y * width + x, value, hit, sem="relaxed")


@triton.jit
def _unpack(packed, ids, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(packed + at, at < count, 0)
    low = (value & 0xFFFFFFFF).to(tl.int32)
    empty = value == -9223372036854775808
    tl.store(ids + at, tl.where(empty, -1, 0x7FFFFFFF - low), at < count)
