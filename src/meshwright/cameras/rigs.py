"""Rigs: where the cameras of named views stand before anything is measured.

The canonical rig has six slots on the axes, named as the viewer sees them with the object's front at +Z: right is +X,
left is -X. Every camera looks at the origin. Top has image-up = -Z (the front at the image's lower edge), bottom +Z.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

SLOTS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "front": ((0, 0, 1), (0, 1, 0)),
    "back": ((0, 0, -1), (0, 1, 0)),
    "left": ((-1, 0, 0), (0, 1, 0)),
    "right": ((1, 0, 0), (0, 1, 0)),
    "top": ((0, 1, 0), (0, 0, -1)),
    "bottom": ((0, -1, 0), (0, 0, 1)),
}  # slot: (direction from the origin to the camera, image-up)

CANONICAL_NAMES = tuple(SLOTS)


@cache
def slot_rotation(slot: str, roll_deg: int = 0) -> Float[np.ndarray, "3 3"]:
    """Camera-to-world rotation (OpenCV axes) of a slot whose canonical image was turned clockwise by ``roll_deg``."""
    direction, up = (np.array(v, float) for v in SLOTS[slot])
    forward = -direction
    right = np.cross(forward, up)
    canonical = np.column_stack([right, np.cross(forward, right), forward])
    return canonical @ image_roll(roll_deg)


def image_roll(roll_deg: float) -> Float[np.ndarray, "3 3"]:
    """Axes of a camera whose image was turned clockwise: at 90 degrees what was up points right."""
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    return np.round(np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]), 12)


def ring_rotation(azimuth_deg: float, elevation_deg: float) -> Float[np.ndarray, "3 3"]:
    """Camera-to-world rotation of a camera on a ring about +Y: azimuth 0 is +Z and grows towards +X."""
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    forward = -np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(forward, right), forward])
