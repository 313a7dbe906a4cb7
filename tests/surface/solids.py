"""Small analytic scenes: depth maps of solids rendered exactly, seen by the six canonical cameras."""

from __future__ import annotations

import numpy as np

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.rotations import look_at

DIRECTIONS = {
    "front": ((0, 0, 1), (0, 1, 0)),
    "back": ((0, 0, -1), (0, 1, 0)),
    "left": ((-1, 0, 0), (0, 1, 0)),
    "right": ((1, 0, 0), (0, 1, 0)),
    "top": ((0, 1, 0), (0, 0, -1)),
    "bottom": ((0, -1, 0), (0, 0, 1)),
}


def sphere(radius):
    return lambda p: np.linalg.norm(p, axis=-1) - radius


def box(half):
    def distance(p):
        q = np.abs(p) - np.asarray(half)
        return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)

    return distance


def torus(major, minor):
    def distance(p):
        ring = np.hypot(p[..., 0], p[..., 1]) - major
        return np.hypot(ring, p[..., 2]) - minor

    return distance


def union(*solids):
    return lambda p: np.minimum.reduce([solid(p) for solid in solids])


def cameras(size=96, distance=1.3, projection="perspective"):
    result = {}
    for name, (direction, up) in DIRECTIONS.items():
        c2w = look_at(np.array(direction, float) * distance, np.zeros(3), np.array(up, float))
        K = Camera.from_fov(50.0, c2w, size, size).K
        if projection == "orthographic":
            K = np.array([[size / 1.1, 0, size / 2], [0, size / 1.1, size / 2], [0, 0, 1.0]])
        result[name] = Camera(K, c2w, size, size, projection)
    return result


def trace(solid, camera, steps=160):
    """z-depth by sphere tracing a signed distance, 0 = none."""
    uv = pixel_grid(camera.width, camera.height)
    near, far = (camera.unproject(uv, np.full(uv.shape[:2], z)) for z in (0.2, 1.2))
    ray = far - near  # z-depth grows by one along it
    length = np.linalg.norm(ray, axis=-1)
    z = np.full(uv.shape[:2], 0.2)
    for _ in range(steps):
        z += solid(near + (z - 0.2)[..., None] * ray) / length
    gap = solid(near + (z - 0.2)[..., None] * ray)
    return np.where((np.abs(gap) < 1e-5) & (z < 3), z, 0.0)


def capture_of(solid, diagonal, size=96, projection="perspective", with_depth=True, names=tuple(DIRECTIONS)):
    """Eight-bit views; ``diagonal`` also gives the half size of the (loose) bounds."""
    views = []
    for name, camera in cameras(size, projection=projection).items():
        if name not in names:
            continue
        z = trace(solid, camera)
        step = z.max() / 255
        stored = (np.rint(z / step) * step).astype(np.float32)
        rgb = np.full((size, size, 3), 128, np.uint8)
        views.append(CalibratedView(name, camera, z > 0, stored if with_depth else None, rgb, depth_step=step))
    half = diagonal / 2
    bounds = np.array([[-half] * 3, [half] * 3])
    return CalibratedCapture(tuple(views), CalibrationReport("given"), diagonal, bounds, given_frame=True)
