"""The near-symmetric object: a bottle, round in form, told apart only by its label and its cap's mark."""

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
    sample_text,
    stamp,
    stripes,
    uneven_edges,
)

Points = Float[np.ndarray, "n 3"]
GLASS, LABEL, INK, CAP, BAND = color("#3E7C5A"), color("#F6EFD9"), color("#2B2F3A"), color("#D9A441"), color("#B5402F")
SHADOW = color("#2F6347")
RADIUS = 0.62


def parts(points: Points) -> dict[str, Float[np.ndarray, "n"]]:
    """Distances to glass and cap."""
    belly = sd.rounded_cylinder(points, (0, -0.35, 0), 1, RADIUS, 1.15, 0.16)
    neck = sd.rounded_cylinder(points, (0, 1.1, 0), 1, 0.24, 0.55, 0.05)
    return {
        "glass": sd.smooth_union(belly, neck, 0.55),
        "cap": sd.rounded_cylinder(points, (0, 1.62, 0), 1, 0.30, 0.20, 0.05),
    }


def distance(points: Points) -> Float[np.ndarray, "n"]:
    """The bottle with a punt (the dome pushed up into its foot)."""
    part = parts(points)
    punt = sd.sphere(points, (0, -1.72, 0), 0.48)
    return sd.smooth_difference(np.minimum(part["glass"], part["cap"]), punt, 0.08)


def paint(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """Glass, label around three quarters, cap."""
    x, y, z = points.positions.T
    around = np.arctan2(x, z) * RADIUS
    base = np.broadcast_to(GLASS, points.positions.shape).astype(np.float32)
    base = stamp(base, SHADOW, stripes(points, y, uneven_edges(rng, 0.9, 1.35, 2)))
    side = points.edge(np.abs(points.normals[:, 1]) - 0.5)
    label = points.edge(np.maximum(np.abs(y + 0.35) - 0.72, np.abs(around) - 1.35)) * side
    base = over(base, paint_label(points, rng, around), label)
    base = paint_part(points, base, "cap", lambda some: paint_cap(some, rng))
    return stamp(base, LABEL, lettering(points, "B7", (0.0, -1.45, 0.0), (1, 0, 0), (0, 0, 1), 0.2, reach=0.3))


def paint_label(points: SurfacePoints, rng: np.random.Generator, around: Float[np.ndarray, "n"]) -> Colors:
    """Paper with a frame, the name, three lines of small print and a block of bars."""
    y = points.positions[:, 1]
    base = np.broadcast_to(LABEL, points.positions.shape).astype(np.float32)
    chips = np.column_stack([rng.uniform(-1, 1, 60), rng.uniform(-1.0, 0.3, 60), rng.uniform(-1, 1, 60)])
    chips[:, [0, 2]] *= RADIUS / np.linalg.norm(chips[:, [0, 2]], axis=1, keepdims=True)
    chips = chips[np.abs(np.arctan2(chips[:, 0], chips[:, 2])) > 0.95]
    base = confetti(points, base, [BAND, GLASS, CAP], rng, chips, (0.02, 0.05))
    base = stamp(base, BAND, stripes(points, y, np.array([-1.0, -0.93, 0.23, 0.30])))
    for text, u, height, size, ink in (
        ("MESH", 0.0, 0.02, 0.27, BAND),
        ("WRIGHT", 0.0, -0.30, 0.22, INK),
        ("no. 24 . dry", 0.0, -0.58, 0.13, INK),
        ("0.7 l", 0.0, -0.80, 0.12, GLASS),
        ("L", -0.98, -0.3, 0.36, INK),
        ("R", 0.98, -0.3, 0.36, INK),
    ):
        base = stamp(base, ink, sample_text(points, text, around - u, y - height, size))
    return base


def paint_cap(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """Gold with uneven grooves round the rim and a T on top."""
    x, y, z = points.positions.T
    base = np.broadcast_to(CAP, points.positions.shape).astype(np.float32)
    rim = stripes(points, np.arctan2(x, z) * 0.3, uneven_edges(rng, -np.pi * 0.3, np.pi * 0.3, 11))
    base = stamp(base, BAND, rim * points.edge(np.abs(y - 1.6) - 0.11))
    return stamp(base, INK, lettering(points, "T", (0.0, 1.82, 0.0), (1, 0, 0), (0, 0, -1), 0.3))


def bottle() -> Solid:
    """The bottle."""
    return Solid(distance, parts, (-0.7, -1.6, -0.7), (0.7, 1.92, 0.7), paint)
