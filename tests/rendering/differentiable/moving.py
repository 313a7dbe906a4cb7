"""Objects that move, and what a weighted picture of them changes by: by finite differences, and by our gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import look_at
from meshwright.rendering.differentiable import CameraBatch, edge_gradient, interpolate, rasterize
from rendering.scenes import bumpy_ball

Motion = Callable[[np.ndarray, float], np.ndarray]
FINER = 4  # samples per pixel and axis of the finite differences


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


def alone(n_faces: int) -> Scene:
    """An oblong bumpy object before the background."""
    vertices, faces = _oblong(n_faces)
    return Scene(vertices, faces, np.ones(len(vertices)), len(vertices))


def before_a_ball(n_faces: int, gap: float = 0.2) -> Scene:
    """The same object ``gap`` before a ball 2.5 times as big: all its edges are inner ones."""
    vertices, faces = _oblong(n_faces)
    ball, ball_faces = bumpy_ball(n_faces, 0.0)
    behind = 1.5 * ball - np.array([0.0, 0.0, 2.0 + gap])
    grey = np.concatenate([np.ones(len(vertices)), np.full(len(ball), 0.2)])
    together = np.concatenate([vertices, behind]), np.concatenate([faces, ball_faces + len(vertices)])
    return Scene(*together, grey, len(vertices))


def painted(n_faces: int) -> Scene:
    """The object before the ball again, both with a pattern: what moves are edges and what is between them."""
    plain = before_a_ball(n_faces)
    grey = 0.5 + 0.4 * np.sin(3 * plain.vertices[:, 0] + 1) * np.cos(3 * plain.vertices[:, 1])
    return Scene(plain.vertices, plain.faces, grey, plain.moving)


def _oblong(n_faces: int) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = bumpy_ball(n_faces, 0.05)
    yaw = np.array([[np.cos(0.6), 0, -np.sin(0.6)], [0, 1, 0], [np.sin(0.6), 0, np.cos(0.6)]])
    roll = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    return vertices * [0.6, 0.3, 0.3] @ yaw.T @ roll.T + [0.05, -0.04, 0.0], faces


MOTIONS: dict[str, Motion] = {
    "scale": lambda points, e: points * (1 + e),
    "shift": lambda points, e: points + e * np.array([0.6, -0.5, 0.2]),
    "roll": lambda points, e: points @ _turn(e, 0, 1),
    "turn": lambda points, e: points @ _turn(e, 0, 2),
}


def _turn(angle: float, first: int, second: int) -> np.ndarray:
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[first, second], matrix[second, first] = np.sin(angle), -np.sin(angle)
    return matrix


def front(size: int, perspective: bool = True) -> Camera:
    """A camera on +Z, its principal point off the centre."""
    focal = 1.39 * size if perspective else 0.56 * size
    K = np.array([[focal, 0, 0.48 * size], [0, focal, 0.53 * size], [0, 0, 1.0]])
    pose = look_at(np.array([0, 0, 2.5]), np.zeros(3), np.array([0, 1.0, 0]))
    return Camera(K, pose, size, size, "perspective" if perspective else "orthographic")


def weights(size: int) -> Tensor:
    """A smooth weight for each pixel that no motion leaves unchanged."""
    x = (torch.arange(size) + 0.5) / size * 2 - 1
    return 1 + 0.8 * x + 0.4 * x[:, None] + 4 * x * x[:, None]


def by_finite_differences(scene: Scene, camera: Camera, motion: Motion, step: float) -> float:
    """Central difference of the weighted sum of pixels, each the mean of `FINER` squared samples."""
    dense = camera.resized(camera.width * FINER, camera.height * FINER)
    batch, weight = CameraBatch.of([dense]), weights(dense.width).double()
    grey = torch.tensor(scene.grey, dtype=torch.float32)[:, None]

    def total(amount: float) -> float:
        points = torch.tensor(scene.moved(motion, amount), dtype=torch.float32)
        seen = rasterize(batch.project(points), torch.tensor(scene.faces), dense.height, dense.width, batch.perspective)
        return float((interpolate(seen, grey)[0, ..., 0].double() * weight).sum()) / FINER**2

    return (total(step) - total(-step)) / (2 * step)


def by_gradients(scene: Scene, camera: Camera, motions: dict[str, Motion]) -> dict[str, float]:
    """The same derivatives from one backward pass at one sample per pixel."""
    batch = CameraBatch.of([camera])
    points = torch.tensor(scene.vertices, dtype=torch.float32, requires_grad=True)
    seen = rasterize(batch.project(points), torch.tensor(scene.faces), camera.height, camera.width, batch.perspective)
    grey = torch.tensor(scene.grey, dtype=torch.float32)[:, None]
    image = edge_gradient(interpolate(seen, grey), seen)
    (image[0, ..., 0] * weights(camera.width)).sum().backward()
    assert points.grad is not None
    gradient = points.grad.double().numpy()
    return {
        name: float((gradient * (scene.moved(motion, 1e-4) - scene.moved(motion, -1e-4))).sum() / 2e-4)
        for name, motion in motions.items()
    }
