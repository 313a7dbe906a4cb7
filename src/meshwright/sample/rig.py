"""Where the sample's cameras stand: the six canonical slots, a ring, or a sphere. All look at the origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from meshwright.cameras.rigs import SLOTS
from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import look_at

Layout = Literal["canonical", "ring", "sphere"]
Naming = Literal["viewer", "object"]
OBJECTS_OWN = {"left": "right", "right": "left"}
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True, eq=False)
class Station:
    """A camera with the name of its view."""

    name: str
    camera: Camera


def canonical_stations(fov_deg: float, distance: float, size: int, naming: Naming = "viewer") -> list[Station]:
    """Six cameras on the axes. ``naming`` "viewer": right is seen from +X; "object": left is (its own side)."""
    stations = []
    for name in SLOTS:
        direction, up = (np.array(v, float) for v in SLOTS[OBJECTS_OWN.get(name, name) if naming == "object" else name])
        pose = look_at(direction * distance, np.zeros(3), up)
        stations.append(Station(name, Camera.from_fov(fov_deg, pose, size, size)))
    return stations


def ring_stations(count: int, elevation_deg: float, fov_deg: float, distance: float, size: int) -> list[Station]:
    """``count`` cameras evenly around +Y, the first towards +Z, azimuth growing towards +X."""
    elevation = np.radians(elevation_deg)
    angles = 2 * np.pi * np.arange(count) / count
    level = np.cos(elevation)
    directions = np.column_stack([level * np.sin(angles), np.full(count, np.sin(elevation)), level * np.cos(angles)])
    return _named("view", directions, fov_deg, distance, size)


def sphere_stations(count: int, fov_deg: float, distance: float, size: int, prefix: str = "view") -> list[Station]:
    """``count`` cameras spread over the whole sphere on a golden spiral (the evaluation set's held-out views)."""
    k = np.arange(count)
    y = 1 - (2 * k + 1) / count
    level, angles = np.sqrt(1 - y * y), k * GOLDEN_ANGLE + 0.4
    directions = np.column_stack([level * np.sin(angles), y, level * np.cos(angles)])
    return _named(prefix, directions, fov_deg, distance, size)


def _named(
    prefix: str, directions: Float[np.ndarray, "n 3"], fov_deg: float, distance: float, size: int
) -> list[Station]:
    up = np.array([0.0, 1.0, 0.0])
    poses = [look_at(direction * distance, np.zeros(3), up) for direction in directions]
    return [Station(f"{prefix}_{k:02d}", Camera.from_fov(fov_deg, pose, size, size)) for k, pose in enumerate(poses)]
