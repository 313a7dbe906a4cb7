"""A camera: intrinsics, pose and image size, in the one inner convention.

OpenCV axes (x right, y down, z forward), ``c2w`` takes camera points to world points, pixel centres lie at +0.5, depth
is z-depth along the optical axis. An orthographic camera keeps the same fields: ``K[0, 0]`` is then pixels per world
unit instead of pixels per unit slope.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

Projection = Literal["perspective", "orthographic"]

# `c2w @ FLIP_YZ` turns OpenGL camera axes (x right, y up, looking along -z) into OpenCV's, and back.
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Camera:
    """One view's camera. ``K`` (3, 3) and ``c2w`` (4, 4) are float64; ``c2w`` has a proper rotation (det +1)."""

    K: Float[np.ndarray, "3 3"]
    c2w: Float[np.ndarray, "4 4"]
    width: int
    height: int
    projection: Projection = "perspective"

    # Factories.

    @staticmethod
    def from_fov(fov_deg: float, c2w: Float[np.ndarray, "4 4"], width: int, height: int) -> Camera:
        """A centred perspective camera whose full horizontal field of view is ``fov_deg`` degrees."""
        focal = 0.5 * width / np.tan(np.radians(fov_deg) / 2)
        K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
        return Camera(K, np.asarray(c2w, float), width, height)

    def resized(self, width: int, height: int) -> Camera:
        """The same camera at another resolution (pixel edges stay put, so centres need no half-pixel care)."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, K=scale @ self.K, width=width, height=height)

    # Accessors.

    @property
    def w2c(self) -> Float[np.ndarray, "4 4"]:
        """World-to-camera matrix."""
        rotation = self.c2w[:3, :3].T
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = -rotation @ self.c2w[:3, 3]
        return matrix

    @property
    def center(self) -> Float[np.ndarray, "3"]:
        """Camera centre in the world."""
        return self.c2w[:3, 3]

    @property
    def forward(self) -> Float[np.ndarray, "3"]:
        """Unit viewing direction in the world."""
        return self.c2w[:3, 2]

    @property
    def fov_deg(self) -> float:
        """Full horizontal field of view in degrees (perspective only)."""
        return float(2 * np.degrees(np.arctan(0.5 * self.width / self.K[0, 0])))

    # Operations.

    def project(
        self, points_world: Float[np.ndarray, "*n 3"]
    ) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray, "*n"]]:
        """Pixel coordinates and z-depth of world points. Points at or behind a perspective camera give NaN pixels."""
        w2c = self.w2c
        local = points_world @ w2c[:3, :3].T + w2c[:3, 3]
        z = local[..., 2]
        if self.projection == "perspective":
            front = np.where(z > 1e-12, z, np.nan)
            local = local / front[..., None]
        uv = local[..., :2] @ self.K[:2, :2].T + self.K[:2, 2]
        return uv, z

    def unproject(self, uv: Float[np.ndarray, "*n 2"], z: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3"]:
        """World points at pixel coordinates ``uv`` and z-depth ``z``; the inverse of `project`."""
        slope = (np.asarray(uv, float) - self.K[:2, 2]) @ np.linalg.inv(self.K[:2, :2]).T
        z = np.asarray(z, float)
        if self.projection == "perspective":
            slope = slope * z[..., None]
        local = np.concatenate([slope, z[..., None]], -1)
        return local @ self.c2w[:3, :3].T + self.c2w[:3, 3]

    def view_directions(self, points_world: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Unit vectors from world points towards the camera (constant for an orthographic camera)."""
        if self.projection == "orthographic":
            return np.broadcast_to(-self.forward, points_world.shape).copy()
        towards = self.center - points_world
        return towards / np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-30)

    def pixel_size(self, z: Float[np.ndarray, "*n"] | float) -> Float[np.ndarray, "*n"] | float:
        """World size of one pixel at z-depth ``z``."""
        return (z if self.projection == "perspective" else np.ones_like(z)) / self.K[0, 0]

    def transformed(self, similarity: Float[np.ndarray, "4 4"]) -> Camera:
        """The camera after the world is moved by a similarity (uniform scale, rotation, shift)."""
        scale = float(np.cbrt(np.linalg.det(similarity[:3, :3])))
        c2w = similarity @ self.c2w
        c2w[:3, :3] /= scale
        intrinsics = self.K
        if self.projection == "orthographic":
            intrinsics = np.diag([1 / scale, 1 / scale, 1.0]) @ intrinsics
            intrinsics[:2, 2] = self.K[:2, 2]
        return replace(self, K=intrinsics, c2w=c2w)


def pixel_grid(width: int, height: int) -> Float[np.ndarray, "h w 2"]:
    """Pixel-centre coordinates (x, y) of an image."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y], -1)
