"""Rotations of space: exponential map, look-at poses and where viewing axes meet."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def skew(v: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The matrix of the cross product ``v x .``."""
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def exp_so3(w: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation by the vector ``w`` (axis times angle in radians), after Rodrigues."""
    angle = float(np.linalg.norm(w))
    if angle < 1e-12:
        return np.eye(3) + skew(w)
    k = skew(w / angle)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def rotation_angle_deg(rotation: Float[np.ndarray, "3 3"]) -> float:
    """Angle of a rotation in degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1.0, 1.0))))


def look_at(
    position: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    """OpenCV ``c2w`` of a camera at ``position`` that looks at ``target`` with ``up`` upwards in the image."""
    forward = np.asarray(target, float) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    c2w = np.eye(4)
    c2w[:3, :4] = np.column_stack([right, np.cross(forward, right), forward, position])
    return c2w


def axes_meeting_point(centres: Float[np.ndarray, "n 3"], forward: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """The point nearest (least squares) to the lines through ``centres`` along the unit vectors ``forward``."""
    planes = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    return np.linalg.lstsq(planes.sum(0), (planes @ centres[:, :, None]).sum(0)[:, 0], rcond=None)[0]
