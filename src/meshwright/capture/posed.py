"""What a camera file says, in the inner convention, whatever its format; and the checks that every camera must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from meshwright.capture.capture import Finding
from meshwright.capture.strict_json import pointer_error
from meshwright.geometry.camera import Camera

ROTATION_TOLERANCE = 1e-3
_FARTHEST = 1e9


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """One frame: its camera (RGB pixels; ``width`` and ``height`` 0 where the file leaves them to the image) and files.

    ``depth_scale`` is world units per stored depth value where the file declares it.
    """

    name: str
    camera: Camera
    rgb_path: str
    pointer: str
    depth_path: str | None = None
    mask_path: str | None = None
    depth_scale: float | None = None
    fov_x_rad: float | None = None


@dataclass(frozen=True, eq=False)
class PosedFrames:
    """All input frames of a camera file. ``unit`` is "metre" where the world's unit is declared."""

    format: Literal["nerfstudio", "colmap", "bop"]
    path: str
    frames: tuple[PosedFrame, ...]
    unit: Literal["metre"] | None = None
    findings: tuple[Finding, ...] = field(default_factory=tuple)


def checked_number(value: Any, path: str, pointer: str) -> float:
    """A finite number (no string, no boolean)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise pointer_error(path, pointer, "expected a finite number", "camera_value")
    return float(value)


def checked_numbers(values: Any, count: int, path: str, pointer: str) -> Float[np.ndarray, "n"]:
    """A list of exactly ``count`` finite numbers."""
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or len(values) != count:
        raise pointer_error(path, pointer, f"expected {count} numbers", "camera_value")
    return np.array([checked_number(v, path, f"{pointer}/{i}") for i, v in enumerate(values)])


def checked_matrix(rows: Any, path: str, pointer: str) -> Float[np.ndarray, "4 4"]:
    """A 4 x 4 (or 3 x 4) matrix of finite numbers given as rows."""
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        raise pointer_error(path, pointer, "expected a 4 x 4 matrix", "camera_value")
    matrix = np.eye(4)
    for i, row in enumerate(rows):
        matrix[i] = checked_numbers(row, 4, path, f"{pointer}/{i}")
    if np.abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise pointer_error(path, f"{pointer}/3", "the last row must be 0 0 0 1", "camera_value")
    return matrix


def checked_pose(c2w: Float[np.ndarray, "4 4"], path: str, pointer: str) -> Float[np.ndarray, "4 4"]:
    """A rigid pose: rotation orthonormal within 1e-3 with determinant +1 (then made exact), centre within reason."""
    rotation = c2w[:3, :3]
    if not np.isfinite(c2w).all() or np.abs(c2w).max() > _FARTHEST:
        raise pointer_error(path, pointer, "the pose is not finite or absurdly far away", "camera_not_finite")
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > ROTATION_TOLERANCE:
        raise pointer_error(
            path, pointer, "the rotation part is not orthonormal", "camera_rotation",
            "Remove scale and shear from the matrix; a scale belongs into the translations.",
        )  # fmt: skip
    if np.linalg.det(rotation) < 0:
        raise pointer_error(
            path, pointer, "the rotation mirrors space (determinant -1)", "camera_mirrored",
            "Flip one axis: camera axes must be right-handed.",
        )  # fmt: skip
    # Only what rounding left is removed, so that an exact rotation passes unchanged.
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-9:
        u, _, vt = np.linalg.svd(rotation)
        c2w = c2w.copy()
        c2w[:3, :3] = u @ vt
    return c2w


def checked_intrinsics(
    focal: tuple[float, float], centre: tuple[float, float], path: str, pointer: str
) -> Float[np.ndarray, "3 3"]:
    """``K`` from focal lengths and principal point (inner pixel convention); focal lengths must be positive."""
    for value, name in zip(focal, ("fl_x", "fl_y"), strict=True):
        if not 0 < value < _FARTHEST:
            raise pointer_error(path, pointer, f"the focal length {name} = {value:g} is not positive", "camera_focal")
    if max(map(abs, centre)) > _FARTHEST:
        raise pointer_error(path, pointer, "the principal point is absurdly far away", "camera_value")
    return np.array([[focal[0], 0.0, centre[0]], [0.0, focal[1], centre[1]], [0.0, 0.0, 1.0]])


def checked_distortion(
    coefficients: Sequence[float], K: Float[np.ndarray, "3 3"], size: tuple[int, int], path: str, pointer: str
) -> float:
    """How far, in pixels, radial and tangential distortion (k1, k2, p1, p2) moves the corners; over 1 px is refused.

    The bound is Brown's model at the corner's radius: focal length times |k1| r^3 + |k2| r^5 + 3 (|p1| + |p2|) r^2.
    """
    k1, k2, p1, p2 = (*map(abs, coefficients), 0.0, 0.0, 0.0, 0.0)[:4]
    half = np.array(size, float) / 2
    radius = float(np.hypot(*(half / (K[0, 0], K[1, 1]))))
    shift = float(K[0, 0]) * (k1 * radius**3 + k2 * radius**5 + 3 * (p1 + p2) * radius**2)
    if not shift <= 1.0:
        raise pointer_error(
            path, pointer, f"the lens distortion moves the corners by up to {shift:.1f} pixels", "camera_distortion",
            "Undistort the images (COLMAP: image_undistorter) and give the pinhole cameras.",
        )  # fmt: skip
    return shift


def view_name(path: str) -> str:
    """The name of a view from its file's path: the last part without its suffix."""
    last = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return last.rsplit(".", 1)[0] if "." in last[1:] else last
