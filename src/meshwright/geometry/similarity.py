"""Similarities of the plane and of space: how an RGB image lies on a depth map, how one world lies in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Similarity2d:
    """A similarity of the image plane in size-free coordinates (pixels divided by the image width, from its centre).

    ``p' = scale * R(angle) * p + shift``. Used for the registration of an RGB image to the depth camera's image:
    ``p`` is where the solved camera projects a surface point, ``p'`` is where the RGB image shows it.
    """

    scale: float = 1.0
    angle_rad: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def matrix(self) -> Float[np.ndarray, "2 3"]:
        """``[s R | shift]``."""
        c, s = np.cos(self.angle_rad) * self.scale, np.sin(self.angle_rad) * self.scale
        return np.array([[c, -s, self.shift_x], [s, c, self.shift_y]])

    def apply_pixels(self, uv: Float[np.ndarray, "*n 2"], width: int, height: int) -> Float[np.ndarray, "*n 2"]:
        """Map pixel coordinates of an image of ``width`` x ``height``."""
        matrix, centre = self.matrix(), np.array([width / 2, height / 2])
        return (uv - centre) @ matrix[:, :2].T + matrix[:, 2] * width + centre

    def inverse(self) -> Similarity2d:
        """The similarity that undoes this one."""
        back = Similarity2d(1 / self.scale, -self.angle_rad)
        shift = -back.matrix()[:, :2] @ np.array([self.shift_x, self.shift_y])
        return Similarity2d(1 / self.scale, -self.angle_rad, float(shift[0]), float(shift[1]))

    @property
    def is_identity(self) -> bool:
        """True when nothing moves."""
        return self == Similarity2d()


def umeyama(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], with_scale: bool = True
) -> Float[np.ndarray, "4 4"]:
    """Least-squares similarity that takes ``source`` to ``target`` (Umeyama 1991, eqs. 34-43)."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    a, b = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(b.T @ a / len(source))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = float(np.trace(np.diag(d) @ sign) / (a**2).sum(1).mean()) if with_scale else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = mean_t - scale * rotation @ mean_s
    return matrix
