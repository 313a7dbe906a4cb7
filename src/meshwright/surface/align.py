"""The last tenths of a percent of each view's depth scale: what overlapping depth maps agree on.

Carving takes the maximum over views, so a view whose depth is 0.3 % too far eats into what the others see (that is a
voxel, and half of a scissor blade). Where two views see the same surface firmly, their difference is linear in both
scales; one robust least-squares solve (Cauchy weights) finds all of them. A prior keeps them where nothing overlaps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from meshwright.surface.evidence import BEYOND, DEPTH, FAR_Z, NEAR_Z, SLOPE_X, SLOPE_Y, ViewEvidence, projection_matrix

ROUNDS = 5
FIRM = 0.35  # cosine of incidence that both views must have
SAME_SURFACE = 0.8  # cosine between the normals of both views: the two sides of a blade are not one surface
REACH = 0.012  # of the diagonal: farther apart is another surface
NOISE = 0.001  # of the diagonal: the residual at which the Cauchy weight halves
PRIOR = 0.003  # expected error of a scale, relative
WORTH = 0.03  # weight of the prior beside a view's mean share of the evidence
SAMPLES = 4000  # points a view


def scale_factors(views: list[ViewEvidence], diagonal: float) -> Float[np.ndarray, "v"]:
    """The factors of the views' depths on which overlapping surfaces agree best."""
    factors = np.ones(len(views))
    if sum(bool(view.surface.any()) for view in views) < 2:
        return factors
    for _ in range(ROUNDS):
        factors *= 1 + _solve([rescaled(v, f) for v, f in zip(views, factors, strict=True)], factors, diagonal)
    return factors


def rescaled(view: ViewEvidence, factor: float) -> ViewEvidence:
    """The view with all depths times ``factor``."""
    if factor == 1:
        return view
    maps = view.maps.copy()
    for channel in (DEPTH, SLOPE_X, SLOPE_Y, FAR_Z, NEAR_Z):
        maps[..., channel] = np.where(maps[..., channel] < BEYOND, maps[..., channel] * factor, BEYOND)
    return replace(view, maps=maps, step=view.step * factor)


def _solve(views: list[ViewEvidence], factors: Float[np.ndarray, "v"], diagonal: float) -> Float[np.ndarray, "v"]:
    """One Gauss-Newton step for the relative changes of all scales."""
    count = len(views)
    matrix, right = np.zeros((count, count)), np.zeros(count)
    used = 0.0
    for a, view in enumerate(views):
        points, normals, ray = _samples(view)
        for b, other in enumerate(views):
            if a == b or len(points) == 0:
                continue
            gap, own, pull, weight = _compare(other, points, normals, ray, diagonal)
            row = np.zeros((len(gap), count))
            row[:, a], row[:, b] = pull, own
            matrix += row.T @ (row * weight[:, None])
            right -= row.T @ (gap * weight)
            used += weight.sum()
    stiffness = max(used, 1.0) / count * (NOISE * diagonal / PRIOR) ** 2 * WORTH
    matrix += stiffness * np.eye(count)
    right -= stiffness * (factors - 1)
    return np.clip(np.linalg.solve(matrix, right), -0.01, 0.01)


def _samples(view: ViewEvidence) -> tuple[Float[np.ndarray, "n 3"], ...]:
    """Firmly seen surface points of a view, their normals, and how they move per relative change of its scale."""
    stride = max(1, int(np.sqrt(view.surface.sum() / SAMPLES)))
    points = view.points(stride)
    if len(points) == 0:
        return points, points, points
    _, gradient, _, _ = _look_up(view, points)
    norm = np.linalg.norm(gradient, axis=1)
    firm = 1 / norm > FIRM
    points, normals = points[firm], (gradient / norm[:, None])[firm]
    if view.camera.projection == "perspective":
        return points, normals, points - view.camera.center
    _, z = view.camera.project(points)
    return points, normals, z[:, None] * view.camera.forward


def _compare(other, points, normals, ray, diagonal):
    """Normal distances to the other view's surface, their change per relative change of either scale, weights."""
    depth, gradient, gap, valid = _look_up(other, points)
    norm = np.linalg.norm(gradient, axis=1)
    gap = gap / norm
    own, pull = depth / norm, (gradient * ray).sum(1) / norm
    facing = (gradient * normals).sum(1) / norm > SAME_SURFACE
    near = valid & facing & (1 / norm > FIRM) & (np.abs(gap) < REACH * diagonal)
    weight = 1 / (1 + (gap / (NOISE * diagonal)) ** 2)
    return gap[near], own[near], pull[near], weight[near]


def _look_up(view, points):
    """Depth of the surface under each point, gradient of (surface z - point z) in the world, that gap, and validity."""
    rows = projection_matrix(view.camera)
    uv, z = view.camera.project(points)
    inside = np.nan_to_num(uv - view.corner, nan=-1.0)
    i, j = np.floor(inside[:, 1]).astype(int), np.floor(inside[:, 0]).astype(int)
    height, width = view.maps.shape[:2]
    valid = (i >= 0) & (j >= 0) & (i < height) & (j < width)
    pixel = view.maps[i.clip(0, height - 1), j.clip(0, width - 1)].astype(float)
    valid &= (pixel[:, DEPTH] > 0) & (pixel[:, DEPTH] < BEYOND)
    perspective = view.camera.projection == "perspective"
    shape = (rows[:2, :3] - uv[:, :, None] * rows[2, :3]) / z[:, None, None] if perspective else rows[None, :2, :3]
    gradient = pixel[:, SLOPE_X, None] * shape[:, 0] + pixel[:, SLOPE_Y, None] * shape[:, 1] - rows[2, :3]
    offset = inside - np.floor(inside) - 0.5
    depth = pixel[:, DEPTH] + pixel[:, SLOPE_X] * offset[:, 0] + pixel[:, SLOPE_Y] * offset[:, 1]
    gradient = np.where(valid[:, None], gradient, -rows[2, :3])
    return np.where(valid, depth, 0.0), gradient, np.where(valid, depth - z, np.inf), valid
