"""Small known meshes and cameras for the rendering tests."""

from __future__ import annotations

import numpy as np

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh, vertex_normals
from meshwright.geometry.rotations import look_at


def ball(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere of about n * n vertices (Fibonacci lattice), faces outward."""
    from scipy.spatial import ConvexHull

    k = np.arange(n * n) + 0.5
    polar, turn = np.arccos(1 - 2 * k / n**2), np.pi * (1 + 5**0.5) * k
    points = np.stack([np.sin(polar) * np.cos(turn), np.cos(polar), np.sin(polar) * np.sin(turn)], -1)
    faces = ConvexHull(points).simplices.astype(np.int32)
    corners = points[faces]
    inward = (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * corners[:, 0]).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return points, faces


def colored_ball(n: int = 24) -> TexturedMesh:
    points, faces = ball(n)
    colors = np.rint((points * 0.5 + 0.5) * 255).astype(np.uint8)
    return TexturedMesh(points, faces, vertex_normals(points, faces), colors=colors)


def card(texture: np.ndarray, width: float = 1.0, height: float = 1.0) -> TexturedMesh:
    """A rectangle in the plane z = 0 that faces +Z, its texture upright when seen from there."""
    x, y = width / 2, height / 2
    vertices = np.array([[-x, y, 0], [x, y, 0], [x, -y, 0], [-x, -y, 0]])
    faces = np.array([[0, 3, 2], [0, 2, 1]], np.int32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    return TexturedMesh(vertices, faces, vertex_normals(vertices, faces), uv=uv, texture=texture)


def front_camera(pixels_wide: int, pixels_high: int, width: float = 1.0) -> Camera:
    """An orthographic camera on +Z that shows exactly ``width`` world units."""
    scale = pixels_wide / width
    K = np.array([[scale, 0, pixels_wide / 2], [0, scale, pixels_high / 2], [0, 0, 1.0]])
    pose = look_at(np.array([0, 0, 3.0]), np.zeros(3), np.array([0, 1.0, 0]))
    return Camera(K, pose, pixels_wide, pixels_high, "orthographic")


def three_cameras() -> dict[str, Camera]:
    pose = look_at(np.array([1.0, 0.8, 2.3]), np.zeros(3), np.array([0, 1.0, 0]))
    off_centre = np.array([[70.0, 0, 20.3], [0, 75.0, 31.1], [0, 0, 1]])
    return {
        "perspective": Camera.from_fov(50, pose, 64, 64),
        "off_centre": Camera(off_centre, pose, 61, 47),
        "orthographic": Camera(np.array([[24.0, 0, 31], [0, 24, 22], [0, 0, 1]]), pose, 60, 50, "orthographic"),
    }


def bumpy_ball(n_faces: int, bumps: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    """A closed UV sphere of about ``n_faces`` faces whose radius varies by ``bumps`` round 1; no seam, single poles."""
    n = max(round((n_faces / 4) ** 0.5), 2)
    polar, turn = np.meshgrid(np.linspace(0, np.pi, n + 1)[1:-1], np.arange(2 * n) * np.pi / n, indexing="ij")
    radius = 1 + bumps * np.sin(7 * turn) * np.sin(5 * polar) * np.sin(polar)
    ring = radius[..., None] * np.stack(
        [np.sin(polar) * np.cos(turn), np.cos(polar), -np.sin(polar) * np.sin(turn)], -1
    )
    points = np.concatenate([ring.reshape(-1, 3), [[0, 1, 0], [0, -1, 0]]])
    index = np.arange(ring[..., 0].size).reshape(polar.shape)
    right = np.roll(index, -1, 1)
    a, b, c, d = index[:-1], right[:-1], right[1:], index[1:]
    top, bottom = np.full(2 * n, len(points) - 2), np.full(2 * n, len(points) - 1)
    fans = [np.stack([top, index[0], right[0]], -1), np.stack([bottom, right[-1], index[-1]], -1)]
    quads = [np.stack(corners, -1).reshape(-1, 3) for corners in ((a, d, c), (a, c, b))]
    return points, np.concatenate([*quads, *fans]).astype(np.int32)
