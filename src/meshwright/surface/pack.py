"""Packing flat charts into one square texture: bottom-left placement of coarse bitmaps, largest chart first.

Charts keep one common scale (texels per world unit), are turned but never mirrored, and stay at least `PADDING`
texels apart. A bitmap is a set of row spans of blocks, so that charts fit into each other's notches and holes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.rendering.threads import kernel
from meshwright.surface.flatten import FlatCharts, flat_areas

PADDING = 6  # texels between charts: four that bilinear and first mip levels may touch, and rounding
BORDER = 2  # texels kept free along the texture's edge
FULLEST = 0.82  # share of the texture that the first try would fill
SHRINK = 0.975  # area is tried again at this factor per side until everything fits


@dataclass(frozen=True, eq=False)
class Packing:
    """``uv_texels`` (q, 2) in texels (x right, y down), scale in texels per world unit, share of the texture in use."""

    uv_texels: Float[np.ndarray, "q 2"]
    texels_per_unit: float
    utilization: float


def pack_charts(charts: FlatCharts, size: int) -> Packing:
    """Place all charts in a ``size`` x ``size`` texture at the largest common scale that fits (to 2.5 %)."""
    upright = _upright(charts)
    area = -float(flat_areas(upright, charts.faces).sum())  # v points down here
    block = max(2, size // 512)
    scale = _largest_scale(area, _border_length(charts), PADDING / 2 + block / 2, FULLEST * size**2)
    for _ in range(200):
        placed = _place_all(charts, upright * scale, size, block)
        if placed is not None:
            return Packing(placed, scale, area * scale**2 / size**2)
        scale *= SHRINK
    raise AssertionError("charts cannot be packed at any scale")


def _border_length(charts: FlatCharts) -> float:
    """Summed length of all chart borders."""
    start, end = charts.faces.ravel().astype(np.int64), np.roll(charts.faces, -1, axis=1).ravel().astype(np.int64)
    key = np.minimum(start, end) * len(charts.uv) + np.maximum(start, end)
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    single = first[count == 1]
    return float(np.linalg.norm(charts.uv[start[single]] - charts.uv[end[single]], axis=1).sum())


def _largest_scale(area: float, border: float, margin: float, room: float) -> float:
    """The scale at which charts and a margin (texels) around them cover ``room`` texels: a positive quadratic root."""
    half = 0.5 * border * margin
    return float(room / max(half + np.sqrt(half**2 + area * room), 1e-30))


def _upright(charts: FlatCharts) -> Float[np.ndarray, "q 2"]:
    """Charts turned so that their bounding rectangle is smallest, v downwards (one mirroring for the whole atlas)."""
    uv = charts.uv * [1.0, -1.0]
    angles = np.radians(np.arange(0, 90, 5))
    turn = np.stack([np.stack([np.cos(angles), np.sin(angles)]), np.stack([-np.sin(angles), np.cos(angles)])])
    order = np.argsort(charts.vertex_chart, kind="stable")
    bounds = np.flatnonzero(np.diff(charts.vertex_chart[order], prepend=-1))
    coordinates = np.einsum("qk,jka->qja", uv[order], turn)
    extent = np.maximum.reduceat(coordinates, bounds) - np.minimum.reduceat(coordinates, bounds)
    best = np.argmin(extent[:, 0] * extent[:, 1] + 1e-12 * np.arange(len(angles)), axis=1)
    chosen = turn[:, :, best[charts.vertex_chart]]
    return np.einsum("qk,jkq->qj", uv, chosen)


def _place_all(
    charts: FlatCharts, uv: Float[np.ndarray, "q 2"], size: int, block: int
) -> Float[np.ndarray, "q 2"] | None:
    """Texel coordinates, or None if the charts do not fit."""
    grid = (size - 2 * BORDER) // block
    runs = np.tile(np.arange(grid, 0, -1, dtype=np.int32), (grid, 1))
    corners = uv[charts.faces]
    face_groups = _groups(charts.chart)
    vertex_groups = _groups(charts.vertex_chart)
    low = np.array([uv[g].min(0) for g in vertex_groups]) - PADDING / 2
    high = np.array([uv[g].max(0) for g in vertex_groups]) + PADDING / 2
    cells = np.maximum(np.ceil((high - low) / block).astype(int), 1)
    placed = np.empty_like(uv)
    for chart in np.lexsort((np.arange(len(cells)), -cells.prod(1), -cells.max(1))):
        bitmap = np.zeros((cells[chart, 1], cells[chart, 0]), np.bool_)
        mark_blocks((corners[face_groups[chart]] - low[chart]) / block, PADDING / 2 / block, bitmap)
        spot = _find_spot(runs, bitmap)
        if spot is None:
            return None
        quarter, row, column, spans = spot
        occupy(runs, spans, row, column)
        local = _quarter_turned(uv[vertex_groups[chart]] - low[chart], quarter, cells[chart] * block)
        placed[vertex_groups[chart]] = local + np.array([column, row]) * block + BORDER
    return placed


def _groups(label: Int[np.ndarray, "n"]) -> list[Int[np.ndarray, "g"]]:
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def _find_spot(runs: Int[np.ndarray, "g g"], bitmap: Bool[np.ndarray, "h w"]):
    """Lowest place over four quarter turns: (turn, row, column, spans), or None."""
    best, lowest = None, len(runs) + 1
    for quarter in range(4):
        turned = np.rot90(bitmap, quarter)
        spans = _row_spans(turned)
        row, column = find_lowest(runs, spans, turned.shape[0], turned.shape[1], lowest)
        if row >= 0 and row + turned.shape[0] < lowest:
            best, lowest = (quarter, row, column, spans), row + turned.shape[0]
    return best


def _quarter_turned(points: Float[np.ndarray, "n 2"], quarter: int, extent: Int[np.ndarray, "2"]):
    """Points of a bitmap of ``extent`` (width, height) after `numpy.rot90` by ``quarter`` turns (y down)."""
    for _ in range(quarter):
        points = np.stack([points[:, 1], extent[0] - points[:, 0]], 1)
        extent = extent[::-1]
    return points


def _row_spans(bitmap: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "s 3"]:
    """(row, first column, length) of every run of marked blocks."""
    padded = np.pad(bitmap, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]
    return np.stack([rows, starts, ends - starts], 1).astype(np.int32)


@kernel()
def mark_blocks(triangles, margin, bitmap):
    """Mark all unit blocks within ``margin`` (in blocks, square neighbourhood) of a triangle (separating axes)."""
    height, width = bitmap.shape
    reach = 0.5 + margin
    for t in range(triangles.shape[0]):
        x0, y0 = triangles[t, 0, 0], triangles[t, 0, 1]
        x1, y1 = triangles[t, 1, 0], triangles[t, 1, 1]
        x2, y2 = triangles[t, 2, 0], triangles[t, 2, 1]
        if (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0) < 0:
            x1, y1, x2, y2 = x2, y2, x1, y1
        first_x = max(0, int(np.floor(min(x0, x1, x2) - margin)))
        last_x = min(width - 1, int(np.floor(max(x0, x1, x2) + margin)))
        first_y = max(0, int(np.floor(min(y0, y1, y2) - margin)))
        last_y = min(height - 1, int(np.floor(max(y0, y1, y2) + margin)))
        ax, ay, bx, by, cx, cy = x1 - x0, y1 - y0, x2 - x1, y2 - y1, x0 - x2, y0 - y2
        a_reach, b_reach, c_reach = (
            (abs(ax) + abs(ay)) * reach,
            (abs(bx) + abs(by)) * reach,
            (abs(cx) + abs(cy)) * reach,
        )
        for y in range(first_y, last_y + 1):
            py = y + 0.5
            for x in range(first_x, last_x + 1):
                px = x + 0.5
                if (
                    ax * (py - y0) - ay * (px - x0) >= -a_reach
                    and bx * (py - y1) - by * (px - x1) >= -b_reach
                    and cx * (py - y2) - cy * (px - x2) >= -c_reach
                ):
                    bitmap[y, x] = True


@kernel()
def find_lowest(runs, spans, height, width, lowest):
    """First (row, column), row by row, where all spans are free and ``row + height < lowest``; (-1, -1) if none.

    ``runs[y, x]`` is the number of free blocks from x on, or minus the number of taken ones: both say how far to jump.
    """
    grid = runs.shape[0]
    for row in range(min(grid - height + 1, lowest - height)):
        column = 0
        while column <= grid - width:
            jump = 0
            for s in range(spans.shape[0]):
                free = runs[row + spans[s, 0], column + spans[s, 1]]
                if free < spans[s, 2]:
                    jump = free + 1 if free > 0 else -free
                    break
            if jump == 0:
                return row, column
            column += jump
    return -1, -1


@kernel()
def occupy(runs, spans, row, column):
    """Take the spans' blocks and renew the run lengths of their rows."""
    grid = runs.shape[1]
    for s in range(spans.shape[0]):
        line = runs[row + spans[s, 0]]
        for x in range(column + spans[s, 1], column + spans[s, 1] + spans[s, 2]):
            line[x] = -1
        for x in range(grid - 1, -1, -1):
            taken = line[x] < 0
            same = x + 1 < grid and (line[x + 1] < 0) == taken
            step = -1 if taken else 1
            line[x] = line[x + 1] + step if same else step
