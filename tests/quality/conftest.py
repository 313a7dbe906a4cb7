"""A lopsided, lettered object, and a capture of it made by our own renderer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh, vertex_normals
from meshwright.geometry.rotations import look_at
from meshwright.rendering.raster import rasterize
from meshwright.rendering.render import render

DIRECTIONS = {
    "front": ((0, 0, 1), (0, 1, 0)),
    "back": ((0, 0, -1), (0, 1, 0)),
    "left": ((-1, 0, 0), (0, 1, 0)),
    "right": ((1, 0, 0), (0, 1, 0)),
    "top": ((0, 1, 0), (0, 0, -1)),
    "bottom": ((0, -1, 0), (0, 0, 1)),
}
SIZE = 160


def paint(rows: int = 128, columns: int = 256) -> np.ndarray:
    """Coloured blocks of unequal size and hue: no mirror or turn maps it onto itself."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(30, 226, (8, 16, 3), dtype=np.uint8)
    fine = rng.integers(-20, 21, (32, 64, 3))
    image = np.kron(coarse, np.ones((rows // 8, columns // 16, 1))) + np.kron(
        fine, np.ones((rows // 32, columns // 64, 1))
    )
    return np.clip(image, 0, 255).astype(np.uint8)


def lopsided(latitudes: int = 40, longitudes: int = 60) -> TexturedMesh:
    """A closed, star-shaped body without any symmetry, in a texture by latitude and longitude. Diagonal about 1."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, latitudes + 1), np.linspace(0, 2 * np.pi, longitudes + 1))
    d = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1)
    d = np.where(np.abs(d) < 1e-12, 0.0, d)
    d[-1] = d[0]
    bumps = [((1, 0.4, 0.2), 0.30), ((-0.3, 1, 0.5), 0.22), ((-0.2, -0.6, 1), 0.26), ((-0.8, 0.1, -0.9), 0.14)]
    radius = np.full(theta.shape, 0.19)
    for axis, height in bumps:
        radius += height * np.exp(6 * (d @ (np.array(axis) / np.linalg.norm(axis)) - 1))
    vertices = (d * radius[..., None]).reshape(-1, 3)
    uv = np.stack([phi / (2 * np.pi), theta / np.pi], -1).reshape(-1, 2)
    index = np.arange(len(vertices)).reshape(theta.shape)
    a, b, c, e = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    lower = np.stack([a, b, c], -1)[:, 1:], np.stack([a, c, e], -1)[:, :-1]
    faces = np.concatenate([part.reshape(-1, 3) for part in lower])[:, ::-1].astype(np.int32)
    return TexturedMesh(vertices, faces, vertex_normals(vertices, faces), uv=uv, texture=paint())


def capture_of(mesh: TexturedMesh, size: int = SIZE) -> CalibratedCapture:
    """Six canonical views of a mesh with depth, as exact as our renderer makes them."""
    views = []
    for name, (direction, up) in DIRECTIONS.items():
        c2w = look_at(1.6 * np.array(direction, float), np.zeros(3), np.array(up, float))
        camera = Camera.from_fov(45.0, c2w, size, size)
        shown = render(mesh, camera)
        depth = rasterize(mesh.vertices, mesh.faces, camera).depth
        views.append(CalibratedView(name, camera, shown.coverage >= 0.5, depth, shown.rgb))
    bounds = np.stack([mesh.vertices.min(0), mesh.vertices.max(0)])
    diagonal = float(np.linalg.norm(bounds[1] - bounds[0]))
    return CalibratedCapture(tuple(views), CalibrationReport("given"), diagonal, bounds, given_frame=True)


@pytest.fixture(scope="session")
def body() -> TexturedMesh:
    return lopsided()


@pytest.fixture(scope="session")
def capture(body: TexturedMesh) -> CalibratedCapture:
    return capture_of(body)


@pytest.fixture(scope="session")
def make_capture() -> Callable[..., CalibratedCapture]:
    return capture_of
