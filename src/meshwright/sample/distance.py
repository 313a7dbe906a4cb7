"""Signed distance functions and their blends: negative inside, positive outside.

Every primitive takes points (n, 3) and returns (n,) float distances; formulas after Quilez, "Distance functions"
(iquilezles.org/articles/distfunctions) and "Smooth minimum" (the quadratic polynomial one).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "n 3"]
Distances = Float[np.ndarray, "n"]
Vector = tuple[float, float, float]


def _shift(points: Points, centre: Vector) -> Points:
    return points - np.asarray(centre, points.dtype)


def sphere(points: Points, centre: Vector, radius: float) -> Distances:
    """A ball."""
    return np.linalg.norm(_shift(points, centre), axis=1) - radius


def capsule(points: Points, start: Vector, end: Vector, radius: float) -> Distances:
    """All points within ``radius`` of a line segment."""
    from_start = _shift(points, start)
    along = np.subtract(end, start).astype(points.dtype)
    t = np.clip(from_start @ along / (along @ along), 0, 1)
    return np.linalg.norm(from_start - t[:, None] * along, axis=1) - radius


def rounded_box(points: Points, centre: Vector, half: Vector, radius: float) -> Distances:
    """An axis-aligned box of half sizes ``half`` (rounding included) whose edges have ``radius``."""
    q = np.abs(_shift(points, centre)) - (np.asarray(half, points.dtype) - radius)
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0) - radius


def rounded_cylinder(
    points: Points, centre: Vector, axis: int, radius: float, half_length: float, rounding: float
) -> Distances:
    """A cylinder along coordinate ``axis`` (0, 1, 2) with rounded rims."""
    local = _shift(points, centre)
    across = np.delete(local, axis, axis=1)
    q = np.stack(
        [np.hypot(across[:, 0], across[:, 1]) - radius + rounding, np.abs(local[:, axis]) - half_length + rounding], 1
    )
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0) - rounding


def torus(points: Points, centre: Vector, axis: int, ring_radius: float, tube_radius: float) -> Distances:
    """A ring around coordinate ``axis``."""
    local = _shift(points, centre)
    across = np.delete(local, axis, axis=1)
    return np.hypot(np.hypot(across[:, 0], across[:, 1]) - ring_radius, local[:, axis]) - tube_radius


def smooth_union(a: Distances, b: Distances, blend: float) -> Distances:
    """The union of two solids with a fillet of about ``blend``."""
    h = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.minimum(a, b) - h * h * blend / 4


def smooth_difference(a: Distances, b: Distances, blend: float) -> Distances:
    """Solid ``a`` without solid ``b``, the new edge rounded by about ``blend``."""
    return -smooth_union(-a, b, blend)


def turned(points: Points, angle_deg: float, axis: int, centre: Vector = (0.0, 0.0, 0.0)) -> Points:
    """Points in the frame of a solid that was turned about coordinate ``axis`` (counter-clockwise from its tip)."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    u, v = [(1, 2), (2, 0), (0, 1)][axis]
    local = _shift(points, centre)
    out = local.copy()
    out[:, u] = c * local[:, u] + s * local[:, v]
    out[:, v] = -s * local[:, u] + c * local[:, v]
    return out + np.asarray(centre, points.dtype)
