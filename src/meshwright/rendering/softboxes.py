"""The neutral studio as an environment: a bright room with three soft lamps, for pictures of shiny things."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

from meshwright.geometry.camera import FLIP_YZ, Camera
from meshwright.rendering.environment import Light, directions, light_of

ROWS = 64
BRIGHTNESS = 0.97  # of a white matt surface where it is brightest: nothing matt is overexposed
CEILING, FLOOR = 0.75, 0.35
# Direction from the object (x right, y up, z to the camera), half width and half height in radians, radiance.
LAMPS = (
    ((-0.65, 0.75, 0.70), 0.42, 0.42, 5.0),  # key, over the camera's left shoulder
    ((0.95, 0.10, 0.45), 0.16, 0.60, 2.2),  # fill, a tall strip on the right
    ((0.30, 0.65, -1.0), 0.50, 0.22, 3.0),  # rim, behind and above
)


@cache
def softbox_light() -> Light:
    """The studio with its axes those of a camera (x right, y up, z to the camera)."""
    image = softbox_image()
    brightest = light_of(image).irradiance(directions(ROWS, 2 * ROWS)).max() / np.pi
    return light_of((image * (BRIGHTNESS / brightest)).astype(np.float32))


def camera_light(camera: Camera) -> Light:
    """The studio that goes with a camera."""
    return softbox_light().turned((camera.c2w @ FLIP_YZ)[:3, :3])


def softbox_image(height: int = ROWS) -> Float[np.ndarray, "h w 3"]:
    """Linear radiance, latitude-longitude, grey."""
    towards = directions(height, 2 * height)
    room = FLOOR + (CEILING - FLOOR) * _step(towards[..., 1], 0.6)
    for direction, wide, high, radiance in LAMPS:
        room = room + radiance * _window(towards, np.array(direction), wide, high)
    return np.repeat(room[..., None], 3, -1)


def _window(
    towards: Float[np.ndarray, "h w 3"], direction: Float[np.ndarray, "3"], wide: float, high: float
) -> Float[np.ndarray, "h w"]:
    """1 inside a rectangular lamp, 0 outside, a soft edge between."""
    axis = direction / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0], axis)
    right /= np.linalg.norm(right)
    x, y = (np.arctan2(towards @ side, towards @ axis) for side in (right, np.cross(axis, right)))
    return _step(wide - np.abs(x), 0.04) * _step(high - np.abs(y), 0.04)


def _step(value: Float[np.ndarray, "*n"], soft: float) -> Float[np.ndarray, "*n"]:
    """A smooth step from 0 at -soft to 1 at soft."""
    t = np.clip(value / (2 * soft) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)
