"""The kernel that looks surface points up in one view: depth tests, weight, bicubic colour, best few kept."""

from __future__ import annotations

import numpy as np

from meshwright.rendering.threads import kernel

GRAZING_FLOOR = 0.02  # cosine below which a sighting is worthless


@kernel()
def gather_view(
    points, normals, surface, image, center, forward, perspective, depth, own_depth, trust,
    rgb, rgb_trust, confidence, depth_slack, own_slack, pixel_slope, number,
    colors, weights, views, cosines,
):  # fmt: skip
    """Add one view's sightings of all points to ``colors, weights, views, cosines`` (see `Sightings`)."""
    height, width = depth.shape
    rgb_height, rgb_width = rgb.shape[0], rgb.shape[1]
    masked = rgb_trust.size > 1
    sampled = np.zeros(3)
    for p in range(points.shape[0]):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        depth_z = surface[2, 0] * x + surface[2, 1] * y + surface[2, 2] * z + surface[2, 3]
        if perspective and depth_z <= 1e-9:
            continue
        dx, dy, dz = -forward[0], -forward[1], -forward[2]
        if perspective:
            dx, dy, dz = center[0] - x, center[1] - y, center[2] - z
        cosine = dx * normals[p, 0] + dy * normals[p, 1] + dz * normals[p, 2]
        cosine /= np.sqrt(dx * dx + dy * dy + dz * dz)
        if cosine < GRAZING_FLOOR:
            continue
        w = 1.0 / depth_z if perspective else 1.0
        u = (surface[0, 0] * x + surface[0, 1] * y + surface[0, 2] * z + surface[0, 3]) * w - 0.5
        v = (surface[1, 0] * x + surface[1, 1] * y + surface[1, 2] * z + surface[1, 3]) * w - 0.5
        if not (u >= 0 and v >= 0 and u <= width - 1 and v <= height - 1):
            continue
        column, row = min(int(u), width - 2), min(int(v), height - 2)
        fu, fv = u - column, v - row
        slope = np.sqrt(1 - min(cosine, 1.0) ** 2) / cosine
        slack = depth_slack + 1.5 * pixel_slope * (depth_z if perspective else 1.0) * min(slope, 20.0)
        support = 0.0
        for k in range(4):
            r, c = row + k // 2, column + k % 2
            share = (fv if k // 2 else 1 - fv) * (fu if k % 2 else 1 - fu)
            near = depth[r, c]
            if near > 0 and depth_z - near < slack:
                own = own_depth[r, c]
                if own <= 0 or abs(own - depth_z) < own_slack + 0.5 * slack:
                    support += share * trust[r, c]
        if support <= 1e-4:
            continue
        iu = (image[0, 0] * x + image[0, 1] * y + image[0, 2] * z + image[0, 3]) * w - 0.5
        iv = (image[1, 0] * x + image[1, 1] * y + image[1, 2] * z + image[1, 3]) * w - 0.5
        if not (iu >= -0.5 and iv >= -0.5 and iu <= rgb_width - 0.5 and iv <= rgb_height - 0.5):
            continue
        if masked:
            support *= rgb_trust[min(max(int(iv + 0.5), 0), rgb_height - 1), min(max(int(iu + 0.5), 0), rgb_width - 1)]
            if support <= 1e-4:
                continue
        cosines[p] = max(cosines[p], cosine)
        _keep(p, support * confidence * cosine**4, rgb, iu, iv, number, sampled, colors, weights, views)


@kernel()
def _keep(p, weight, rgb, iu, iv, number, sampled, colors, weights, views):
    """Insert a sighting where it belongs among the best, unless all kept ones are better."""
    kept = weights.shape[1]
    if weight <= weights[p, kept - 1]:
        return
    bicubic(rgb, iu, iv, sampled)
    slot = kept - 1
    while slot > 0 and weight > weights[p, slot - 1]:
        weights[p, slot], views[p, slot] = weights[p, slot - 1], views[p, slot - 1]
        for c in range(3):
            colors[p, slot, c] = colors[p, slot - 1, c]
        slot -= 1
    weights[p, slot], views[p, slot] = weight, number
    for c in range(3):
        colors[p, slot, c] = np.uint8(min(max(sampled[c], 0.0), 255.0) + 0.5)


@kernel()
def bicubic(rgb, x, y, out):
    """Catmull-Rom sample (Keys 1981, a = -1/2) at (x, y), pixel centres at whole numbers, clamped at borders."""
    height, width = rgb.shape[0], rgb.shape[1]
    column, row = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - column, y - row
    out[0] = out[1] = out[2] = 0.0
    for j in range(4):
        wy = _cubic(fy, j)
        r = min(max(row + j - 1, 0), height - 1)
        for i in range(4):
            w = wy * _cubic(fx, i)
            c = min(max(column + i - 1, 0), width - 1)
            out[0] += w * rgb[r, c, 0]
            out[1] += w * rgb[r, c, 1]
            out[2] += w * rgb[r, c, 2]


@kernel()
def _cubic(t, tap):
    """Weight of tap 0..3 (at offsets -1, 0, 1, 2) for a point ``t`` past tap 1."""
    if tap == 0:
        return ((-0.5 * t + 1.0) * t - 0.5) * t
    if tap == 1:
        return (1.5 * t - 2.5) * t * t + 1.0
    if tap == 2:
        return ((-1.5 * t + 2.0) * t + 0.5) * t
    return (0.5 * t - 0.5) * t * t
