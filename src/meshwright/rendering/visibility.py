"""Which face each pixel sees: a z-buffer in numba, watertight and exactly deterministic.

Screen points are (x_px, y_px, key). Pixel (column i, row j) is sampled at (i + 0.5, j + 0.5). The key must be linear
over the screen-space triangle, larger for nearer points and positive: 1/z for a perspective camera, a shifted -z for an
orthographic one.

Coordinates are snapped to `SUBPIXEL`, so that all edge functions of points within +-8192 px are exact in float64. A
sample on an edge counts as moved by (e, e^2) with e -> 0: it then belongs to exactly one of the triangles round it (the
top-left rule). Both sides of a face are drawn. Of equal keys the lowest face id wins.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Int

from meshwright.errors import InputError
from meshwright.rendering.threads import kernel, row_bands, worker_count

SUBPIXEL = 1.0 / 4096.0
FARTHEST_PX = 2.0**100  # products of such coordinates are still finite
_AFTER_ZERO = 5e-324  # e >= _AFTER_ZERO is e > 0


def visibility(
    screen: Float[np.ndarray, "n V 3"], faces: Int[np.ndarray, "F 3"], height: int, width: int
) -> Int[np.ndarray, "n h w"]:
    """Id of the nearest face at each pixel centre of each view, int32, -1 where there is none.

    A face with a vertex whose key is not finite or not positive (at or behind the near plane) is dropped whole, and so
    is a face of no area after snapping. Raises `InputError` if a face names a vertex that does not exist.
    """
    triangles = checked_faces(faces, screen.shape[1])
    ids = np.full((len(screen), height, width), -1, np.int32)
    keys = np.zeros((len(screen), height, width))
    points = [snapped(view) for view in screen]
    bands = row_bands(height, -(-worker_count() // max(len(screen), 1)))
    work = [(n, low, high) for n in range(len(screen)) for low, high in bands]

    def fill(item: tuple[int, int, int]) -> None:
        n, low, high = item
        fill_rows(points[n], triangles, low, high, keys[n], ids[n])

    if len(work) == 1 or len(triangles) == 0:
        for item in work:
            fill(item)
    else:
        with ThreadPoolExecutor(min(worker_count(), max(len(work), 1))) as pool:
            list(pool.map(fill, work))
    return ids


def checked_faces(faces: Int[np.ndarray, "F 3"], n_vertices: int) -> Int[np.ndarray, "F 3"]:
    """Faces as contiguous int32. Raises `InputError` where an index lies outside ``0..n_vertices - 1``."""
    if len(faces) and (faces.min() < 0 or faces.max() >= n_vertices):
        raise InputError(
            f"The mesh has faces that name vertices outside 0..{n_vertices - 1}.",
            suggestion="Check that vertices and faces belong to the same mesh.",
            reason="face_index_out_of_range",
        )
    return np.require(faces, np.int32, ["C", "W"]).reshape(-1, 3)


def snapped(screen: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """Points on the sub-pixel grid; unusable points get the key -1."""
    points = np.array(screen, np.float64, order="C")
    bad = ~(np.isfinite(points).all(1) & (points[:, 2] > 0))
    points[bad] = (0.0, 0.0, -1.0)
    points[:, :2] = np.rint(np.clip(points[:, :2], -FARTHEST_PX, FARTHEST_PX) / SUBPIXEL) * SUBPIXEL
    return points


@kernel()
def sorted_corners(points, i, j, k):
    """The three vertex ids by (x, y): each edge then has one direction, whichever face it is seen from."""
    if (points[j, 0], points[j, 1]) < (points[i, 0], points[i, 1]):
        i, j = j, i
    if (points[k, 0], points[k, 1]) < (points[j, 0], points[j, 1]):
        j, k = k, j
        if (points[j, 0], points[j, 1]) < (points[i, 0], points[i, 1]):
            i, j = j, i
    return i, j, k


@kernel()
def _threshold(dx, dy, sign):
    """What ``sign * edge`` must reach: 0 where a sample on the edge counts, else just above it."""
    moved = -dy if dy != 0.0 else dx
    return 0.0 if sign * moved > 0.0 else _AFTER_ZERO


@kernel()
def _first_pixel(low, start):
    return int(max(np.ceil(low - 0.5), float(start)))


@kernel()
def _end_pixel(high, end):
    return int(min(np.floor(high - 0.5) + 1.0, float(end)))


@kernel()
def fill_rows(points, faces, row_start, row_end, keys, ids):
    """Draw all faces into rows ``row_start..row_end`` of ``keys`` (float64, starts at 0) and ``ids`` (int32, -1)."""
    width = ids.shape[1]
    for f in range(len(faces)):
        a, b, c = sorted_corners(points, faces[f, 0], faces[f, 1], faces[f, 2])
        ax, ay, ak = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bk = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, ck = points[c, 0], points[c, 1], points[c, 2]
        if ak <= 0.0 or bk <= 0.0 or ck <= 0.0:
            continue
        y_low = _first_pixel(min(ay, by, cy), row_start)
        y_high = _end_pixel(max(ay, by, cy), row_end)
        x_low = _first_pixel(ax, 0)
        x_high = _end_pixel(cx, width)
        abx, aby, bcx, bcy, acx, acy = bx - ax, by - ay, cx - bx, cy - by, cx - ax, cy - ay
        area = abx * acy - aby * acx
        if area == 0.0 or y_low >= y_high or x_low >= x_high:
            continue
        sign = 1.0 if area > 0.0 else -1.0
        ab_min, bc_min, ac_min = _threshold(abx, aby, sign), _threshold(bcx, bcy, sign), _threshold(acx, acy, -sign)
        for row in range(y_low, y_high):
            py = row + 0.5
            ab_row, bc_row, ac_row = abx * (py - ay), bcx * (py - by), acx * (py - ay)
            entered = False
            for col in range(x_low, x_high):
                px = col + 0.5
                wc = sign * (ab_row - aby * (px - ax))
                wa = sign * (bc_row - bcy * (px - bx))
                wb = -sign * (ac_row - acy * (px - ax))
                if wc >= ab_min and wa >= bc_min and wb >= ac_min:
                    entered = True
                    key = (wa * ak + wb * bk + wc * ck) / (wa + wb + wc)
                    if key > keys[row, col]:
                        keys[row, col] = key
                        ids[row, col] = f
                elif entered:
                    break
