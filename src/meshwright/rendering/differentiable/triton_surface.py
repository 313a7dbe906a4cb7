"""What kernels know of the surface at a pixel: corners and perspective-correct weights. Twin: `reference_surface`."""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

import triton
import triton.language as tl

LARGEST = tl.constexpr(3.0e38)  # what still fits into float32


@triton.jit
def corner_ids(faces, face, inside):
    """The three vertex ids of a face."""
    at = faces + face.to(tl.int64) * 3
    return tl.load(at, inside, 0), tl.load(at + 1, inside, 0), tl.load(at + 2, inside, 0)


@triton.jit
def corner(screen, base, vertex, inside):
    """A corner's (X, Y, z); ``base`` is the view's first vertex."""
    at = screen + (base + vertex) * 3
    return tl.load(at, inside, 0.0), tl.load(at + 1, inside, 0.0), tl.load(at + 2, inside, 1.0)


@triton.jit
def corners(screen, faces, base, face, inside):
    """The ids of a face's corners, and the corners."""
    i, j, k = corner_ids(faces, face, inside)
    ax, ay, az = corner(screen, base, i, inside)
    bx, by, bz = corner(screen, base, j, inside)
    cx, cy, cz = corner(screen, base, k, inside)
    return i, j, k, ax, ay, az, bx, by, bz, cx, cy, cz


@triton.jit
def local(x, y, z, px, py, PERSPECTIVE: tl.constexpr):
    """A corner relative to the pixel's ray. One rounding each (fused multiply-add): no digits cancel twice."""
    if PERSPECTIVE:
        return tl.fma(-z, px, x), tl.fma(-z, py, y)
    else:
        return x - px, y - py


@triton.jit
def cross(ax, ay, bx, by):
    """2-D cross product with the error of the second product put back (Kahan's difference of products)."""
    second = ay * bx
    error = tl.fma(-ay, bx, second)
    return tl.fma(ax, by, -second) + error


@triton.jit
def weights(ax, ay, bx, by, cx, cy, OUTSIDE: tl.constexpr):
    """Weights of the corners, the reciprocal of their areas' sum, and whether they were clipped to the face."""
    w0, w1, w2 = cross(bx, by, cx, cy), cross(cx, cy, ax, ay), cross(ax, ay, bx, by)
    total = w0 + w1 + w2
    none = total == 0.0
    scale = 1.0 / tl.where(none, 1.0, total)
    b0, b1, b2 = w0 * scale, w1 * scale, w2 * scale
    clipped = none | (b0 < -OUTSIDE) | (b1 < -OUTSIDE) | (b2 < -OUTSIDE)
    extra = tl.where(none, 1.0, 0.0)
    c0, c1, c2 = tl.maximum(b0, 0.0) + extra, tl.maximum(b1, 0.0) + extra, tl.maximum(b2, 0.0) + extra
    inner = 1.0 / tl.maximum(c0 + c1 + c2, 1e-30)
    b0 = tl.where(clipped, c0 * inner, b0)
    b1 = tl.where(clipped, c1 * inner, b1)
    b2 = tl.where(clipped, c2 * inner, b2)
    return b0, b1, b2, scale, clipped


@triton.jit
def plane(
    screen, faces, base, face, px, py, seen, OUTSIDE: tl.constexpr, UNSURE: tl.constexpr, PERSPECTIVE: tl.constexpr
):
    """Nearness and its change per pixel in x and y within the face's plane (none where weights are clipped), in the
    precision of ``px``, and whether no more digits cancel than ``UNSURE`` allows.
    """
    i, j, k = corner_ids(faces, face, seen)
    ax, ay, az = _corner_as(px, screen, base, i, seen)
    bx, by, bz = _corner_as(px, screen, base, j, seen)
    cx, cy, cz = _corner_as(px, screen, base, k, seen)
    ax, ay = local(ax, ay, az, px, py, PERSPECTIVE)
    bx, by = local(bx, by, bz, px, py, PERSPECTIVE)
    cx, cy = local(cx, cy, cz, px, py, PERSPECTIVE)
    wa, wb, wc, scale, clipped = weights(ax, ay, bx, by, cx, cy, OUTSIDE)
    z = wa * az + wb * bz + wc * cz
    # the plane's normal, relative to the pixel's ray (a shear)
    ux, uy, uz = bx - ax, by - ay, bz - az
    vx, vy, vz = cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    if PERSPECTIVE:
        bottom, key = nx * ax + ny * ay + nz * az, 1.0 / z
        terms = tl.abs(nx * ax) + tl.abs(ny * ay) + tl.abs(nz * az)
    else:
        bottom, key = nz, -z
        terms = tl.abs(ux * vy) + tl.abs(uy * vx)
    flat = clipped | (bottom == 0.0)
    scale = tl.where(flat, 0.0, 1.0 / tl.where(flat, 1.0, bottom))
    return key, nx * scale, ny * scale, ~flat & (tl.abs(bottom) > UNSURE * terms)


@triton.jit
def _corner_as(px, screen, base, vertex, inside):
    x, y, z = corner(screen, base, vertex, inside)
    return x.to(px.dtype), y.to(px.dtype), z.to(px.dtype)


@triton.jit
def tile_pixels(height, width, TILE_H: tl.constexpr, TILE_W: tl.constexpr):
    """View, column, row and offset of the pixels of this program's tile, and which of them lie in the image."""
    view = tl.program_id(1)
    across = (width + TILE_W - 1) // TILE_W
    tile = tl.program_id(0)
    lane = tl.arange(0, TILE_H * TILE_W)
    x = (tile % across) * TILE_W + lane % TILE_W
    y = (tile // across) * TILE_H + lane // TILE_W
    offset = view.to(tl.int64) * height * width + y * width + x
    return view, x, y, offset, (x < width) & (y < height)


@triton.jit
def append(entries, count, chosen, entry):
    """Append the chosen lanes' entries to a list in global memory, in any order."""
    found = tl.sum(chosen.to(tl.int32), 0)
    if found > 0:
        start = tl.atomic_add(count, found, sem="relaxed")
        tl.store(entries + start + tl.cumsum(chosen.to(tl.int32), 0) - 1, entry, chosen)


@triton.jit
def share(
    left, right, top, bottom, part, TILE_H: tl.constexpr, TILE_W: tl.constexpr, SPLIT: tl.constexpr, ALONE: tl.constexpr
):
    """Which of a box's tiles are a program's: the first one, their end, the step, and how many tiles lie in a row.

    ``SPLIT`` programs share a box; one of at most ``ALONE`` tiles is the first one's alone.
    """
    across, down = (right - left) // TILE_W + 1, (bottom - top) // TILE_H + 1
    tiles = across * down
    step = tl.where(tiles <= ALONE, 1, SPLIT)
    return part, tl.where(part < step, tiles, 0), step, across
