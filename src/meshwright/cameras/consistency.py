"""How photos that are not the surface's shape lie on it best: where they agree, near their outlines' fit.

Silhouettes place such a photo only to within their own disagreement. Inside that leeway the photos' similarities are
moved together so that two photos show the same colour at the same point of the surface, taken straight from the depth
maps. Unknown per point is its one colour: the mean of what the views show there, weighted by how large they show it.
Eliminated (variable projection), it leaves each view's difference from that mean, plus white wherever no surface is.
Robust Gauss-Newton, two blurs, a prior on the outlines' fit: without it plain surfaces slide away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image
from scipy import ndimage, sparse

from meshwright.cameras.registration import Registration, bounded, silhouettes_iou
from meshwright.capture.calibrated import CalibratedView
from meshwright.geometry.similarity import Similarity2d

PHOTO_SIZE = 384
POINTS = 120_000  # of all views together, at most
GRID = 200  # samples along a view's width, at most
RING = 0.03  # of the width: so far outside of the silhouette a photo must show nothing
RING_WEIGHT = 0.3
ROBUST = 60.0  # sRGB levels at which a difference stops to pull (Geman and McClure 1987)
BLURS = (2.0, 1.0)
ROUNDS = 10
PRIOR = np.array([0.012, 0.012, 0.006, 0.006])  # scale, angle, shifts: the outlines' own error where they disagree
PRIOR_LEVELS = 15.0  # squared levels per point that a deviation of one `PRIOR` costs
LONGEST_STEP = 0.01
SAME_SURFACE = 0.01  # of the diagonal
GRAZING = 0.1  # least cosine of incidence of a second view
MOST_IOU_LOST = 0.08  # by which the outlines may come to lie worse


@dataclass(frozen=True, eq=False)
class _Sights:
    """Who sees what: rows (``point``, ``view``) with the place ``uv`` (in image widths) and the share ``weight`` of the
    point's mean; ``own`` is each point's row of the view that it was taken from."""

    point: Int[np.ndarray, "s"]
    view: Int[np.ndarray, "s"]
    uv: Float[np.ndarray, "s 2"]
    weight: Float[np.ndarray, "s"]
    own: Int[np.ndarray, "p"]
    rings: list[Float[np.ndarray, "r 2"]]


def agree(
    views: Sequence[CalibratedView], found: Sequence[Registration | None], diagonal: float
) -> tuple[list[CalibratedView], list[Registration | None]]:
    """Views and registrations with the similarities of ill-fitting photos moved to where photos agree.

    Photos whose outline fits (their registration is the identity) stay and count as they are. Nothing changes without
    depth, or where a photo's outline would come to lie worse.
    """
    free = [r is not None and not r.similarity.is_identity for r in found]
    if not any(free) or any(view.depth is None or view.rgb_mask is None for view in views):
        return list(views), list(found)
    start = np.array([_parameters(view.registration) for view in views])
    moved = _solved(views, start, np.array(free), _sights(views, diagonal))
    new_views, new_found = list(views), list(found)
    for k, view in enumerate(views):
        before = found[k]
        if before is None or view.rgb_mask is None or not free[k]:
            continue
        similarity = bounded(Similarity2d(*(float(x) for x in moved[k])))
        iou = silhouettes_iou(view.mask, view.rgb_mask, similarity)
        if iou >= before.iou - MOST_IOU_LOST:
            new_views[k] = replace(view, registration=similarity)
            new_found[k] = replace(before, similarity=similarity, iou=iou)
    return new_views, new_found


def _parameters(s: Similarity2d) -> tuple[float, float, float, float]:
    return s.scale, s.angle_rad, s.shift_x, s.shift_y


def _solved(
    views: Sequence[CalibratedView], start: Float[np.ndarray, "n 4"], free: Bool[np.ndarray, "n"], sights: _Sights
) -> Float[np.ndarray, "n 4"]:
    parameters = start.copy()
    photos = [_on_white(view) for view in views]
    chosen = np.repeat(free, 4)
    stiffness = PRIOR_LEVELS * np.bincount(sights.view[sights.own], minlength=len(views))[:, None] / PRIOR**2
    for blur in BLURS:
        images = [_Photo.of(photo, blur) for photo in photos]
        for _ in range(ROUNDS):
            hessian, gradient = _normal_equations(images, parameters, sights)
            hessian += np.diag(stiffness.ravel())
            gradient += (stiffness * (parameters - start)).ravel()
            step = np.linalg.solve(hessian[np.ix_(chosen, chosen)], -gradient[chosen]).reshape(-1, 4)
            parameters[free] += np.clip(step, -LONGEST_STEP, LONGEST_STEP)
            if np.abs(step).max() < 1e-5:
                break
    return parameters


def _normal_equations(
    images: Sequence[_Photo], parameters: Float[np.ndarray, "n 4"], sights: _Sights
) -> tuple[Float[np.ndarray, "4n 4n"], Float[np.ndarray, "4n"]]:
    n, points = len(images), len(sights.own)
    shown = np.zeros((len(sights.view), 3))
    slopes = np.zeros((len(sights.view), 3, 4))
    hessian, gradient = np.zeros((n, 4, n, 4)), np.zeros((n, 4))
    for k, image in enumerate(images):
        rows = sights.view == k
        shown[rows], slopes[rows] = image.look(sights.uv[rows], parameters[k])
        colors, slope = image.look(sights.rings[k], parameters[k])
        pull = RING_WEIGHT * _robust(colors - 255.0)
        hessian[k, :, k] += np.einsum("r,rci,rcj->ij", pull, slope, slope)
        gradient[k] += np.einsum("r,rci,rc->i", pull, slope, colors - 255.0)
    mean = sparse.csr_matrix((sights.weight, (sights.point, np.arange(len(sights.view)))), (points, len(sights.view)))
    difference = shown[sights.own] - mean @ shown
    pull = _robust(difference)
    share = -sights.weight
    share[sights.own] += 1.0
    columns = 4 * sights.view[:, None] + np.arange(4)
    where = np.repeat(sights.point, 4), columns.ravel()
    for c in range(3):
        jacobian = sparse.csr_matrix(((share[:, None] * slopes[:, c]).ravel(), where), (points, 4 * n))
        weighted = jacobian.multiply(pull[:, None]).tocsr()
        hessian += (jacobian.T @ weighted).toarray().reshape(n, 4, n, 4)
        gradient += (weighted.T @ difference[:, c]).reshape(n, 4)
    return hessian.reshape(4 * n, 4 * n), gradient.ravel()


def _robust(difference: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p"]:
    return 1.0 / (1.0 + (np.abs(difference).max(1) / ROBUST) ** 2) ** 2


@dataclass(frozen=True, eq=False)
class _Photo:
    """A blurred photo with its slopes along x and y, in levels per image width."""

    layers: Float[np.ndarray, "9 h w"]

    @staticmethod
    def of(image: Float[np.ndarray, "h w 3"], blur: float) -> _Photo:
        smooth = np.moveaxis(ndimage.gaussian_filter(image, (blur, blur, 0)), -1, 0)
        width = image.shape[1]
        return _Photo(
            np.concatenate([smooth, np.gradient(smooth, axis=2) * width, np.gradient(smooth, axis=1) * width])
        )

    def look(
        self, uv: Float[np.ndarray, "s 2"], parameters: Float[np.ndarray, "4"]
    ) -> tuple[Float[np.ndarray, "s 3"], Float[np.ndarray, "s 3 4"]]:
        """Colours at surface places after the similarity, and their derivatives by (scale, angle, shift x, shift y)."""
        height, width = self.layers.shape[1:]
        scale, angle, *shift = parameters
        centre = np.array([0.5, 0.5 * height / width])
        x, y = (uv - centre).T
        turned = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], -1)
        place = (scale * turned + shift + centre) * width - 0.5
        found = np.stack([
            ndimage.map_coordinates(layer, place.T[::-1], order=1, mode="nearest") for layer in self.layers
        ], -1)  # fmt: skip
        along_x, along_y = found[:, 3:6], found[:, 6:]
        by_scale = along_x * turned[:, :1] + along_y * turned[:, 1:]
        by_angle = scale * (along_y * turned[:, :1] - along_x * turned[:, 1:])
        return found[:, :3], np.stack([by_scale, by_angle, along_x, along_y], -1)


def _on_white(view: CalibratedView) -> Float[np.ndarray, "h w 3"]:
    assert view.rgb_mask is not None
    height, width = view.rgb.shape[:2]
    shrink = min(1.0, PHOTO_SIZE / max(height, width))
    image = Image.fromarray(np.where(view.rgb_mask[..., None], view.rgb, np.uint8(255)))
    return np.asarray(image.resize((round(width * shrink), round(height * shrink)), Image.Resampling.BOX), float)


def _sights(views: Sequence[CalibratedView], diagonal: float) -> _Sights:
    grid = int(min(GRID, np.sqrt(POINTS / len(views))))
    samples = [_surface_samples(view, grid) for view in views]
    points, normals = (np.concatenate([sample[k] for sample in samples]) for k in (0, 1))
    origin = np.repeat(np.arange(len(views)), [len(sample[0]) for sample in samples])
    rows = [_seen(view, points, normals, origin == k, SAME_SURFACE * diagonal) for k, view in enumerate(views)]
    point = np.concatenate([row[0] for row in rows])
    view = np.repeat(np.arange(len(views)), [len(row[0]) for row in rows])
    size = np.concatenate([row[2] for row in rows])
    weight = size**2  # a narrower hand-over than least squares' own, nearer to what a texture shows
    weight /= np.bincount(point, weight, len(points))[point]
    own = np.flatnonzero(view == origin[point])
    own = own[np.argsort(point[own])]
    return _Sights(point, view, np.concatenate([row[1] for row in rows]), weight, own, [s[2] for s in samples])


def _surface_samples(
    view: CalibratedView, grid: int
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"], Float[np.ndarray, "r 2"]]:
    """Points and normals of a view's depth map on a grid of pixels, and grid places just outside of its silhouette."""
    assert view.depth is not None
    height, width = view.depth.shape
    step = max(1, width // grid)
    ys, xs = (a.ravel() for a in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    hit = view.depth[ys, xs] > 0
    outside = np.asarray(ndimage.distance_transform_edt(~view.mask))[ys, xs] / width
    near = ~hit & (outside > 0) & (outside < RING)
    rows, columns = ys[hit], xs[hit]

    def at(dy: int, dx: int) -> Float[np.ndarray, "p 3"]:
        y, x = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
        assert view.depth is not None
        z = np.where(view.depth[y, x] > 0, view.depth[y, x], view.depth[rows, columns])
        return view.camera.unproject(np.stack([x + 0.5, y + 0.5], -1), z)

    reach = max(1, round(3 * width / 1024))
    points, normals = at(0, 0), np.cross(at(0, reach) - at(0, -reach), at(reach, 0) - at(-reach, 0))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    normals *= np.sign((normals * view.camera.view_directions(points)).sum(1, keepdims=True))
    return points, normals, np.stack([xs[near] + 0.5, ys[near] + 0.5], -1) / width


def _seen(
    view: CalibratedView,
    points: Float[np.ndarray, "p 3"],
    normals: Float[np.ndarray, "p 3"],
    own: Bool[np.ndarray, "p"],
    tolerance: float,
) -> tuple[Int[np.ndarray, "s"], Float[np.ndarray, "s 2"], Float[np.ndarray, "s"]]:
    """The points that the view's depth map shows too: which, where (in image widths) and how large."""
    assert view.depth is not None
    height, width = view.depth.shape
    uv, z = view.camera.project(points)
    inside = np.asarray(np.isfinite(uv).all(1))
    pixel = np.floor(np.where(inside[:, None], uv, -1.0)).astype(int)
    inside &= (pixel >= 0).all(1) & (pixel < (width, height)).all(1)
    pixel = np.clip(pixel, 0, (width - 1, height - 1))
    shown = view.depth[pixel[:, 1], pixel[:, 0]]
    cosine = np.einsum("pk,pk->p", normals, view.camera.view_directions(points))
    agrees = np.logical_and(np.abs(shown - z) < tolerance, shown > 0)
    same = np.logical_and(inside, agrees) & (cosine > GRAZING)
    chosen = np.flatnonzero(np.logical_or(same, own))
    size = np.maximum(np.asarray(cosine)[chosen], GRAZING) / np.asarray(view.camera.pixel_size(z[chosen])) ** 2
    return chosen, uv[chosen] / width, size
