"""The default object: a robot that is a mug. Bowl in its head, thin antenna, handle, words on every side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from meshwright.sample import distance as sd
from meshwright.sample.bake import Solid
from meshwright.sample.paint import (
    Colors,
    SurfacePoints,
    color,
    confetti,
    disc,
    lettering,
    over,
    paint_part,
    stamp,
    stripes,
    uneven_edges,
)

Points = Float[np.ndarray, "n 3"]
PartPaint = Callable[[SurfacePoints, np.random.Generator], Colors]
CREAM, TEAL, NAVY = color("#F3E7CF"), color("#2A8F86"), color("#22384A")
CORAL, MUSTARD, WHITE, SKY = color("#E5654B"), color("#E9B949"), color("#FBFAF5"), color("#8FC1D4")
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
BACK_X, BACK_Z = (-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)
BOWL_CENTRE, BOWL_RADIUS, BOWL_FLOOR = (0.06, -0.02), 0.55, -0.28
EYES = ((-0.40, 0.36, 0.74, 0.25), (0.38, 0.42, 0.76, 0.17))
QUIET = np.array(  # places of words and of the face, kept free of confetti
    [
        [0.3, 0.62, -0.76],
        [-0.3, 0.62, -0.76],
        [0.92, 0.1, -0.36],
        [0.92, 0.7, 0.06],
        [0.05, -0.1, 0.76],
        [-0.4, 0.3, 0.76],
        [0.42, 0.42, 0.76],
    ]
)
FEET = ((-0.52, -1.02, 0.38), (0.55, -1.02, 0.34), (0.05, -1.02, -0.42))


def parts(points: Points) -> dict[str, Float[np.ndarray, "n"]]:
    """Distances to the parts, in the order in which paint asks for them."""
    eyes = [sd.sphere(points, eye[:3], eye[3]) for eye in EYES]
    feet = [sd.sphere(points, foot, 0.24) for foot in FEET]
    return {
        "body": sd.rounded_box(points, (0, 0, 0), (0.92, 1.0, 0.76), 0.20),
        "bowl": bowl(points),
        "handle": sd.torus(points, (1.09, -0.06, 0.05), 2, 0.37, 0.10),
        "ear": sd.rounded_cylinder(points, (-0.95, 0.12, 0.08), 0, 0.30, 0.13, 0.06),
        "pack": sd.rounded_box(points, (0.10, -0.16, -0.80), (0.52, 0.50, 0.20), 0.10),
        "antenna": sd.capsule(points, (-0.72, 0.86, -0.22), (-0.98, 1.62, -0.36), 0.036),
        "bulb": sd.sphere(points, (-1.0, 1.68, -0.37), 0.12),
        "eyes": np.minimum(*eyes),
        "feet": np.minimum.reduce(feet),
    }


def bowl(points: Points) -> Float[np.ndarray, "n"]:
    """The hollow: an upright cylinder with a round floor, open at the top."""
    x, z = BOWL_CENTRE
    top = 1.6
    middle, half = (top + BOWL_FLOOR) / 2, (top - BOWL_FLOOR) / 2
    return sd.rounded_cylinder(points, (x, middle, z), 1, BOWL_RADIUS, half, 0.22)


def distance(points: Points) -> Float[np.ndarray, "n"]:
    """The whole robot."""
    part = parts(points)
    smile = np.minimum(
        sd.capsule(points, (-0.36, -0.02, 0.80), (-0.04, -0.16, 0.80), 0.07),
        sd.capsule(points, (-0.04, -0.16, 0.80), (0.40, 0.02, 0.80), 0.07),
    )
    shape = sd.smooth_union(part["body"], part["pack"], 0.06)
    shape = sd.smooth_union(shape, part["feet"], 0.10)
    shape = sd.smooth_union(shape, part["ear"], 0.06)
    shape = sd.smooth_difference(shape, smile, 0.04)
    shape = sd.smooth_union(shape, part["eyes"], 0.05)
    shape = sd.smooth_union(shape, part["handle"], 0.10)
    shape = sd.smooth_union(shape, np.minimum(part["antenna"], part["bulb"]), 0.04)
    return sd.smooth_difference(shape, bowl(points), 0.09)


def paint(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """All colour: ground, parts, faces, then the lettering on top."""
    ground = paint_body(points, rng)
    for name, colors in PART_PAINT.items():
        ground = paint_part(points, ground, name, lambda some, colors=colors: colors(some, rng))
    return paint_lettering(points, ground)


def paint_body(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """Cream terrazzo above a wavy teal dip."""
    x, y, z = points.positions.T
    places = np.column_stack([rng.uniform(-1, 1, 220), rng.uniform(-0.62, 1.05, 220), rng.uniform(-0.85, 0.85, 220)])
    push = np.abs(places / [0.92, 1.0, 0.76])
    face = np.eye(3)[push.argmax(1)] > 0
    places = np.where(face, np.sign(places) * [0.92, 1.0, 0.76], places)
    free = np.min([np.linalg.norm(places - spot, axis=1) for spot in QUIET], axis=0) > 0.4
    places = places[free]
    base = np.broadcast_to(CREAM, points.positions.shape).astype(np.float32)
    base = confetti(points, base, [CORAL, TEAL, MUSTARD, NAVY, SKY], rng, places, (0.025, 0.075))
    wave = 0.05 * np.sin(3.1 * x + 1.7 * z + rng.uniform(0, 6)) + 0.03 * np.sin(5.3 * z - 2.2 * x)
    dip = over(np.broadcast_to(TEAL, base.shape), MUSTARD, stripes(points, y + wave, np.array([-0.475, -0.445])))
    return over(base, dip, points.edge(y + wave + 0.42))


def paint_bowl(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """Sky blue with upright stripes of unlike width and a white floor."""
    x, y, z = points.positions.T
    angle = np.arctan2(z - BOWL_CENTRE[1], x - BOWL_CENTRE[0]) * BOWL_RADIUS
    bands = stripes(points, angle, uneven_edges(rng, -np.pi * BOWL_RADIUS, np.pi * BOWL_RADIUS, 7))
    wall = over(np.broadcast_to(SKY, points.positions.shape), NAVY, bands * points.edge(y - 0.62))
    return over(wall, WHITE, points.edge(y - (BOWL_FLOOR + 0.12)))


def paint_handle(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """Coral with cream rings."""
    x, y, _ = points.positions.T
    angle = np.arctan2(y + 0.06, x - 1.09) * 0.37
    return over(
        np.broadcast_to(CORAL, points.positions.shape), CREAM, stripes(points, angle, uneven_edges(rng, -0.7, 0.7, 5))
    )


def paint_eyes(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """White balls, navy pupils that look a little aside, a glint."""
    out = np.broadcast_to(WHITE, points.positions.shape)
    for (x, y, z, radius), aside in zip(EYES, (0.05, 0.04), strict=True):
        out = over(out, NAVY, disc(points, (x + aside, y + 0.02, z + radius), radius * 0.62))
        out = over(
            out, WHITE, disc(points, (x + aside + 0.35 * radius, y + 0.35 * radius, z + 0.9 * radius), radius * 0.22)
        )
    return out


def paint_feet(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """One coral, one mustard, one navy."""
    out = np.broadcast_to(NAVY, points.positions.shape)
    out = over(out, CORAL, disc(points, FEET[0], 0.3))
    return over(out, MUSTARD, disc(points, FEET[1], 0.3))


def paint_antenna(points: SurfacePoints, rng: np.random.Generator) -> Colors:
    """Navy with coral rings."""
    y = points.positions[:, 1]
    return over(
        np.broadcast_to(NAVY, points.positions.shape), CORAL, stripes(points, y, uneven_edges(rng, 0.95, 1.6, 3))
    )


def plain(code: Float[np.ndarray, "3"]) -> PartPaint:
    """A part in one colour."""
    return lambda points, rng: np.broadcast_to(code, points.positions.shape)


PART_PAINT = {
    "bowl": paint_bowl,
    "handle": paint_handle,
    "ear": plain(MUSTARD),
    "pack": plain(CORAL),
    "antenna": paint_antenna,
    "bulb": plain(CORAL),
    "eyes": paint_eyes,
    "feet": paint_feet,
}


def paint_lettering(points: SurfacePoints, base: Colors) -> Colors:
    """A word or letter on every side, read from outside."""
    stamps = (
        ("MESHWRIGHT", (0.0, -0.70, 0.76), X, Y, 0.17, WHITE),
        ("F", (0.66, 0.72, 0.72), X, Y, 0.20, CORAL),
        ("depth in", (0.10, 0.10, -1.0), BACK_X, Y, 0.20, WHITE),
        ("mesh out", (0.10, -0.16, -1.0), BACK_X, Y, 0.165, NAVY),
        ("B", (0.10, -0.46, -1.0), BACK_X, Y, 0.22, CREAM),
        ("six views", (0.02, 0.62, -0.76), BACK_X, Y, 0.20, NAVY),
        ("L", (-1.08, 0.12, 0.08), Z, Y, 0.34, NAVY),
        ("cup 7", (-0.92, -0.68, 0.0), Z, Y, 0.22, WHITE),
        ("R", (0.92, 0.02, -0.36), BACK_Z, Y, 0.34, NAVY),
        ("4 u", (0.92, 0.66, 0.06), BACK_Z, Y, 0.20, CORAL),
        ("TOP", (BOWL_CENTRE[0], BOWL_FLOOR, BOWL_CENTRE[1]), X, BACK_Z, 0.22, CORAL),
        ("UNDER", (0.0, -1.0, 0.02), X, Z, 0.20, WHITE),
    )
    for text, centre, right, up, height, ink in stamps:
        base = stamp(base, ink, lettering(points, text, centre, right, up, height))
    return base


def robot() -> Solid:
    """The robot mug."""
    return Solid(distance, parts, (-1.2, -1.32, -1.08), (1.58, 1.86, 1.08), paint)
