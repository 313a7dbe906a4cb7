"""The z-buffer of the CPU backend: the rules of `meshwright.rendering.visibility` on homogeneous pixel points."""

from __future__ import annotations

import numpy as np

from meshwright.rendering.differentiable.backend import NEAR, UNITS
from meshwright.rendering.threads import kernel
from meshwright.rendering.visibility import FARTHEST_PX, sorted_corners

EXACT_PX = 8192.0  # edge functions of snapped points within this are exact in float64, whatever the order of corners
BLOCK = 8  # pixels: how finely it is remembered what is hidden
_AFTER_ZERO = 5e-324  # e >= _AFTER_ZERO is e > 0


@kernel()
def snap(screen, perspective, points):
    """Write (x_px, y_px, nearness) of each vertex into ``points`` (V, 3) float64, on the sub-pixel grid.

    Nearness is 1/z, orthographic -z; it is NaN where the vertex is not finite or not in front of the near plane.
    """
    farthest = 0.0
    for v in range(len(screen)):
        if np.isfinite(screen[v, 0]) and np.isfinite(screen[v, 1]) and np.isfinite(screen[v, 2]):
            farthest = max(farthest, np.float64(screen[v, 2]))
    near = NEAR * farthest
    for v in range(len(screen)):
        x, y, z = np.float64(screen[v, 0]), np.float64(screen[v, 1]), np.float64(screen[v, 2])
        if not (np.isfinite(x) and np.isfinite(y) and z > near and z < np.inf):
            points[v, 0], points[v, 1], points[v, 2] = 0.0, 0.0, np.nan
            continue
        if perspective:
            x, y = x / z, y / z
        points[v, 0] = np.rint(min(max(x, -FARTHEST_PX), FARTHEST_PX) * UNITS) / UNITS
        points[v, 1] = np.rint(min(max(y, -FARTHEST_PX), FARTHEST_PX) * UNITS) / UNITS
        points[v, 2] = 1.0 / z if perspective else -z


@kernel()
def _threshold(dx, dy):
    """What an edge's value, positive inside, must reach: 0 where a sample on the edge counts, else just above it."""
    return 0.0 if -dy > 0.0 or (dy == 0.0 and dx > 0.0) else _AFTER_ZERO


@kernel()
def _first_pixel(low, start):
    return int(max(np.ceil(low - 0.5), float(start)))


@kernel()
def _end_pixel(high, end):
    return int(min(np.floor(high - 0.5) + 1.0, float(end)))


@kernel()
def _nearer_side(points, faces):
    """1 if faces that turn clockwise on the screen are the nearer ones on average, else -1 (judged by a thousand)."""
    nearness, count = np.zeros(2), np.zeros(2)
    for f in range(0, len(faces), 1 + len(faces) // 1024):
        a, b, c = points[faces[f, 0]], points[faces[f, 1]], points[faces[f, 2]]
        k = a[2] + b[2] + c[2]
        side = 1 if (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0]) else 0
        if not np.isnan(k):
            nearness[side] += k
            count[side] += 1
    return 1.0 if nearness[1] * count[0] >= nearness[0] * count[1] else -1.0


@kernel()
def _farthest_in_blocks(nearest, blocks):
    """The farthest nearness in each block of `BLOCK` x `BLOCK` pixels."""
    blocks[:] = np.inf
    for row in range(nearest.shape[0]):
        for col in range(nearest.shape[1]):
            blocks[row // BLOCK, col // BLOCK] = min(blocks[row // BLOCK, col // BLOCK], nearest[row, col])


@kernel()
def _is_hidden(blocks, k, y_low, y_high, x_low, x_high):
    """Whether all that is drawn in the blocks of a box is nearer than ``k``."""
    for y in range(y_low // BLOCK, (y_high - 1) // BLOCK + 1):
        for x in range(x_low // BLOCK, (x_high - 1) // BLOCK + 1):
            if not k < blocks[y, x]:
                return False
    return True


@kernel()
def draw_rows(points, faces, row_start, row_end, ids):
    """Draw all faces into rows ``row_start..row_end`` of ``ids`` (int32, from -1).

    First come the faces of the side that is nearer on average: of a closed mesh, those that face the camera. Most of
    the others are then known to be hidden without a look at their pixels.
    """
    height, width = row_end - row_start, ids.shape[1]
    nearest = np.full((height, width), -np.inf, np.float32)
    blocks = np.full((height // BLOCK + 1, width // BLOCK + 1), -np.inf, np.float32)
    side = _nearer_side(points, faces)
    _fill(points, faces, side, blocks, row_start, nearest, ids)
    _farthest_in_blocks(nearest, blocks)
    _fill(points, faces, -side, blocks, row_start, nearest, ids)


@kernel()
def _fill(points, faces, side, blocks, row_start, nearest, ids):
    """Draw the faces of one side. ``nearest`` (float32) holds the rows from ``row_start`` alone.

    Nearness is compared as float32, so that it does not depend on the order of a face's corners; of equals the lowest
    id stays.
    """
    height, width = nearest.shape
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        y_min, y_max = min(ay, by, cy), max(ay, by, cy)
        x_min, x_max = min(ax, bx, cx), max(ax, bx, cx)
        y_low, y_high = _first_pixel(y_min, row_start), _end_pixel(y_max, row_start + height)
        x_low, x_high = _first_pixel(x_min, 0), _end_pixel(x_max, width)
        if y_low >= y_high or x_low >= x_high:
            continue
        turned = side * ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) < 0.0
        if y_max > EXACT_PX or x_max > EXACT_PX or y_min < -EXACT_PX or x_min < -EXACT_PX:
            a, b, c = sorted_corners(points, a, b, c)
            ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        ak, bk, ck = points[a, 2], points[b, 2], points[c, 2]
        highest = max(ak, bk, ck)
        if turned or area == 0.0 or np.isnan(ak + bk + ck):
            continue
        if _is_hidden(blocks, highest + 1e-6 * abs(highest), y_low - row_start, y_high - row_start, x_low, x_high):
            continue
        sign = 1.0 if area > 0.0 else -1.0
        abx, aby = sign * (bx - ax), sign * (by - ay)
        bcx, bcy = sign * (cx - bx), sign * (cy - by)
        acx, acy = sign * (cx - ax), sign * (cy - ay)
        ab_min, bc_min, ca_min = _threshold(abx, aby), _threshold(bcx, bcy), _threshold(-acx, -acy)
        to_b, to_c = (bk - ak) / abs(area), (ck - ak) / abs(area)
        for row in range(y_low, y_high):
            py = row + 0.5
            ab_row = abx * (py - ay) + aby * ax
            bc_row = bcx * (py - by) + bcy * bx
            ac_row = acx * (py - ay) + acy * ax
            entered = False
            for col in range(x_low, x_high):
                px = col + 0.5
                wc, wa, wb = ab_row - aby * px, bc_row - bcy * px, acy * px - ac_row
                if (wc >= ab_min) & (wa >= bc_min) & (wb >= ca_min):
                    entered = True
                    k, before = np.float32(ak + (wb * to_b + wc * to_c)), nearest[row - row_start, col]
                    if k > before or (k == before and f < ids[row, col]):
                        nearest[row - row_start, col] = k
                        ids[row, col] = f
                elif entered:
                    break
