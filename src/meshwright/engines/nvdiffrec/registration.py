"""Cameras and depth scales as unknowns: the views are moved until a mesh explains their depth and outlines best.

For each view the unknowns are a small motion of the mesh before the camera (rotation w, shift t, in the camera's
frame) and the logarithm of its depth scale s; all views share a change f of the focal length. With the mesh drawn, a
surface point p of normal n that moves by u = w x p + t + f (X, Y, 0) changes the depth at its pixel by n.u / n.ray,
and moves an outline by (u_xy - u_z (X, Y) / Z) F / Z pixels. So both residuals,

    drawn depth - s * observed depth     and     the drawn outline's distance from the observed one in pixels,

are linear in the unknowns, and few Gauss-Newton steps settle them. Priors keep what no view can tell. The mean motion
of the cameras is taken out at the end, so that the world stays where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import binary_erosion, distance_transform_edt

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.engines.nvdiffrec.observations import Observations, observe
from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.mesh import Mesh
from meshwright.geometry.rotations import exp_so3
from meshwright.rendering.raster import rasterize

STEPS = 8
SETTLED_PX = 0.02  # typical motion of the picture below which steps end
SIGMA_PX = 0.5  # of an outline
ROBUST_PX, ROBUST_SIGMAS = 3.0, 2.5  # where an outline's and a depth's weight is a quarter
GRAZING = 0.25  # cosine of incidence below which depth says too little
SHARE = 0.1  # of the depth residuals' weight: neighbours share their errors
HELD = 1e-7  # deviation of what is held
UNKNOWNS = 7  # of a view: rotation, shift, log depth scale


@dataclass(frozen=True)
class Freedom:
    """How far the unknowns may be off (standard deviations); 0 holds them.

    ``rotation`` in degrees, ``shift`` of the object's diagonal, ``scale`` and ``focal`` relative.
    """

    rotation: float = 2.0
    shift: float = 0.02
    scale: float = 0.01
    focal: float = 0.01

    @property
    def deviations(self) -> Float[np.ndarray, "8"]:
        """In the order of the unknowns, the focal length last; shifts of a unit diagonal."""
        return np.array([np.radians(self.rotation)] * 3 + [self.shift] * 3 + [self.scale, self.focal])


@dataclass(frozen=True, eq=False)
class Registered:
    """A capture with moved cameras and rescaled depths, and how far they went at most, or in the mean."""

    capture: CalibratedCapture
    motion_px: float
    rotation_deg: float
    scale_pct: float
    outline_px: tuple[float, float]  # mean distance of outlines, before and after


def register(
    capture: CalibratedCapture, mesh: Mesh, freedom: Freedom, size: int = 512, anchored: bool = True
) -> Registered:
    """The capture with cameras and depth scales that agree best with ``mesh`` (world units), seen at ``size`` pixels.

    Moves nothing that ``freedom`` holds. ``anchored`` takes out the motion that all cameras share. Never raises for
    views that show nothing: priors keep them.
    """
    seen = observe(capture, size)
    views = [_View.of(seen, k, view) for k, view in enumerate(capture.views)]
    prior = 1 / np.maximum(freedom.deviations, HELD) ** 2
    first = last = 0.0
    for step in range(STEPS):
        equations = [view.equations(mesh, capture.diagonal) for view in views]
        last = float(np.mean([row.outline_px for row in equations]))
        first = last if step == 0 else first
        moves, focal = _solve(equations, prior, views)
        views = [view.moved(move, focal, capture.diagonal) for view, move in zip(views, moves, strict=True)]
        if max(np.abs(view.image_motion(move)) for view, move in zip(views, moves, strict=True)) < SETTLED_PX:
            break
    return _registered(capture, views, (first, last), anchored)


@dataclass(frozen=True, eq=False)
class _Equations:
    """Normal equations of one view over its own unknowns and the focal length."""

    matrix: Float[np.ndarray, "8 8"]
    right: Float[np.ndarray, "8"]
    outline_px: float


@dataclass(frozen=True, eq=False)
class _View:
    """One view's observations and where its unknowns stand; ``total`` is their sum so far."""

    camera: Camera
    distance_px: Float[np.ndarray, "h w"]  # to the observed outline, positive inside
    depth: Float[np.ndarray, "h w"]
    trust: Float[np.ndarray, "h w"]
    sigma: float
    total: Float[np.ndarray, "8"]

    @staticmethod
    def of(seen: Observations, k: int, view: CalibratedView) -> _View:
        masks, depth, trust = (part[k].cpu().numpy() for part in (seen.masks, seen.depth, seen.trust))
        inside = masks > 0.5
        distance = _signed_distance(inside) if inside.any() and not inside.all() else np.zeros(masks.shape)
        camera = view.camera.resized(seen.cameras.width, seen.cameras.height)
        sigma = float(
            np.hypot(float(seen.sigma[k]), float(seen.half_step[k]) / 3**0.5)
        )  # steps are errors like others here
        return _View(camera, distance, depth, trust, sigma, np.zeros(UNKNOWNS + 1))

    def equations(self, mesh: Mesh, diagonal: float) -> _Equations:
        drawn = rasterize(mesh.vertices, mesh.faces, self.camera)
        matrix, right = np.zeros((UNKNOWNS + 1,) * 2), np.zeros(UNKNOWNS + 1)
        points = self._points(drawn.depth)
        for rows, residual, weight in (self._depths(mesh, drawn, points), self._outline(drawn, points)):
            rows[:, 3:6] *= diagonal
            matrix += rows.T @ (rows * weight[:, None])
            right -= rows.T @ (residual * weight)
        gap = np.abs(self.distance_px[_rim(drawn.face_id >= 0)] - 0.5)
        return _Equations(matrix, right, float(np.minimum(gap, 10).mean()) if gap.size else 0.0)

    def _points(self, depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
        """Camera coordinates of what each pixel sees."""
        rays = np.concatenate([pixel_grid(self.camera.width, self.camera.height), np.ones((*depth.shape, 1))], -1)
        rays = rays @ np.linalg.inv(self.camera.K).T
        if self.camera.projection == "perspective":
            return rays * depth[..., None]
        return np.concatenate([rays[..., :2], depth[..., None]], -1)

    def _depths(self, mesh: Mesh, drawn, points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Change of the depth residuals by each unknown, the residuals, and their weights."""
        normals = mesh.face_normals() @ self.camera.c2w[:3, :3]
        there = (drawn.face_id >= 0) & (self.trust > 0)
        p, n = points[there], normals[drawn.face_id[there]]
        towards = p if self.camera.projection == "perspective" else np.broadcast_to([0.0, 0.0, 1.0], p.shape)
        along = (n * towards).sum(1) / np.linalg.norm(towards, axis=1)
        fine = -along > GRAZING
        p, n, observed = p[fine], n[fine], self.depth[there][fine]
        ray = p / p[:, 2:] if self.camera.projection == "perspective" else np.array([[0.0, 0.0, 1.0]])
        per = n / (n * ray).sum(1, keepdims=True)
        lateral = p * [1.0, 1.0, 0.0]
        scaled = observed * np.exp(self.total[6])
        rows = np.column_stack([np.cross(p, per), per, -scaled, (per * lateral).sum(1)])
        apart = p[:, 2] - scaled
        robust = 1 / (1 + (apart / (ROBUST_SIGMAS * self.sigma)) ** 2) ** 2
        return rows, apart, SHARE * self.trust[there][fine] * robust / self.sigma**2

    def _outline(self, drawn, points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same of the outline's distances, in pixels."""
        rim = _rim(drawn.face_id >= 0)
        p, residual = points[rim], self.distance_px[rim] - 0.5
        slope_y, slope_x = (axis[rim] for axis in np.gradient(self.distance_px))
        focal_x, focal_y = self.camera.K[0, 0], self.camera.K[1, 1]
        if self.camera.projection == "perspective":
            x, y = slope_x * focal_x / p[:, 2], slope_y * focal_y / p[:, 2]
            pull = np.column_stack([x, y, -(x * p[:, 0] + y * p[:, 1]) / p[:, 2]])
        else:
            pull = np.column_stack([slope_x * focal_x, slope_y * focal_y, np.zeros(len(p))])
        lateral = (pull * p * [1.0, 1.0, 0.0]).sum(1)
        rows = np.column_stack([np.cross(p, pull), pull, np.zeros(len(p)), lateral])
        robust = 1 / (1 + (residual / ROBUST_PX) ** 2) ** 2
        return rows, residual, robust / SIGMA_PX**2

    def moved(self, move: Float[np.ndarray, "7"], focal: float, diagonal: float) -> _View:
        """After the surface moved by ``move`` before the camera, which is the camera moving the other way."""
        motion = np.eye(4)
        motion[:3, :3], motion[:3, 3] = exp_so3(move[:3]), move[3:6] * diagonal
        K = self.camera.K.copy()
        K[:2, :2] *= np.exp(focal)
        camera = replace(self.camera, K=K, c2w=self.camera.c2w @ np.linalg.inv(motion))
        return replace(self, camera=camera, total=self.total + np.append(move, focal))

    def image_motion(self, move: Float[np.ndarray, "7"]) -> float:
        """Pixels by which ``move`` turns the picture, roughly: the rotation alone."""
        return float(np.linalg.norm(move[:3]) * self.camera.K[0, 0])


def _signed_distance(inside: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Pixels to the outline, positive inside."""
    within, beyond = (np.asarray(distance_transform_edt(part)) for part in (inside, np.logical_not(inside)))
    return np.where(inside, within - 0.5, 0.5 - beyond)


def _rim(inside: np.ndarray) -> np.ndarray:
    """The pixels inside that touch the outside, without the image's border."""
    rim = inside & np.logical_not(binary_erosion(inside, border_value=1))
    rim[[0, -1]] = rim[:, [0, -1]] = False
    return rim


def _solve(
    equations: Sequence[_Equations], prior: Float[np.ndarray, "8"], views: Sequence[_View]
) -> tuple[list[np.ndarray], float]:
    """The views' moves and the focal length's; the prior pulls at their sums."""
    size = UNKNOWNS * len(views) + 1
    matrix, right = np.zeros((size, size)), np.zeros(size)
    for k, (row, view) in enumerate(zip(equations, views, strict=True)):
        own = np.append(np.arange(UNKNOWNS) + UNKNOWNS * k, size - 1)
        share = np.where(np.arange(UNKNOWNS + 1) < UNKNOWNS, 1.0, 1 / len(views))  # there is one focal length
        matrix[np.ix_(own, own)] += row.matrix + np.diag(prior * share)
        right[own] += row.right - prior * share * view.total
    found = np.linalg.solve(matrix, right)
    return list(found[:-1].reshape(len(views), UNKNOWNS)), float(found[-1])


def _registered(
    capture: CalibratedCapture, views: Sequence[_View], outline_px: tuple[float, float], anchored: bool
) -> Registered:
    old = [view.camera for view in capture.views]
    back = _mean_motion(old, [view.camera for view in views]) if anchored else np.eye(4)
    moved: list[CalibratedView] = []
    for before, view in zip(capture.views, views, strict=True):
        camera = view.camera.resized(before.camera.width, before.camera.height).transformed(back)
        moved.append(replace(before.rescaled(float(np.exp(view.total[6]))), camera=camera))
    turns = [np.degrees(np.linalg.norm(view.total[:3])) for view in views]
    pixels = max(view.image_motion(view.total[:UNKNOWNS]) for view in views)
    scales = max(abs(np.expm1(view.total[6])) for view in views)
    return Registered(replace(capture, views=tuple(moved)), pixels, float(max(turns)), float(100 * scales), outline_px)


def _mean_motion(old: Sequence[Camera], new: Sequence[Camera]) -> Float[np.ndarray, "4 4"]:
    """The rigid motion that takes the new cameras back to the old ones in the mean."""
    turn = sum(a.c2w[:3, :3] @ b.c2w[:3, :3].T for a, b in zip(old, new, strict=True))
    u, _, vt = np.linalg.svd(np.asarray(turn))
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.mean([a.center - rotation @ b.center for a, b in zip(old, new, strict=True)], axis=0)
    return matrix
