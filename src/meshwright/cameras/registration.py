"""How a view's RGB lies on its depth: a similarity of the image plane, found by matching the two silhouettes.

Bounds as CONTRACT.md: shift up to 6 % of the width, scale within 15 %, turn up to 3 degrees. Coordinates are size-free
(pixels from the image centre divided by the image width), so RGB and depth may have any resolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage, optimize

from meshwright.cameras.observations import signed_distance
from meshwright.geometry.similarity import Similarity2d

MAX_SHIFT, MAX_SCALE, MAX_TURN_DEG = 0.06, 0.15, 3.0
WORK_SIZE = 512
SHARP = 0.0015  # contours this close (share of the width) are the same contour: the identity is kept


@dataclass(frozen=True)
class Registration:
    """The similarity (surface to RGB), the silhouettes' IoU before and after, the contours' median gap (of width)."""

    similarity: Similarity2d
    iou_before: float
    iou: float
    gap: float


def register_silhouettes(surface: Bool[np.ndarray, "h w"], photo: Bool[np.ndarray, "H W"]) -> Registration:
    """Find the similarity that lays the photo's silhouette on the surface's."""
    a, b = _working(surface), _working(photo)
    before = _iou(a, b, Similarity2d())
    if not a.any() or not b.any():
        return Registration(Similarity2d(), before, before, 1.0)
    field_a, field_b = signed_distance(a) / a.shape[1], signed_distance(b) / b.shape[1]
    edge_a, edge_b = _contour(a, field_a), _contour(b, field_b)
    if _gap(field_b, edge_a, Similarity2d()) < SHARP:
        return Registration(Similarity2d(), before, before, _gap(field_b, edge_a, Similarity2d()))
    fits = [_fit(start, edge_a, edge_b, field_a, field_b) for start in (_moments_start(a, b), Similarity2d())]
    best = max(fits, key=lambda s: _iou(a, b, s))
    after = _iou(a, b, best)
    if after < before + 0.002:
        return Registration(Similarity2d(), before, before, _gap(field_b, edge_a, Similarity2d()))
    return Registration(best, before, after, _gap(field_b, edge_a, best))


def silhouettes_iou(
    surface: Bool[np.ndarray, "h w"], photo: Bool[np.ndarray, "H W"], similarity: Similarity2d
) -> float:
    """IoU of the surface's silhouette and the photo's, laid on it by ``similarity``."""
    return _iou(_working(surface), _working(photo), similarity)


def bounded(similarity: Similarity2d) -> Similarity2d:
    """The nearest similarity within the bounds."""
    turn = np.radians(MAX_TURN_DEG)
    return Similarity2d(
        float(np.clip(similarity.scale, 1 / (1 + MAX_SCALE), 1 + MAX_SCALE)),
        float(np.clip(similarity.angle_rad, -turn, turn)),
        float(np.clip(similarity.shift_x, -MAX_SHIFT, MAX_SHIFT)),
        float(np.clip(similarity.shift_y, -MAX_SHIFT, MAX_SHIFT)),
    )


def _working(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "a b"]:
    scale = WORK_SIZE / mask.shape[1]
    if scale >= 1:
        return mask
    return np.asarray(ndimage.zoom(mask.astype(np.float32), scale, order=1, grid_mode=True, mode="nearest")) > 0.5


def _contour(
    mask: Bool[np.ndarray, "h w"], distance: Float[np.ndarray, "h w"], most: int = 800
) -> Float[np.ndarray, "n 2"]:
    """Points of the contour in size-free coordinates, moved from pixel centres onto the zero of the distance."""
    band = np.abs(distance) * mask.shape[1] < 1.0
    ys, xs = np.nonzero(band & mask)
    keep = np.linspace(0, len(xs) - 1, min(most, len(xs))).astype(int)
    ys, xs = ys[keep], xs[keep]
    gy, gx = (np.asarray(g) for g in np.gradient(ndimage.gaussian_filter(distance, 1.0)))
    normal = np.stack([gx[ys, xs], gy[ys, xs]], -1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    points = np.stack([xs + 0.5, ys + 0.5], -1) - normal * (distance[ys, xs] * mask.shape[1])[:, None]
    return (points - np.array([mask.shape[1], mask.shape[0]]) / 2) / mask.shape[1]


def _lookup(field: Float[np.ndarray, "h w"], points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
    h, w = field.shape
    x, y = points[:, 0] * w + w / 2 - 0.5, points[:, 1] * w + h / 2 - 0.5
    return ndimage.map_coordinates(field, [y, x], order=1, mode="nearest")


def _apply(s: Similarity2d, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    (a, b, tx), (c, d, ty) = s.matrix()
    x, y = points[:, 0], points[:, 1]
    return np.stack([a * x + b * y + tx, c * x + d * y + ty], -1)  # a BLAS call costs more on such thin arrays


def _moments_start(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "H W"]) -> Similarity2d:
    """Scale from the areas, shift from the centroids."""
    scale = float(np.sqrt(b.mean() * b.shape[0] / b.shape[1] / max(a.mean() * a.shape[0] / a.shape[1], 1e-12)))
    centre_a, centre_b = (
        (np.array(ndimage.center_of_mass(m))[::-1] + 0.5 - np.array(m.shape[::-1]) / 2) / m.shape[1] for m in (a, b)
    )
    shift = centre_b - scale * centre_a
    return bounded(Similarity2d(scale, 0.0, float(shift[0]), float(shift[1])))


def _fit(
    start: Similarity2d,
    edge_a: Float[np.ndarray, "n 2"],
    edge_b: Float[np.ndarray, "m 2"],
    field_a: Float[np.ndarray, "h w"],
    field_b: Float[np.ndarray, "H W"],
) -> Similarity2d:
    """Robust two-way contour distance, minimised over the four parameters."""
    turn = np.radians(MAX_TURN_DEG)
    low = np.array([np.log(1 / (1 + MAX_SCALE)), -turn, -MAX_SHIFT, -MAX_SHIFT]) - 1e-9
    high = np.array([np.log(1 + MAX_SCALE), turn, MAX_SHIFT, MAX_SHIFT]) + 1e-9

    def unpack(x: Float[np.ndarray, "4"]) -> Similarity2d:
        return Similarity2d(float(np.exp(x[0])), float(x[1]), float(x[2]), float(x[3]))

    def residuals(x: Float[np.ndarray, "4"]) -> Float[np.ndarray, "n+m"]:
        s = unpack(x)
        return np.concatenate(
            [_lookup(field_b, _apply(s, edge_a)), s.scale * _lookup(field_a, _apply(s.inverse(), edge_b))]
        )

    s = bounded(start)
    x = np.array([np.log(s.scale), s.angle_rad, s.shift_x, s.shift_y])
    for width in (0.02, 0.006):
        x = optimize.least_squares(residuals, x, bounds=(low, high), loss="cauchy", f_scale=width, diff_step=1e-5).x
    return bounded(unpack(x))


def _gap(field_b: Float[np.ndarray, "H W"], edge_a: Float[np.ndarray, "n 2"], s: Similarity2d) -> float:
    return float(np.median(np.abs(_lookup(field_b, _apply(s, edge_a)))))


def _iou(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "H W"], s: Similarity2d) -> float:
    """IoU of the surface's mask and the photo's mask laid on it."""
    ys, xs = np.mgrid[0 : a.shape[0] : 2, 0 : a.shape[1] : 2]
    points = np.stack([xs.ravel() + 0.5 - a.shape[1] / 2, ys.ravel() + 0.5 - a.shape[0] / 2], -1) / a.shape[1]
    warped = (_lookup(b.astype(np.float32), _apply(s, points)) > 0.5).reshape(xs.shape)
    thin = a[::2, ::2]
    return float((thin & warped).sum() / max((thin | warped).sum(), 1))
