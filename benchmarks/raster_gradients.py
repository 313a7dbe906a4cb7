"""Whether edge gradients are right: what moving an object changes in a weighted picture, against finite differences.

The picture of the finite differences has `FINER` squared samples a pixel. "silhouette" is an oblong bumpy object before
the background, "inner" the same one close before a bigger ball: there all edges that move are jumps of depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from meshwright.geometry.camera import Camera
from meshwright.rendering.differentiable import CameraBatch, edge_gradient, interpolate, rasterize
from raster_scenes import displaced_sphere, six_cameras

FINER = 4
Motion = Callable[[np.ndarray, float], np.ndarray]


def turned(points: np.ndarray, angle: float, first: int, second: int) -> np.ndarray:
    result = points.copy()
    a, b, c, s = points[:, first], points[:, second], np.cos(angle), np.sin(angle)
    result[:, first], result[:, second] = c * a - s * b, s * a + c * b
    return result


MOTIONS: dict[str, Motion] = {
    "scale": lambda points, e: points * (1 + e),
    "shift": lambda points, e: points + e * np.array([0.6, -0.5, 0.2]),
    "roll": lambda points, e: turned(points, e, 0, 1),
    "turn": lambda points, e: turned(points, e, 0, 2),
}


@dataclass(frozen=True, eq=False)
class Scene:
    """A mesh with one grey level per vertex, of which the first ``moving`` vertices move."""

    vertices: np.ndarray
    faces: np.ndarray
    grey: np.ndarray
    moving: int

    def moved(self, motion: Motion, amount: float) -> np.ndarray:
        own, rest = self.vertices[: self.moving], self.vertices[self.moving :]
        return np.concatenate([motion(own, amount), rest])


def scenes(n_faces: int) -> dict[str, Scene]:
    ball, faces, _ = displaced_sphere(n_faces)
    n = len(ball)
    oblong = turned(turned(ball * [0.6, 0.3, 0.3], 0.6, 0, 2), 0.3, 0, 1) + np.array([0.05, -0.04, 0.0])
    smooth = ball / np.linalg.norm(ball, axis=1, keepdims=True)
    both = np.concatenate([oblong, 1.5 * smooth - [0, 0, 2.2]]), np.concatenate([faces, faces + n])
    return {
        "silhouette": Scene(oblong, faces, np.ones(n), n),
        "inner": Scene(*both, np.concatenate([np.ones(n), np.full(n, 0.2)]), n),
    }


def weights(size: int, device: str) -> torch.Tensor:
    """A smooth weight for each pixel that no motion leaves unchanged."""
    x = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    return 1 + 0.8 * x + 0.4 * x[:, None] + 4 * x * x[:, None]


def picture(scene: Scene, points: torch.Tensor, camera: Camera, device: str) -> torch.Tensor:
    batch = CameraBatch.of([camera], device)
    seen = rasterize(batch.project(points), torch.tensor(scene.faces, device=device), camera.height, camera.width)
    grey = torch.tensor(scene.grey, dtype=torch.float32, device=device)[:, None]
    return edge_gradient(interpolate(seen, grey), seen)[0, ..., 0]


def by_finite_differences(scene: Scene, camera: Camera, motion: Motion, device: str) -> float:
    dense = camera.resized(camera.width * FINER, camera.height * FINER)
    weight, step = weights(dense.width, device).double(), 4 / camera.width

    def total(amount: float) -> float:
        points = torch.tensor(scene.moved(motion, amount), dtype=torch.float32, device=device)
        return float((picture(scene, points, dense, device).double() * weight).sum()) / FINER**2

    return (total(step) - total(-step)) / (2 * step)


def by_gradients(scene: Scene, camera: Camera, device: str) -> dict[str, float]:
    points = torch.tensor(scene.vertices, dtype=torch.float32, device=device, requires_grad=True)
    (picture(scene, points, camera, device) * weights(camera.width, device)).sum().backward()
    assert points.grad is not None
    gradient = points.grad.double().cpu().numpy()
    return {
        name: float((gradient * (scene.moved(motion, 1e-4) - scene.moved(motion, -1e-4))).sum() / 2e-4)
        for name, motion in MOTIONS.items()
    }


def ratios(n_faces: int, size: int, device: str) -> list[str]:
    """Rows of the table, one for each scene."""
    camera = six_cameras(size)[0]
    rows: list[str] = []
    for name, scene in scenes(n_faces).items():
        found = by_gradients(scene, camera, device)
        parts = [found[kind] / by_finite_differences(scene, camera, motion, device) for kind, motion in MOTIONS.items()]
        rows.append(f"{n_faces:>8} {size:>5} {name:>11} " + " ".join(f"{part:>7.3f}" for part in parts))
    return rows


HEADER = "   faces  size        edge   " + "   ".join(f"{name:>5}" for name in MOTIONS)
