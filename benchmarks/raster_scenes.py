"""The meshes and cameras of `benchmarks/raster.py`, from the words of research/nvdiffrec.md, 7b."""

from __future__ import annotations

import numpy as np

from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import look_at

AXES = [((0, 0, 1), (0, 1, 0)), ((0, 0, -1), (0, 1, 0)), ((1, 0, 0), (0, 1, 0)), ((-1, 0, 0), (0, 1, 0)),
        ((0, 1, 0), (0, 0, -1)), ((0, -1, 0), (0, 0, 1))]  # fmt: skip


def displaced_sphere(n_faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and uv of a UV sphere of about ``n_faces`` (2n x n quads), radius 0.85-1."""
    n = round((n_faces / 4) ** 0.5)
    turn, polar = np.meshgrid(np.linspace(0, 2 * np.pi, 2 * n + 1), np.linspace(0, np.pi, n + 1))
    radius = 0.925 + 0.075 * np.sin(7 * turn) * np.sin(5 * polar) * np.sin(polar)
    points = radius[..., None] * np.stack(
        [np.sin(polar) * np.cos(turn), np.cos(polar), -np.sin(polar) * np.sin(turn)], -1
    )
    index = np.arange(turn.size).reshape(turn.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, d, c), (a, c, b))])
    uv = np.stack([turn / (2 * np.pi), polar / np.pi], -1).reshape(-1, 2)
    return points.reshape(-1, 3), faces.astype(np.int32), uv


def six_cameras(size: int) -> list[Camera]:
    """Cameras on the six axes, 2.5 radii away, focal length 1.39 widths."""
    K = np.array([[1.39 * size, 0, size / 2], [0, 1.39 * size, size / 2], [0, 0, 1.0]])
    return [
        Camera(K, look_at(np.array(direction) * 2.5, np.zeros(3), np.array(up, float)), size, size)
        for direction, up in AXES
    ]
