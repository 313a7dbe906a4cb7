"""Reading textures: a mip pyramid that does not bleed between charts, bilinear and trilinear look-up.

uv has its origin at the top left, v downwards; texel (column i, row j) of a W x H texture has its centre at
((i + 0.5) / W, (j + 0.5) / H). Textures repeat outside of 0..1. Values are averaged as they are, in sRGB display space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from meshwright.rendering.threads import kernel, over_rows
from meshwright.rendering.visibility import checked_faces, fill_rows, snapped

SMALLEST_LEVEL = 4  # texels on the longer side


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A texture and its halvings, one after another in ``texels``; a row of ``levels`` is (first texel, height, width).

    A level is half of the finer one, rounded up: level k has a texel every 2^k texels of level 0.
    """

    texels: UInt8[np.ndarray, "t 3"]
    levels: Int[np.ndarray, "l 3"]

    def level(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """One level as an image."""
        first, height, width = self.levels[index]
        return self.texels[first : first + height * width].reshape(height, width, 3)


def build_pyramid(texture: UInt8[np.ndarray, "h w 3"], covered: Bool[np.ndarray, "h w"] | None = None) -> Pyramid:
    """The mip pyramid of a texture. Where ``covered`` is False a texel does not count: coarser levels average only
    covered texels and carry their colours outwards, so that nothing between charts shines through.
    """
    weight = None if covered is None or covered.all() or not covered.any() else covered.astype(np.float32)
    means, weights = [np.asarray(texture)], [weight]
    while max(means[-1].shape[:2]) > SMALLEST_LEVEL:
        mean, weight = _halved(means[-1], weight)
        means.append(mean)
        weights.append(weight)
    _fill_gaps(means, weights)
    images = means[:1] + [np.rint(mean).astype(np.uint8) for mean in means[1:]]
    sizes = np.array([image.shape[:2] for image in images], np.int64)
    first = np.cumsum(np.concatenate([[0], sizes.prod(1)[:-1]]))
    texels = np.concatenate([image.reshape(-1, 3) for image in images])
    return Pyramid(texels, np.column_stack([first, sizes]))


def _fill_gaps(means: list[np.ndarray], weights: list[np.ndarray | None]) -> None:
    """Give texels of weight 0, at all levels but the finest, the colour of the level above (at the top, the mean)."""
    if weights[-1] is None or len(means) < 2:
        return
    means[-1][weights[-1] == 0] = means[-1][weights[-1] > 0].mean(0)
    for k in range(len(means) - 2, 0, -1):
        gap = weights[k] == 0
        coarse = means[k + 1].repeat(2, 0).repeat(2, 1)[: gap.shape[0], : gap.shape[1]]
        means[k][gap] = coarse[gap]


def _halved(
    image: np.ndarray, weight: Float[np.ndarray, "h w"] | None
) -> tuple[Float[np.ndarray, "h2 w2 3"], Float[np.ndarray, "h2 w2"] | None]:
    """Means of 2 x 2 texels; texels of weight 0 do not count, and a mean of none is 0."""
    odd = [(0, image.shape[0] % 2), (0, image.shape[1] % 2)]
    image = np.pad(image, [*odd, (0, 0)], mode="edge") if any(side[1] for side in odd) else image
    if weight is None:
        return _sum4(image) / np.float32(4), None
    weight = np.pad(weight, odd) if any(side[1] for side in odd) else weight
    total = _sum4(weight)
    mean = _sum4(image * weight[..., None]) / np.maximum(total, np.float32(1e-12))[..., None]
    return mean, (total > 0).astype(np.float32)


def _sum4(image: np.ndarray) -> Float[np.ndarray, "h2 w2 *c"]:
    rows = image[0::2].astype(np.float32) + image[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def chart_mask(
    uv: Float[np.ndarray, "n 2"], faces: Int[np.ndarray, "m 3"], height: int, width: int
) -> Bool[np.ndarray, "h w"] | None:
    """Texels whose centre lies in a chart, or beside one; None for a texture that repeats (uv outside of 0..1)."""
    if len(uv) == 0 or uv.min() < -1e-3 or uv.max() > 1 + 1e-3:
        return None
    points = snapped(np.column_stack([uv * [width, height], np.ones(len(uv))]))
    triangles = checked_faces(faces, len(uv))
    keys, ids = np.zeros((height, width)), np.full((height, width), -1, np.int32)
    over_rows(height, lambda low, high: fill_rows(points, triangles, low, high, keys, ids))
    inside = ids >= 0
    near = inside.copy()
    near[1:] |= inside[:-1]
    near[:-1] |= inside[1:]
    near[:, 1:] |= near[:, :-1].copy()
    near[:, :-1] |= near[:, 1:].copy()
    return near


def sample_bilinear(
    image: np.ndarray, uv: Float[np.ndarray, "*n 2"], share: tuple[float, float] = (1.0, 1.0)
) -> Float[np.ndarray, "*n c"]:
    """Bilinear look-up of an image (h, w, c) at ``uv``, repeating. ``share`` is how much of the image's width and
    height uv's unit square spans: below 1 for pyramid levels whose size was rounded up.
    """
    height, width = image.shape[:2]
    x = (uv[..., 0] % 1.0) * width * share[0] - 0.5
    y = (uv[..., 1] % 1.0) * height * share[1] - 0.5
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - column)[..., None], (y - row)[..., None]
    left, right, upper, lower = column % width, (column + 1) % width, row % height, (row + 1) % height
    top = image[upper, left] * (1 - fx) + image[upper, right] * fx
    bottom = image[lower, left] * (1 - fx) + image[lower, right] * fx
    return top * (1 - fy) + bottom * fy


@kernel()
def mix_bilinear(texels, levels, level, u, v, weight, out):
    """Add ``weight`` times one level at wrapped (u, v) to ``out`` (3)."""
    first, height, width = levels[level, 0], levels[level, 1], levels[level, 2]
    x = u * levels[0, 2] / 2.0**level - 0.5
    y = v * levels[0, 1] / 2.0**level - 0.5
    column, row = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - column, y - row
    left, right = column % width, (column + 1) % width
    upper, lower = first + row % height * width, first + (row + 1) % height * width
    for c in range(3):
        top = texels[upper + left, c] * (1.0 - fx) + texels[upper + right, c] * fx
        bottom = texels[lower + left, c] * (1.0 - fx) + texels[lower + right, c] * fx
        out[c] += weight * (top * (1.0 - fy) + bottom * fy)


@kernel()
def mix_trilinear(texels, levels, u, v, lod, weight, out):
    """Add ``weight`` times the texture at (u, v) and mip level ``lod`` (clamped; fractions blend) to ``out`` (3)."""
    u, v = u - np.floor(u), v - np.floor(v)
    lod = min(max(lod, 0.0), len(levels) - 1.0)
    fine = int(lod)
    part = lod - fine
    for level in range(fine, min(fine + 2, len(levels))):
        mix_bilinear(texels, levels, level, u, v, weight * (1.0 - part if level == fine else part), out)
