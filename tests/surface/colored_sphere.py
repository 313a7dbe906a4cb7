"""Small analytic scenes: a coloured sphere seen by cameras on the axes, drawn without any of our own code."""

from __future__ import annotations

import numpy as np

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.mesh import Mesh

RADIUS = 0.4
DIRECTIONS = {
    "front": (0, 0, 1),
    "back": (0, 0, -1),
    "right": (1, 0, 0),
    "left": (-1, 0, 0),
    "top": (0, 1, 0),
    "bottom": (0, -1, 0),
}


def sphere(levels: int = 4) -> Mesh:
    import trimesh

    ball = trimesh.creation.icosphere(levels, RADIUS)
    return Mesh(np.asarray(ball.vertices, float), np.asarray(ball.faces, np.int32))


def color_field(points: np.ndarray) -> np.ndarray:
    """Smooth sRGB levels (float) as a function of place, far from white and black."""
    x, y, z = (points[..., k] / RADIUS for k in range(3))
    return np.stack([120 + 60 * np.sin(3 * x + y), 110 + 50 * np.cos(4 * y - z), 100 + 50 * np.sin(5 * z + 2 * x)], -1)


def look_at(position, up=(0.0, 1.0, 0.0)) -> np.ndarray:
    position = np.asarray(position, float)
    forward = -position / np.linalg.norm(position)
    up = np.array([0.0, 0, 1]) if abs(forward @ np.asarray(up)) > 0.99 else np.asarray(up, float)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    c2w = np.eye(4)
    c2w[:3, 0], c2w[:3, 1], c2w[:3, 2], c2w[:3, 3] = right, np.cross(forward, right), forward, position
    return c2w


def sphere_view(name: str, direction, size: int = 320, gain=1.0, background=255, field=color_field) -> CalibratedView:
    """A view of the sphere by exact ray intersection; depth without quantisation."""
    camera = Camera.from_fov(45.0, look_at(np.asarray(direction, float) * 1.3), size, size)
    far = camera.unproject(pixel_grid(size, size), np.ones((size, size)))
    ray = far - camera.center
    a, b = (ray**2).sum(-1), ray @ camera.center
    root = b**2 - a * (camera.center @ camera.center - RADIUS**2)
    hit = root > 0
    t = (-b - np.sqrt(np.maximum(root, 0))) / a
    rgb = field(camera.center + t[..., None] * ray) * gain
    rgb = np.where(hit[..., None], np.clip(rgb, 0, 255), background).round().astype(np.uint8)
    depth = np.where(hit, t, 0).astype(np.float32)
    return CalibratedView(name, camera, hit, depth, rgb, depth_scale=1.0)


def sphere_capture(names=tuple(DIRECTIONS), gains=None, **options) -> CalibratedCapture:
    gains = gains or {}
    views = tuple(
        sphere_view(name, DIRECTIONS[name], gain=np.asarray(gains.get(name, 1.0)), **options) for name in names
    )
    bounds = np.array([[-RADIUS] * 3, [RADIUS] * 3])
    return CalibratedCapture(views, CalibrationReport("given"), 2 * RADIUS * 3**0.5, bounds, given_frame=True)


def texel_points(mesh, atlas_texels) -> np.ndarray:
    corner = mesh.vertices[mesh.faces[atlas_texels.face]]
    return np.einsum("tk,tkc->tc", atlas_texels.barycentric, corner)


def surface_samples(textured, count: int = 20000, seed: int = 0):
    """(points, bilinear colours, nearest coverage) at random places of a textured mesh."""
    rng = np.random.default_rng(seed)
    corners = textured.vertices[textured.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    weight = rng.dirichlet((1, 1, 1), count)
    points = np.einsum("tk,tkc->tc", weight, corners[face])
    size = textured.texture.shape[0]
    xy = np.einsum("tk,tkc->tc", weight, textured.uv[textured.faces[face]]) * size - 0.5
    low = np.floor(xy).astype(int)
    fx, fy = (xy - low).T[:, :, None]
    image = textured.texture.astype(float)
    x, y = low.T
    top = image[y, x] * (1 - fx) + image[y, x + 1] * fx
    bottom = image[y + 1, x] * (1 - fx) + image[y + 1, x + 1] * fx
    nearest = np.rint(xy).astype(int)
    return points, top * (1 - fy) + bottom * fy, textured.coverage[nearest[:, 1], nearest[:, 0]]
