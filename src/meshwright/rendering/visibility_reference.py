"""The readable twin of `visibility`: one face at a time, in exact integers, with the textbook top-left rule."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.rendering.visibility import SUBPIXEL

UNITS = round(1 / SUBPIXEL)  # grid steps in a pixel


def visibility_reference(
    screen: Float[np.ndarray, "n V 3"], faces: Int[np.ndarray, "F 3"], height: int, width: int
) -> Int[np.ndarray, "n h w"]:
    """What `visibility` must return, for screen points within +-8192 px."""
    ids = np.full((len(screen), height, width), -1, np.int32)
    for n, points in enumerate(screen):
        keys = np.zeros((height, width))
        for f, face in enumerate(faces):
            corners = points[face]
            if not (np.isfinite(corners).all() and (corners[:, 2] > 0).all()):
                continue
            inside, key = cover(corners, height, width)
            nearer = inside & (key > keys)
            keys[nearer] = key[nearer]
            ids[n][nearer] = f
    return ids


def cover(
    corners: Float[np.ndarray, "3 3"], height: int, width: int
) -> tuple[Bool[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Which pixel centres a triangle covers, and its key there."""
    grid = np.rint(corners[:, :2] * UNITS).astype(np.int64)
    order = np.lexsort((grid[:, 1], grid[:, 0]))
    grid, keys = grid[order], corners[order, 2]
    area = int(_cross(grid[1] - grid[0], grid[2] - grid[0]))
    if area == 0:
        return np.zeros((height, width), bool), np.zeros((height, width))
    inside = np.ones((height, width), bool)
    weights = np.zeros((3, height, width))
    for k in range(3):
        start, end = grid[(k + 1) % 3], grid[(k + 2) % 3]
        if area < 0:
            start, end = end, start
        value = _edge(start, end, height, width)
        weights[k] = value
        inside &= (value > 0) | ((value == 0) & _is_top_or_left(end - start))
    return inside, (weights[0] * keys[0] + weights[1] * keys[1] + weights[2] * keys[2]) / weights.sum(0)


def _cross(a: Int[np.ndarray, "2"], b: Int[np.ndarray, "2"]) -> np.int64:
    return a[0] * b[1] - a[1] * b[0]


def _edge(start: Int[np.ndarray, "2"], end: Int[np.ndarray, "2"], height: int, width: int) -> Int[np.ndarray, "h w"]:
    """Twice the area of (start, end, sample): positive inside, for corners in positive order."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    step = end - start
    return step[0] * (y * UNITS + UNITS // 2 - start[1]) - step[1] * (x * UNITS + UNITS // 2 - start[0])


def _is_top_or_left(step: Int[np.ndarray, "2"]) -> bool:
    """With y downwards and positive area, the inside lies right of edges that go up and below edges that go right."""
    return bool(step[1] < 0 or (step[1] == 0 and step[0] > 0))
