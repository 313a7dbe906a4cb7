"""Several cameras as tensors: from world points to homogeneous pixel points, differentiable in points, K and pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.errors import InputError
from meshwright.geometry.camera import Camera
from meshwright.rendering.differentiable.projection import transform


@dataclass(frozen=True, eq=False)
class CameraBatch:
    """``n`` cameras of one image size and one projection, in the convention of `meshwright.geometry.camera`.

    ``K`` (n, 3, 3) in pixels, its last row (0, 0, 1), the principal point anywhere; ``w2c`` (n, 4, 4) world to camera.
    Both may require gradients. An orthographic batch (``perspective`` False) has pixels per world unit in ``K``.
    """

    K: Float[Tensor, "n 3 3"]
    w2c: Float[Tensor, "n 4 4"]
    height: int
    width: int
    perspective: bool = True

    @staticmethod
    def of(cameras: Sequence[Camera], device: torch.device | str = "cpu") -> CameraBatch:
        """A batch of ``cameras`` in float64.

        Raises `InputError` if there is none, if they differ in size or projection, or if one has a singular K.
        """
        sizes = {(c.height, c.width, c.projection) for c in cameras}
        if len(sizes) != 1:
            raise InputError(
                "A batch needs at least one camera, and all of one image size and projection.",
                suggestion="Resize the cameras, or render them in several batches.",
                reason="cameras_differ",
            )
        for index, camera in enumerate(cameras):
            _check(camera, index)
        height, width, projection = sizes.pop()
        K = torch.as_tensor(np.stack([c.K for c in cameras]), dtype=torch.float64, device=device)
        w2c = torch.as_tensor(np.stack([c.w2c for c in cameras]), dtype=torch.float64, device=device)
        return CameraBatch(K, w2c, height, width, projection == "perspective")

    def project(self, points: Float[Tensor, "*m V 3"]) -> Float[Tensor, "n V 3"]:
        """Homogeneous pixel points (X, Y, z) of world points (V, 3), or (n, V, 3) if each view has its own.

        Worked out in float64 and returned in the points' dtype. Points that are not finite become NaN and pass no
        gradient.
        """
        return transform(points if points.ndim == 3 else points[None], self.matrix)

    @property
    def matrix(self) -> Float[Tensor, "n 3 4"]:
        """What takes world points to homogeneous pixel points, float64; worked out once unless K or pose are learnt."""
        if self.K.requires_grad or self.w2c.requires_grad:
            return self._matrix()
        return self._known_matrix

    @cached_property
    def _known_matrix(self) -> Float[Tensor, "n 3 4"]:
        return self._matrix()

    def _matrix(self) -> Float[Tensor, "n 3 4"]:
        K, w2c = self.K.double(), self.w2c.double()
        if self.perspective:
            return K @ w2c[:, :3]
        axis = torch.tensor([0.0, 0.0, 1.0], dtype=K.dtype, device=K.device).expand(len(K), 3)
        scale = torch.stack([K[:, :, 0], K[:, :, 1], axis], -1)
        return scale @ w2c[:, :3] + torch.nn.functional.pad((K[:, :, 2] - axis)[..., None], (3, 0))


def _check(camera: Camera, index: int) -> None:
    finite = np.isfinite(camera.K).all() and np.isfinite(camera.c2w).all()
    if not finite or abs(np.linalg.det(camera.K[:2, :2])) < 1e-12:
        raise InputError(
            f"Camera {index} has a singular K, or numbers in K or c2w that are not finite.",
            suggestion="K needs focal lengths that are not zero.",
            reason="camera_singular",
        )
