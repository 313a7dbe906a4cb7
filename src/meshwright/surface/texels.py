"""Which face each texel of an atlas shows, and where on it: the atlas rasteriser.

A texel belongs to the face that holds its centre. Texels just outside a chart (`REACH` texels, so that bilinear
sampling at a border finds its four neighbours) belong to the nearest face, at the nearest point of that face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.rendering.threads import kernel

REACH = 1.5


@dataclass(frozen=True, eq=False)
class AtlasTexels:
    """The covered texels of a square atlas, in row-major order.

    ``index`` (t,) is row * size + column, ``face`` (t,) the face, ``barycentric`` (t, 3) float32, ``inside`` (t,) False
    for border texels whose centre lies outside the chart; ``folded`` (m,) marks faces that lie under another face.
    """

    size: int
    index: Int[np.ndarray, "t"]
    face: Int[np.ndarray, "t"]
    barycentric: Float[np.ndarray, "t 3"]
    inside: Bool[np.ndarray, "t"]
    folded: Bool[np.ndarray, "m"]

    def image(self, values: np.ndarray, empty: float = 0) -> np.ndarray:
        """Scatter per-texel ``values`` (t, ...) into a (size, size, ...) image."""
        picture = np.full((self.size * self.size, *values.shape[1:]), empty, values.dtype)
        picture[self.index] = values
        return picture.reshape(self.size, self.size, *values.shape[1:])


def rasterize_atlas(uv_texels: Float[np.ndarray, "q 2"], faces: Int[np.ndarray, "m 3"], size: int) -> AtlasTexels:
    """Rasterise flat faces given in texels (x right, y down); where faces overlap, the first one wins."""
    corners = np.ascontiguousarray(uv_texels[faces], np.float64)
    owner = np.full((size, size), -1, np.int32)
    margin = np.full((size, size), -np.float32(REACH), np.float32)
    weights = np.zeros((size, size, 2), np.float32)
    folded = np.zeros(len(faces), np.bool_)
    fill_atlas(corners, owner, margin, weights, folded)
    index = np.flatnonzero(owner.ravel() >= 0)
    two = weights.reshape(-1, 2)[index]
    barycentric = np.concatenate([1 - two.sum(1, keepdims=True), two], 1)
    return AtlasTexels(size, index, owner.ravel()[index], barycentric, margin.ravel()[index] >= 0, folded)


@kernel()
def _on_segment(px, py, ax, ay, bx, by):
    """(share along a->b of the nearest point, squared distance to it)."""
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    share = 0.0 if length < 1e-30 else min(max(((px - ax) * dx + (py - ay) * dy) / length, 0.0), 1.0)
    ex, ey = ax + share * dx - px, ay + share * dy - py
    return share, ex * ex + ey * ey


@kernel()
def fill_atlas(corners, owner, margin, weights, folded):
    """Fill ``owner``, ``margin`` (distance to the face's border in texels, negative outside) and two barycentrics."""
    size = owner.shape[0]
    for f in range(corners.shape[0]):
        ax, ay, bx, by = corners[f, 0, 0], corners[f, 0, 1], corners[f, 1, 0], corners[f, 1, 1]
        cx, cy = corners[f, 2, 0], corners[f, 2, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        scale = 1.0 / area if abs(area) > 1e-20 else 0.0
        ab, bc = np.sqrt((bx - ax) ** 2 + (by - ay) ** 2), np.sqrt((cx - bx) ** 2 + (cy - by) ** 2)
        ca = np.sqrt((ax - cx) ** 2 + (ay - cy) ** 2)
        first_x, last_x = max(0, int(min(ax, bx, cx) - REACH - 0.5)), min(size - 1, int(max(ax, bx, cx) + REACH))
        first_y, last_y = max(0, int(min(ay, by, cy) - REACH - 0.5)), min(size - 1, int(max(ay, by, cy) + REACH))
        for y in range(first_y, last_y + 1):
            py = y + 0.5
            for x in range(first_x, last_x + 1):
                px = x + 0.5
                u = ((cx - ax) * (ay - py) - (cy - ay) * (ax - px)) * scale
                v = ((px - ax) * (by - ay) - (py - ay) * (bx - ax)) * -scale
                if scale != 0.0 and u >= 0 and v >= 0 and u + v <= 1:
                    # heights over the three edges
                    depth = abs(area) * min(u / max(ca, 1e-12), v / max(ab, 1e-12), (1 - u - v) / max(bc, 1e-12))
                    if margin[y, x] >= 0:
                        if min(depth, margin[y, x]) > 0.02:
                            folded[f] = True
                    else:
                        owner[y, x], margin[y, x] = f, depth
                        weights[y, x, 0], weights[y, x, 1] = u, v
                elif margin[y, x] < 0:
                    s_ab, d_ab = _on_segment(px, py, ax, ay, bx, by)
                    s_bc, d_bc = _on_segment(px, py, bx, by, cx, cy)
                    s_ca, d_ca = _on_segment(px, py, cx, cy, ax, ay)
                    nearest = min(d_ab, d_bc, d_ca)
                    if -np.sqrt(nearest) > margin[y, x]:
                        owner[y, x], margin[y, x] = f, min(-np.sqrt(nearest), -1e-9)
                        if nearest == d_ab:
                            weights[y, x, 0], weights[y, x, 1] = s_ab, 0.0
                        elif nearest == d_bc:
                            weights[y, x, 0], weights[y, x, 1] = 1 - s_bc, s_bc
                        else:
                            weights[y, x, 0], weights[y, x, 1] = 0.0, 1 - s_ca
