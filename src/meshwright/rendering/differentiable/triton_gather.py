"""Gradients from pixels back to vertices, on CUDA, gathered face by face.

Added pixel by pixel they would meet at the same few vertices and wait for each other. So a lane takes one face, walks
the pixels of its box, sums what those that see it have to say, and adds once to its three vertices. Faces of more than
`SMALL_PX` pixels on a side go to a list, whose faces get a program each that sums over blocks of pixels.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import OUTSIDE
from meshwright.rendering.differentiable.triton_launch import launch
from meshwright.rendering.differentiable.triton_surface import LARGEST, append, corners, local, share, weights

SMALL_PX = 24  # measured on an H100: 8, 12 and 16 are slower where faces are larger, and no faster where not
LANES = 32  # faces of a program: one warp
TILE_H, TILE_W = 4, 8  # pixels of a block of a large face
SPLIT = 8  # programs that share a large face, unless it has at most `ALONE` tiles
ALONE = 64
PROGRAMS = 8448  # that walk the list of large faces


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
    """Gradients of `interpolate` at fixed ids, those that are needed."""
    sizes = [screen.numel() if need_screen else 0, attributes.numel() if need_attributes else 0, 1]
    zeros = torch.zeros(sum(sizes), dtype=torch.float32, device=screen.device).split(sizes)  # one fill for all
    to_screen = zeros[0].view(screen.shape) if need_screen else None
    to_attributes = zeros[1].view(attributes.shape) if need_attributes else None
    if grad.numel() == 0 or len(faces) == 0 or not (need_screen or need_attributes):
        return to_screen, to_attributes
    (n, height, width), channels, n_faces = face_id.shape, attributes.shape[-1], len(faces)
    own = attributes.shape[1] if len(attributes) > 1 or n == 1 else 0
    large = torch.empty(n * n_faces, dtype=torch.int32, device=screen.device)
    arrays = (screen, faces, face_id, attributes, grad, zeros[0], zeros[1], large, zeros[2].view(torch.int32))
    numbers = (screen.shape[1], n_faces, own, height, width)
    for first in range(0, channels, 4):
        modes = (channels, first, OUTSIDE, perspective, need_screen, need_attributes)
        grid = (triton.cdiv(n_faces, LANES), n)
        launch(_small, grid, *arrays, *numbers, *modes, SMALL_PX, LANES, first == 0, num_warps=1)
        launch(_large, (PROGRAMS,), *arrays, *numbers, *modes, TILE_H, TILE_W, SPLIT, ALONE, num_warps=1)
    return to_screen, to_attributes


@triton.jit
def _box(ax, ay, az, bx, by, bz, cx, cy, cz, height, width, PERSPECTIVE: tl.constexpr):
    """First and last column and row of a box that holds the face, a pixel too many rather than too few."""
    if PERSPECTIVE:
        ax, ay, bx, by, cx, cy = ax / az, ay / az, bx / bz, by / bz, cx / cz, cy / cz
    left = tl.floor(tl.maximum(tl.minimum(tl.minimum(ax, bx), cx) - 0.51, 0.0)).to(tl.int32)
    top = tl.floor(tl.maximum(tl.minimum(tl.minimum(ay, by), cy) - 0.51, 0.0)).to(tl.int32)
    right = tl.floor(tl.minimum(tl.maximum(tl.maximum(ax, bx), cx) - 0.49, width - 1.0)).to(tl.int32)
    bottom = tl.floor(tl.minimum(tl.maximum(tl.maximum(ay, by), cy) - 0.49, height - 1.0)).to(tl.int32)
    return left, right, top, bottom


@triton.jit
def _small(
    screen, faces, face_id, attributes, grad, to_screen, to_attributes, large, count, n_vertices, n_faces, own, height,
    width, CHANNELS: tl.constexpr, FIRST: tl.constexpr, OUTSIDE: tl.constexpr, PERSPECTIVE: tl.constexpr,
    NEED_SCREEN: tl.constexpr, NEED_ATTRIBUTES: tl.constexpr, SMALL_PX: tl.constexpr, LANES: tl.constexpr,
    LISTING: tl.constexpr,
):  # fmt: skip
    view = tl.program_id(1).to(tl.int64)
    face = tl.program_id(0) * LANES + tl.arange(0, LANES)
    inside = face < n_faces
    base, shared = view * n_vertices, view * own
    i, j, k, ax, ay, az, bx, by, bz, cx, cy, cz = corners(screen, faces, base, face, inside)
    left, right, top, bottom = _box(ax, ay, az, bx, by, bz, cx, cy, cz, height, width, PERSPECTIVE)
    usable = inside & (left <= right) & (top <= bottom)
    if PERSPECTIVE:
        usable = usable & (tl.minimum(tl.minimum(az, bz), cz) > 0.0)
    columns, rows = right - left + 1, bottom - top + 1
    fits = (columns <= SMALL_PX) & (rows <= SMALL_PX)
    if LISTING:
        append(large, count, usable & ~fits, (view * n_faces + face).to(tl.int32))
    columns, rows = tl.where(usable & fits, columns, 0), tl.where(usable & fits, rows, 0)
    most_columns, most_rows = tl.max(columns, 0), tl.max(rows, 0)
    origin = view * height * width + top * width + left
    o = tl.zeros((LANES,), tl.float32)
    sx0, sy0, sz0, sx1, sy1, sz1, sx2, sy2, sz2 = o, o, o, o, o, o, o, o, o
    p0, p1, p2, p3, q0, q1, q2, q3, r0, r1, r2, r3 = o, o, o, o, o, o, o, o, o, o, o, o
    a0, a1, a2, a3 = _channels(attributes, shared + i, inside & NEED_SCREEN, CHANNELS, FIRST)
    b0, b1, b2, b3 = _channels(attributes, shared + j, inside & NEED_SCREEN, CHANNELS, FIRST)
    c0, c1, c2, c3 = _channels(attributes, shared + k, inside & NEED_SCREEN, CHANNELS, FIRST)
    for row in range(0, most_rows):
        for column in range(0, most_columns):
            offset = origin + row * width + column
            within = (column < columns) & (row < rows)
            mine = within & (tl.load(face_id + offset, within, -1) == face)
            if tl.max(mine.to(tl.int32), 0) > 0:
                px, py = (left + column).to(tl.float32) + 0.5, (top + row).to(tl.float32) + 0.5
                g0, g1, g2, g3 = _channels(grad, offset, mine, CHANNELS, FIRST)
                ha = g0 * a0 + g1 * a1 + g2 * a2 + g3 * a3
                hb = g0 * b0 + g1 * b1 + g2 * b2 + g3 * b3
                hc = g0 * c0 + g1 * c1 + g2 * c2 + g3 * c3
                wa, wb, wc, x0, y0, z0, x1, y1, z1, x2, y2, z2 = _pull(
                    ax, ay, az, bx, by, bz, cx, cy, cz, ha, hb, hc, px, py, mine, OUTSIDE, PERSPECTIVE
                )
                p0, p1, p2, p3 = p0 + wa * g0, p1 + wa * g1, p2 + wa * g2, p3 + wa * g3
                q0, q1, q2, q3 = q0 + wb * g0, q1 + wb * g1, q2 + wb * g2, q3 + wb * g3
                r0, r1, r2, r3 = r0 + wc * g0, r1 + wc * g1, r2 + wc * g2, r3 + wc * g3
                sx0, sy0, sz0, sx1, sy1, sz1 = sx0 + x0, sy0 + y0, sz0 + z0, sx1 + x1, sy1 + y1, sz1 + z1
                sx2, sy2, sz2 = sx2 + x2, sy2 + y2, sz2 + z2
    if NEED_SCREEN:
        _add_points(to_screen, base, i, sx0, sy0, sz0, j, sx1, sy1, sz1, k, sx2, sy2, sz2)
    if NEED_ATTRIBUTES:
        _add_channels(to_attributes, shared + i, p0, p1, p2, p3, CHANNELS, FIRST)
        _add_channels(to_attributes, shared + j, q0, q1, q2, q3, CHANNELS, FIRST)
        _add_channels(to_attributes, shared + k, r0, r1, r2, r3, CHANNELS, FIRST)


@triton.jit
def _large(
    screen, faces, face_id, attributes, grad, to_screen, to_attributes, large, count, n_vertices, n_faces, own, height,
    width, CHANNELS: tl.constexpr, FIRST: tl.constexpr, OUTSIDE: tl.constexpr, PERSPECTIVE: tl.constexpr,
    NEED_SCREEN: tl.constexpr, NEED_ATTRIBUTES: tl.constexpr, TILE_H: tl.constexpr, TILE_W: tl.constexpr,
    SPLIT: tl.constexpr, ALONE: tl.constexpr,
):  # fmt: skip
    lane = tl.arange(0, TILE_H * TILE_W)
    for item in range(tl.program_id(0), tl.load(count) * SPLIT, tl.num_programs(0)):
        entry = tl.load(large + item // SPLIT)
        view, face = (entry // n_faces).to(tl.int64), entry % n_faces
        base, shared = view * n_vertices, view * own
        i, j, k, ax, ay, az, bx, by, bz, cx, cy, cz = corners(screen, faces, base, face, True)
        left, right, top, bottom = _box(ax, ay, az, bx, by, bz, cx, cy, cz, height, width, PERSPECTIVE)
        first, tiles, step, across = share(left, right, top, bottom, item % SPLIT, TILE_H, TILE_W, SPLIT, ALONE)
        if first < tiles:
            a0, a1, a2, a3 = _channels(attributes, shared + i, NEED_SCREEN, CHANNELS, FIRST)
            b0, b1, b2, b3 = _channels(attributes, shared + j, NEED_SCREEN, CHANNELS, FIRST)
            c0, c1, c2, c3 = _channels(attributes, shared + k, NEED_SCREEN, CHANNELS, FIRST)
            o = tl.zeros((TILE_H * TILE_W,), tl.float32)
            sx0, sy0, sz0, sx1, sy1, sz1, sx2, sy2, sz2 = o, o, o, o, o, o, o, o, o
            p0, p1, p2, p3, q0, q1, q2, q3, r0, r1, r2, r3 = o, o, o, o, o, o, o, o, o, o, o, o
            for tile in range(first, tiles, step):
                x = left + (tile % across) * TILE_W + lane % TILE_W
                y = top + (tile // across) * TILE_H + lane // TILE_W
                offset = view * height * width + y * width + x
                within = (x <= right) & (y <= bottom)
                mine = within & (tl.load(face_id + offset, within, -1) == face)
                if tl.max(mine.to(tl.int32), 0) > 0:
                    px, py = x.to(tl.float32) + 0.5, y.to(tl.float32) + 0.5
                    g0, g1, g2, g3 = _channels(grad, offset, mine, CHANNELS, FIRST)
                    ha = g0 * a0 + g1 * a1 + g2 * a2 + g3 * a3
                    hb = g0 * b0 + g1 * b1 + g2 * b2 + g3 * b3
                    hc = g0 * c0 + g1 * c1 + g2 * c2 + g3 * c3
                    wa, wb, wc, x0, y0, z0, x1, y1, z1, x2, y2, z2 = _pull(
                        ax, ay, az, bx, by, bz, cx, cy, cz, ha, hb, hc, px, py, mine, OUTSIDE, PERSPECTIVE
                    )
                    p0, p1, p2, p3 = p0 + wa * g0, p1 + wa * g1, p2 + wa * g2, p3 + wa * g3
                    q0, q1, q2, q3 = q0 + wb * g0, q1 + wb * g1, q2 + wb * g2, q3 + wb * g3
                    r0, r1, r2, r3 = r0 + wc * g0, r1 + wc * g1, r2 + wc * g2, r3 + wc * g3
                    sx0, sy0, sz0, sx1, sy1, sz1 = sx0 + x0, sy0 + y0, sz0 + z0, sx1 + x1, sy1 + y1, sz1 + z1
                    sx2, sy2, sz2 = sx2 + x2, sy2 + y2, sz2 + z2
            if NEED_SCREEN:
                x0, y0, z0, x1, y1, z1 = _sums(sx0, sy0, sz0, sx1, sy1, sz1)
                x2, y2, z2 = tl.sum(sx2, 0), tl.sum(sy2, 0), tl.sum(sz2, 0)
                _add_points(to_screen, base, i, x0, y0, z0, j, x1, y1, z1, k, x2, y2, z2)
            if NEED_ATTRIBUTES:
                _sum_channels(to_attributes, shared + i, p0, p1, p2, p3, CHANNELS, FIRST)
                _sum_channels(to_attributes, shared + j, q0, q1, q2, q3, CHANNELS, FIRST)
                _sum_channels(to_attributes, shared + k, r0, r1, r2, r3, CHANNELS, FIRST)


@triton.jit
def _pull(
    ax, ay, az, bx, by, bz, cx, cy, cz, ha, hb, hc, px, py, mine, OUTSIDE: tl.constexpr, PERSPECTIVE: tl.constexpr
):
    """The corners' weights at a pixel, and what it pulls the corners by (research: h_i = (g_i - g . b) / sum of areas).

    ``ha, hb, hc`` are the pixel's gradient times each corner's attributes. Lanes that are not ``mine`` pull nothing.
    """
    ax, ay = local(ax, ay, az, px, py, PERSPECTIVE)
    bx, by = local(bx, by, bz, px, py, PERSPECTIVE)
    cx, cy = local(cx, cy, cz, px, py, PERSPECTIVE)
    wa, wb, wc, scale, clipped = weights(ax, ay, bx, by, cx, cy, OUTSIDE)
    wa, wb, wc = tl.where(mine, wa, 0.0), tl.where(mine, wb, 0.0), tl.where(mine, wc, 0.0)
    mean = ha * wa + hb * wb + hc * wc
    scale = tl.where(mine & ~clipped, scale, 0.0)
    ha, hb, hc = (ha - mean) * scale, (hb - mean) * scale, (hc - mean) * scale
    x0, y0 = hc * by - hb * cy, hb * cx - hc * bx
    x1, y1 = ha * cy - hc * ay, hc * ax - ha * cx
    x2, y2 = hb * ay - ha * by, ha * bx - hb * ax
    z0, z1, z2 = 0.0 * x0, 0.0 * x1, 0.0 * x2
    if PERSPECTIVE:
        z0, z1, z2 = -(x0 * px + y0 * py), -(x1 * px + y1 * py), -(x2 * px + y2 * py)
    return wa, wb, wc, x0, y0, z0, x1, y1, z1, x2, y2, z2


@triton.jit
def _sums(a, b, c, d, e, f):
    return tl.sum(a, 0), tl.sum(b, 0), tl.sum(c, 0), tl.sum(d, 0), tl.sum(e, 0), tl.sum(f, 0)


@triton.jit
def _channels(values, row, inside, CHANNELS: tl.constexpr, FIRST: tl.constexpr):
    """Up to four channels of a row of values; 0 for those that do not exist."""
    at = values + row.to(tl.int64) * CHANNELS + FIRST
    return (
        tl.load(at, inside, 0.0),
        tl.load(at + 1, inside & (FIRST + 1 < CHANNELS), 0.0),
        tl.load(at + 2, inside & (FIRST + 2 < CHANNELS), 0.0),
        tl.load(at + 3, inside & (FIRST + 3 < CHANNELS), 0.0),
    )


@triton.jit
def _add_points(to_screen, base, i, x0, y0, z0, j, x1, y1, z1, k, x2, y2, z2):
    _add_point(to_screen, base + i, x0, y0, z0)
    _add_point(to_screen, base + j, x1, y1, z1)
    _add_point(to_screen, base + k, x2, y2, z2)


@triton.jit
def _add_point(to_screen, vertex, x, y, z):
    at = to_screen + vertex * 3
    some = (x != 0.0) | (y != 0.0) | (z != 0.0)
    some = some & (tl.abs(x) < LARGEST) & (tl.abs(y) < LARGEST) & (tl.abs(z) < LARGEST)
    tl.atomic_add(at, x, some, sem="relaxed")
    tl.atomic_add(at + 1, y, some, sem="relaxed")
    tl.atomic_add(at + 2, z, some, sem="relaxed")


@triton.jit
def _add_channels(to_attributes, row, g0, g1, g2, g3, CHANNELS: tl.constexpr, FIRST: tl.constexpr):
    at = to_attributes + row.to(tl.int64) * CHANNELS + FIRST
    tl.atomic_add(at, g0, g0 != 0.0, sem="relaxed")
    if FIRST + 1 < CHANNELS:
        tl.atomic_add(at + 1, g1, g1 != 0.0, sem="relaxed")
    if FIRST + 2 < CHANNELS:
        tl.atomic_add(at + 2, g2, g2 != 0.0, sem="relaxed")
    if FIRST + 3 < CHANNELS:
        tl.atomic_add(at + 3, g3, g3 != 0.0, sem="relaxed")


@triton.jit
def _sum_channels(to_attributes, row, g0, g1, g2, g3, CHANNELS: tl.constexpr, FIRST: tl.constexpr):
    """`_add_channels` of the lanes' sums."""
    _add_channels(to_attributes, row, tl.sum(g0, 0), tl.sum(g1, 0), tl.sum(g2, 0), tl.sum(g3, 0), CHANNELS, FIRST)
