"""The thin object: a pair of scissors, flat, with two rings to look through and tapering blades."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from meshwright.sample import distance as sd
from meshwright.sample.bake import Solid
from meshwright.sample.paint import (
    Colors,
    SurfacePoints,
    color,
    confetti,
    lettering,
    over,
    paint_part,
    stamp,
    stripes,
    uneven_edges,
)

Points = Float[np.ndarray, "n 3"]
STEEL, DARK, RED, BLUE, INK = color("#C3C9CF"), color("#8A949E"), color("#D2483B"), color("#2E6FA8"), color("#242A33")
CREAM, YELLOW = color("#F6EFD9"), color("#EDBE4A")
X, Z, BACK_X, BACK_Z = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)
OPENING_DEG = 13.0
RINGS = ((-0.60, 0.03, 1.30, 0.36), (0.56, -0.03, 1.22, 0.29))  # x, y, z, ring radius


def blade(points: Points, angle_deg: float, height: float) -> Float[np.ndarray, "n"]:
    """A blade along -z with its back at the pivot, turned about the pivot, lying at ``height``."""
    local = sd.turned(points, angle_deg, 1)
    along = np.clip((local[:, 2] + 1.9) / 2.2, 0, 1)
    half_width = 0.035 + 0.15 * np.sqrt(along)
    across = np.maximum(np.abs(local[:, 0]) - half_width, np.abs(local[:, 2] + 0.8) - 1.1)
    flat = np.abs(local[:, 1] - height) - 0.022
    q = np.stack([across, flat], 1)
    return 0.9 * (np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)) - 0.012


def arm(points: Points, ring: tuple[float, float, float, float], root: float) -> Float[np.ndarray, "n"]:
    """A handle: a ring and the bar that joins it to the pivot."""
    x, y, z, radius = ring
    bar = sd.capsule(points, (root, y, 0.05), (x * 0.78, y, z - radius * 0.85), 0.085)
    return sd.smooth_union(bar, sd.torus(points, (x, y, z), 1, radius, 0.085), 0.08)


def parts(points: Points) -> dict[str, Float[np.ndarray, "n"]]:
    """Distances to blades, handles and screw."""
    return {
        "upper": blade(points, OPENING_DEG, 0.03),
        "lower": blade(points, -OPENING_DEG, -0.03),
        "red": arm(points, RINGS[0], -0.06),
        "blue": arm(points, RINGS[1], 0.06),
        "screw": sd.rounded_cylinder(points, (0, 0.02, -0.12), 1, 0.10, 0.11, 0.03),
    }


def distance(points: Points) -> Float[np.ndarray, "n"]:
    """The closed union of all parts."""
    part = parts(points)
    metal = np.minimum(np.minimum(part["upper"], part["lower"]), part["screw"])
    return sd.smooth_union(metal, np.minimum(part["red"], part["blue"]), 0.05)


def paint(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """Steel blades, a red and a blue handle, words on both faces."""
    base = np.broadcast_to(STEEL, points.positions.shape).astype(np.float32)
    base = paint_part(points, base, "lower", lambda some: np.broadcast_to(DARK, some.positions.shape))
    base = paint_part(points, base, "red", lambda some: paint_handle(some, rng, RED, RINGS[0]))
    base = paint_part(points, base, "blue", lambda some: paint_handle(some, rng, BLUE, RINGS[1]))
    base = paint_part(points, base, "screw", lambda some: np.broadcast_to(YELLOW, some.positions.shape))
    c, s = np.cos(np.radians(OPENING_DEG)), np.sin(np.radians(OPENING_DEG))
    stamps = (
        ("MESHWRIGHT", (-0.22, 0.06, -0.92), (s, 0.0, c), (c, 0.0, -s), 0.14, INK),
        ("fine 42", (-0.16, -0.06, -0.72), (s, 0.0, -c), (-c, 0.0, -s), 0.14, CREAM),
        ("T", (0.0, 0.12, -0.12), X, BACK_Z, 0.12, INK),
        ("U", (0.0, -0.08, -0.12), X, Z, 0.12, INK),
    )
    for text, centre, right, up, height, ink in stamps:
        base = stamp(base, ink, lettering(points, text, centre, right, up, height, reach=0.06))
    return base


def paint_handle(
    points: SurfacePoints, rng: np.random.Generator, ground: Float[np.ndarray, "3"], ring: tuple[float, ...]
) -> Colors:
    """One colour with chips and, round the ring, rungs of unlike width."""
    x, _, z = points.positions.T
    base = np.broadcast_to(ground, points.positions.shape).astype(np.float32)
    angle = np.arctan2(x - ring[0], z - ring[2]) * ring[3]
    base = over(base, CREAM, stripes(points, angle, uneven_edges(rng, -ring[3] * 2.2, ring[3] * 2.2, 6)))
    places = np.column_stack([rng.uniform(-0.9, 0.9, 80), rng.uniform(-0.1, 0.1, 80), rng.uniform(0.0, 1.6, 80)])
    return confetti(points, base, [YELLOW, INK], rng, places, (0.03, 0.06))


def scissors() -> Solid:
    """The scissors."""
    return Solid(distance, parts, (-1.2, -0.3, -2.1), (1.05, 0.3, 1.85), paint, cells=240)
