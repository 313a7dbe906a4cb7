"""The slow, readable twin of `meshwright.surface.fuse.fused_distance`: one view at a time, then one point at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshwright.surface import fuse


@dataclass
class Claim:
    """What one view says about n points: distances (NaN = nothing said), normal, cosine of incidence."""

    surface: np.ndarray
    contour: np.ndarray
    normal: np.ndarray
    cosine: np.ndarray


def image_gradients(camera, points):
    """World gradients of pixel x, pixel y and z-depth at the points, each (n, 3)."""
    w2c = camera.w2c
    local = points @ w2c[:3, :3].T + w2c[:3, 3]
    z = local[:, 2:3]
    right, down, forward = w2c[:3, :3]
    K = camera.K
    if camera.projection == "orthographic":
        gu, gv = K[0, 0] * right + K[0, 1] * down, K[1, 1] * down
        return np.tile(gu, (len(z), 1)), np.tile(gv, (len(z), 1)), np.tile(forward, (len(z), 1))
    slope = local[:, :2] / z
    gx = (right - slope[:, :1] * forward) / z
    gy = (down - slope[:, 1:] * forward) / z
    return K[0, 0] * gx + K[0, 1] * gy, K[1, 1] * gy, np.tile(forward, (len(z), 1))


def claim(view, points, cut) -> Claim:
    n = len(points)
    out = Claim(np.full(n, np.nan), np.full(n, np.nan), np.zeros((n, 3)), np.zeros(n))
    uv, z = view.camera.project(points)
    gu, gv, gz = image_gradients(view.camera, points)
    height, width = view.maps.shape[:2]
    for k in range(n):
        cu, cv = uv[k] - view.corner
        if not (0 <= cu < width and 0 <= cv < height):
            row, column = int(np.clip(cv, 0, height - 1)), int(np.clip(cu, 0, width - 1))
            out.contour[k] = -cut if view.maps[row, column, 3] > 0 else cut
            continue
        i, j = int(cv), int(cu)
        depth, sx, sy, silhouette, far_px, far_z, near_px, near_z = view.maps[i, j].astype(float)
        size = 1 / np.linalg.norm(gu[k])
        rim = -silhouette * size
        if depth >= 1e29:
            out.contour[k] = rim
        elif depth <= 0:
            out.contour[k] = min(rim, 0)
        else:
            gradient = sx * gu[k] + sy * gv[k] - gz[k]
            norm = np.linalg.norm(gradient)
            d = (depth + sx * (cu - j - 0.5) + sy * (cv - i - 0.5) - z[k]) / norm
            if d >= 0 and near_z < z[k] and near_px * size < d:
                out.contour[k] = near_px * size
                continue
            edge = max(rim, -far_px * size if far_z > z[k] else -np.inf)
            if d < 0 and edge > d:
                out.contour[k] = min(edge, 0)
            out.surface[k], out.normal[k], out.cosine[k] = d, gradient / norm, 1 / norm
    return out


def fused(views, points, voxel):
    """Value and support per point, as `FreeSpace.distance`."""
    cut = fuse.TRUNCATION * voxel
    claims = [claim(view, points, cut) for view in views]
    value, support = np.empty(len(points)), np.zeros(len(points))
    for k in range(len(points)):
        if any(c.contour[k] >= cut for c in claims):
            value[k] = cut
            continue
        contour = max([-cut, *(c.contour[k] for c in claims if not np.isnan(c.contour[k]))])
        value[k], support[k] = combine([c for c in claims if c.cosine[k] > 0], k, contour, voxel)
    return np.clip(value, -cut, cut), support


def combine(claims, k, contour, voxel):
    cut = fuse.TRUNCATION * voxel
    close = [c.cosine[k] for c in claims if abs(c.surface[k]) < 1.5 * voxel]
    best = max(claims, key=lambda c: c.surface[k], default=None)
    if best is None or best.surface[k] <= -cut:
        return contour, max(close, default=0.0)
    if best.cosine[k] < fuse.GRAZING:
        firm = [c for c in claims if c.cosine[k] > fuse.FIRM and c.surface[k] > best.surface[k] - voxel]
        best = max(firm, key=lambda c: c.surface[k], default=best)
    total = weight = 0.0
    for c in claims:
        drop = (best.surface[k] - c.surface[k]) / voxel
        if abs(drop) < 1 and c.normal[k] @ best.normal[k] > fuse.SAME_SURFACE:
            share = c.cosine[k] ** 2 * (1 - abs(drop))
            total, weight = total + share * c.surface[k], weight + share
    return max(total / weight, contour), max(close, default=0.0)
