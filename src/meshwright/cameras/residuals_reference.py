"""The residual kernel of `residuals`, written to be read: whole arrays, one view at a time, no shortcuts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from meshwright.cameras.residuals import (
    BEHIND_CAMERA,
    INSIDE,
    OUTSIDE,
    SKIPPED,
    Maps,
    Poses,
    Residuals,
    Samples,
    law_depth,
    project_pairs,
)


def pair_residuals_reference(
    samples: Samples, poses: Poses, maps: Maps, directions: Float[np.ndarray, "k 2"]
) -> Residuals:
    """What `pair_residuals` returns for all pairs: residual (m n), state (m n) and support function (n k)."""
    count, n = len(samples.view), len(poses.rotation)
    out, state = np.zeros((count, n)), np.full((count, n), SKIPPED, np.uint8)
    support = np.full((n, len(directions)), -1e9)
    for target in range(n):
        uv, slope2, z = project_pairs(samples, poses, target)
        others = samples.view != target
        hidden = np.zeros(count, bool) if poses.orthographic else z * poses.kappa < BEHIND_CAMERA
        out[others & hidden, target], state[others & hidden, target] = 1.0, OUTSIDE
        rows = np.nonzero(others & ~hidden)[0]
        if len(rows):
            slopes = (uv[rows] - poses.intrinsics[target, 2:]) / poses.intrinsics[target, :2]
            support[target] = (slopes @ directions.T).max(0)
            out[rows, target], state[rows, target] = _judged(uv[rows], slope2[rows], z[rows], target, poses, maps)
    return out, state, support


def _judged(
    uv: Float[np.ndarray, "m 2"],
    slope2: Float[np.ndarray, "m"],
    z: Float[np.ndarray, "m"],
    target: int,
    poses: Poses,
    maps: Maps,
) -> tuple[Float[np.ndarray, "m"], np.ndarray]:
    """Residual and state of points at map coordinates ``uv`` and depth ``z`` of one view."""
    width, height = maps.sizes[target]
    pixel = (np.ones_like(z) if poses.orthographic else z * poses.kappa) / poses.intrinsics[target, 1]
    nearest = np.clip(uv, 0.5, np.array([width, height]) - 0.5)
    away = np.linalg.norm(uv - nearest, axis=1)
    gap = interpolated(maps.distance[target].astype(float), nearest)
    unseen = (away > 0) & (gap < 0)  # the silhouette leaves the image there
    gap = gap + away
    value = surface_value(maps.values[target].astype(float), uv, float(maps.jump[target]))
    seen = law_depth(value, poses.law[[target]], poses, slope2)
    ahead = np.minimum(seen - z, np.where(seen > z, -gap * pixel, np.inf))
    outside, inside = ~unseen & (gap > 0), ~unseen & (gap <= 0) & (value > 0)
    state = np.where(outside, OUTSIDE, np.where(inside, INSIDE, SKIPPED))
    return np.where(outside, gap * pixel, np.where(inside, ahead, 0.0)), state


def interpolated(image: Float[np.ndarray, "h w"], uv: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "m"]:
    """Bilinear lookup, pixel centres at +0.5, the border repeated."""
    corners, weights = _corners(np.clip(uv, 0.5, np.array(image.shape[::-1]) - 0.501))
    return sum(w * image[y, x] for (x, y), w in zip(corners, weights, strict=True))  # type: ignore[return-value]


def surface_value(
    values: Float[np.ndarray, "h w"], uv: Float[np.ndarray, "m 2"], jump: float
) -> Float[np.ndarray, "m"]:
    """Bilinear value among the valid neighbours within ``jump`` of the nearest valid one; 0 where there is none."""
    height, width = values.shape
    low = np.floor(uv - 0.5)
    within = (low >= 0).all(1) & (low[:, 0] + 1 < width) & (low[:, 1] + 1 < height)
    corners, weights = _corners(np.where(within[:, None], uv, 0.5))
    found = np.stack([values[y, x] for x, y in corners])
    share = np.where(found > 0, np.stack(weights), -1.0)
    reference = np.take_along_axis(found, share.argmax(0)[None], 0)[0]
    same: Bool[np.ndarray, "4 m"] = (found > 0) & (np.abs(found - reference) <= jump)
    total = np.where(same, np.stack(weights), 0.0)
    mean = (total * found).sum(0) / np.maximum(total.sum(0), 1e-30)
    return np.where(within & (reference > 0), np.where(total.sum(0) > 1e-9, mean, reference), 0.0)


def _corners(uv: Float[np.ndarray, "m 2"]) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[Float[np.ndarray, "m"]]]:
    """The four pixels around each position, as (x, y) index arrays, and their bilinear weights."""
    low = np.floor(uv - 0.5).astype(int)
    fx, fy = (uv - 0.5 - low).T
    corners = [(low[:, 0] + dx, low[:, 1] + dy) for dy in (0, 1) for dx in (0, 1)]
    return corners, [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
