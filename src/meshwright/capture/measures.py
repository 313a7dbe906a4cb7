"""Numbers about a view that tell whether it is usable: sharpness, exposure, coverage, likeness, silhouette overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

_WORK_SIZE = 1024
_THUMBNAIL = 64


class Exposure(NamedTuple):
    """Mean brightness of the object (0..255) and the shares of its pixels that are clipped dark and bright."""

    mean: float
    dark: float
    bright: float


class Overlap(NamedTuple):
    """IoU of two silhouettes as they lie, and after shift and scale are taken out; the scale (first over second) and
    the shift (of the image width) that were taken out."""

    iou: float
    aligned_iou: float
    scale: float
    shift: tuple[float, float]


def grey_thumbnail(rgb: UInt8[np.ndarray, "h w 3"], size: int = _THUMBNAIL) -> Float[np.ndarray, "s s"]:
    """A small square grey copy, area-averaged."""
    return np.asarray(Image.fromarray(rgb).convert("L").resize((size, size), Image.Resampling.BOX)).astype(np.float32)


def sharpness(rgb: UInt8[np.ndarray, "h w 3"]) -> float:
    """Variance of the Laplacian over mean squared gradient, at no more than 1024 px; 0 for a constant image.

    The quotient does not depend on contrast or on how much of the image the object fills, so views can be compared:
    a Gaussian blur of b pixels divides it by about b squared.
    """
    factor = max(1, int(np.ceil(max(rgb.shape[:2]) / _WORK_SIZE)))
    grey = np.asarray(Image.fromarray(rgb).convert("L").reduce(factor)).astype(np.float32)
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    gradient = (grey[2:, 1:-1] - grey[:-2, 1:-1]) ** 2 + (grey[1:-1, 2:] - grey[1:-1, :-2]) ** 2
    energy = float(gradient.mean()) / 4
    return float(laplacian.var()) / energy if energy > 1e-3 else 0.0


def exposure(rgb: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> Exposure:
    """How bright the object is: means over the mask (every fourth pixel each way in large images)."""
    step = max(1, max(rgb.shape[:2]) // 512)
    pixels = rgb[::step, ::step][mask[::step, ::step]]
    if not len(pixels):
        return Exposure(0.0, 0.0, 0.0)
    level = pixels.mean(axis=1)
    return Exposure(float(level.mean()), float((level <= 4).mean()), float((level >= 251).mean()))


def border_share(mask: Bool[np.ndarray, "h w"]) -> float:
    """Share of the image's outermost pixels that the mask covers."""
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(rim.mean())


def likeness(a: Float[np.ndarray, "s s"], b: Float[np.ndarray, "s s"]) -> float:
    """Mean absolute difference of two thumbnails in grey levels (0 = the same)."""
    return float(np.abs(a - b).mean())


def silhouette_overlap(first: Bool[np.ndarray, "h w"], second: Bool[np.ndarray, "a b"], size: int = 256) -> Overlap:
    """How well two silhouettes of one view agree, at ``size`` px: as they lie, and with their moments matched.

    The similarity is that of centroid and area (no rotation); it is the first guess of any registration.
    """
    a, b = (_small(mask, size) for mask in (first, second))
    iou = _iou(a, b)
    if not (a.any() and b.any()):
        return Overlap(iou, iou, 1.0, (0.0, 0.0))
    scale = float(np.sqrt(a.sum() / b.sum()))
    centre_a, centre_b = _centroid(a), _centroid(b)
    rows, columns = np.indices(a.shape)
    source_rows = np.rint((rows - centre_a[0]) / scale + centre_b[0]).astype(int)
    source_columns = np.rint((columns - centre_a[1]) / scale + centre_b[1]).astype(int)
    inside = (source_rows >= 0) & (source_rows < size) & (source_columns >= 0) & (source_columns < size)
    moved = np.zeros_like(a)
    moved[inside] = b[source_rows[inside], source_columns[inside]]
    shift = (float(centre_a[1] - centre_b[1]) / size, float(centre_a[0] - centre_b[0]) / size)
    return Overlap(iou, _iou(a, moved), scale, shift)


def _small(mask: Bool[np.ndarray, "h w"], size: int) -> Bool[np.ndarray, "s s"]:
    image = Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BOX)
    return np.asarray(image) > 127


def _iou(a: Bool[np.ndarray, "s s"], b: Bool[np.ndarray, "s s"]) -> float:
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 0.0


def _centroid(mask: Bool[np.ndarray, "s s"]) -> Float[np.ndarray, "2"]:
    return np.argwhere(mask).mean(axis=0)
