"""Random triangles on the screen, and the two backends that are compared on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from meshwright.rendering.differentiable import numba_backend, reference
from meshwright.rendering.differentiable.topology import face_neighbours


@dataclass(frozen=True, eq=False)
class Soup:
    """Homogeneous pixel points of ``n`` views (n, V, 3) and faces, with the image size they are meant for."""

    screen: Tensor
    faces: Tensor
    height: int
    width: int
    perspective: bool

    def ids(self) -> Tensor:
        return numba_backend.visibility(self.screen, self.faces, self.height, self.width, self.perspective)

    def reference_ids(self) -> Tensor:
        return reference.visibility(self.screen, self.faces, self.height, self.width, self.perspective)

    @property
    def neighbours(self) -> Tensor:
        return face_neighbours(self.faces)


def soup(
    seed: int, spread: float, *, shared: bool = False, perspective: bool = True, views: int = 2, n_faces: int = 90
) -> Soup:
    """Triangles of about ``spread`` pixels in and round a 24 x 40 image; with ``shared`` they share 60 vertices."""
    rng = np.random.default_rng(seed)
    height, width = 24, 40
    centre = rng.uniform(-0.3, 1.3, (views, n_faces, 1, 2)) * [width, height]
    xy = (centre + rng.normal(0, spread, (views, n_faces, 3, 2))).reshape(views, 3 * n_faces, 2)
    z = rng.uniform(0.5, 3, (views, 3 * n_faces, 1))
    screen = torch.tensor(np.concatenate([xy * z if perspective else xy, z], -1), dtype=torch.float32)
    faces = torch.arange(3 * n_faces, dtype=torch.int32).reshape(-1, 3)
    if shared:
        screen = screen[:, :60].contiguous()
        faces = torch.tensor(rng.integers(0, 60, (n_faces, 3)), dtype=torch.int32)
    return Soup(screen, faces, height, width, perspective)


def crumpled(seed: int, perspective: bool = True, cells: int = 14) -> Soup:
    """One connected sheet, crumpled until it folds over itself many times."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-2, 26, cells), np.linspace(3, 37, cells), indexing="ij")
    xy = np.stack([x, y], -1).reshape(1, -1, 2) + rng.normal(0, 3, (2, cells * cells, 2))
    z = rng.uniform(1, 2, (2, cells * cells, 1))
    screen = torch.tensor(np.concatenate([xy * z if perspective else xy, z], -1), dtype=torch.float32)
    index = np.arange(cells * cells).reshape(cells, cells)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, d, c), (a, c, b))])
    return Soup(screen, torch.tensor(faces.astype(np.int32)), 24, 40, perspective)


def relative(found: Tensor, truth: Tensor) -> float:
    """Length of the difference over that of the truth."""
    return float((found.double() - truth.double()).norm() / truth.double().norm().clamp(min=1e-30))


SCENES = {
    "specks": soup(1, 0.4),
    "small": soup(2, 3.0),
    "large": soup(3, 25.0),
    "mesh of specks": soup(4, 0.4, shared=True),
    "mesh": soup(5, 3.0, shared=True),
    "orthographic": soup(6, 6.0, perspective=False),
    "orthographic mesh": soup(7, 6.0, perspective=False, shared=True),
    "crumpled sheet": crumpled(9),
    "orthographic sheet": crumpled(10, perspective=False),
    "one view": soup(8, 6.0, views=1),
}
