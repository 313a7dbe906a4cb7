"""Procedural colour on surface points: lettering, stripes, confetti. All edges are a texel soft: nothing aliases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float

Colors = Float[np.ndarray, "n 3"]
Alpha = Float[np.ndarray, "n"]
Vector = tuple[float, float, float]
RUN = 128  # texels


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Places to paint: positions and unit normals in the object's design units, and how far each part's surface is.

    ``texel`` is the size of a texel in design units: the width over which paint edges are softened.
    """

    positions: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    parts: dict[str, Float[np.ndarray, "n"]]
    texel: float

    def edge(self, signed: Float[np.ndarray, "n"]) -> Alpha:
        """1 where ``signed`` (design units) is negative, 0 where positive, a texel-wide ramp between."""
        return np.clip(0.5 - signed / (1.5 * self.texel), 0, 1)

    def subset(self, index: np.ndarray) -> SurfacePoints:
        """Some of the places."""
        parts = {name: distances[index] for name, distances in self.parts.items()}
        return SurfacePoints(self.positions[index], self.normals[index], parts, self.texel)

    def nearest_part(self, name: str) -> Alpha:
        """Coverage of the surface that belongs to part ``name``: where no other part is nearer."""
        nearest, second = self._two_nearest
        others = np.where(self.parts[name] <= nearest, second, nearest)
        return self.edge((self.parts[name] - others) / 2)

    def around(self, centre: Float[np.ndarray, "3"], half: Float[np.ndarray, "3"] | float) -> np.ndarray:
        """Indices of all places within the box of half size ``half`` about ``centre``, and some near it.

        Texels come row by row, so runs of them are compact: whole runs are taken or left by their bounding boxes.
        """
        low, high = self._run_boxes
        runs = np.nonzero((low <= centre + half).all(1) & (high >= centre - half).all(1))[0]
        index = (runs[:, None] * RUN + np.arange(RUN)).ravel()
        return index[: np.searchsorted(index, len(self.positions))]

    @cached_property
    def _run_boxes(self) -> tuple[Float[np.ndarray, "r 3"], Float[np.ndarray, "r 3"]]:
        starts = np.arange(0, len(self.positions), RUN)
        return np.minimum.reduceat(self.positions, starts), np.maximum.reduceat(self.positions, starts)

    @cached_property
    def _two_nearest(self) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        nearest = np.full(len(self.positions), np.inf, np.float32)
        second = nearest.copy()
        for distances in self.parts.values():
            np.minimum(second, np.maximum(nearest, distances), out=second)
            np.minimum(nearest, distances, out=nearest)
        return nearest, second


def paint_part(points: SurfacePoints, base: Colors, name: str, paint: Callable[[SurfacePoints], Colors]) -> Colors:
    """``base`` with the surface of one part painted by ``paint``."""
    alpha = points.nearest_part(name)
    index = np.nonzero(alpha)[0]
    base[index] = over(base[index], paint(points.subset(index)), alpha[index])
    return base


def stamp(base: Colors, ink: Float[np.ndarray, "3"], alpha: Alpha) -> Colors:
    """`over`, in place and only where there is ink."""
    index = np.nonzero(alpha)[0]
    base[index] = over(base[index], ink, alpha[index])
    return base


def color(code: str) -> Float[np.ndarray, "3"]:
    """``"#RRGGBB"`` as sRGB in 0..1."""
    return np.array([int(code[k : k + 2], 16) for k in (1, 3, 5)], np.float32) / 255


def over(base: Colors, top: Float[np.ndarray, "3"] | Colors, alpha: Alpha) -> Colors:
    """``top`` painted on ``base`` with opacity ``alpha``."""
    return base + (top - base) * alpha[:, None].astype(np.float32)


@lru_cache(maxsize=64)
def text_mask(text: str, pixels: int) -> Float[np.ndarray, "h w"]:
    """The text in Pillow's built-in font as coverage 0..1, cropped to its ink; capitals are about ``pixels`` high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=max(8, round(pixels * 1.4)))
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    draw = ImageDraw.Draw(image)
    draw.text((2 - left, 2 - top), text, fill=255, font=font, stroke_width=max(0, pixels // 40))
    return np.asarray(image, np.float32) / 255


def lettering(
    points: SurfacePoints,
    text: str,
    centre: Vector,
    right: Vector,
    up: Vector,
    height: float,
    reach: float = 0.3,
    facing: float = 0.35,
) -> Alpha:
    """Coverage of a text stamped flat onto the surface around ``centre``, upright along ``up``.

    It takes on points within ``reach`` of the stamp's plane whose normal leans less than arccos(``facing``) from it.
    """
    axes = np.asarray([right, up, np.cross(right, up)], np.float32)
    origin = axes @ np.asarray(centre, np.float32)
    rows, columns = text_mask(text, text_pixels(points, height)).shape
    half = np.array([height * columns / rows / 2, height / 2, reach]) @ np.abs(axes)
    near = points.around(np.asarray(centre), half)
    near = near[np.abs(points.positions[near] @ axes[2] - origin[2]) < reach]
    near = near[points.normals[near] @ axes[2] > facing]
    u, v = (points.positions[near] @ axes[:2].T - origin[:2]).T
    out = np.zeros(len(points.positions), np.float32)
    out[near] = sample_text(points, text, u, v, height)
    return out


def sample_text(
    points: SurfacePoints, text: str, u: Float[np.ndarray, "n"], v: Float[np.ndarray, "n"], height: float
) -> Alpha:
    """Coverage of a centred text of ink height ``height`` at plane coordinates ``u`` (right) and ``v`` (up)."""
    mask = text_mask(text, text_pixels(points, height))
    rows, columns = mask.shape
    scale = rows / height
    x, y = u * scale + columns / 2 - 0.5, rows / 2 - v * scale - 0.5
    inside = np.nonzero((x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1))[0]
    out = np.zeros(len(u), np.float32)
    out[inside] = bilinear(mask, x[inside], y[inside])
    return out


def text_pixels(points: SurfacePoints, height: float) -> int:
    """Pixels for a text of ink height ``height``, so that a mask's pixel is about a texel."""
    return max(8, round(height / points.texel))


def bilinear(image: Float[np.ndarray, "h w"], x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> Alpha:
    """Interpolated values of ``image`` at array coordinates that lie strictly inside."""
    i, j = x.astype(np.intp), y.astype(np.intp)
    fx, fy = (x - i).astype(np.float32), (y - j).astype(np.float32)
    top = image[j, i] * (1 - fx) + image[j, i + 1] * fx
    return top * (1 - fy) + (image[j + 1, i] * (1 - fx) + image[j + 1, i + 1] * fx) * fy


def stripes(points: SurfacePoints, coordinate: Float[np.ndarray, "n"], edges: Float[np.ndarray, "k"]) -> Alpha:
    """Coverage of the bands between ``edges[0]..edges[1]``, ``edges[2]..edges[3]`` and so on."""
    out = np.zeros(len(coordinate), np.float32)
    for low, high in np.reshape(edges, (-1, 2)):
        out = np.maximum(out, points.edge(np.maximum(low - coordinate, coordinate - high)))
    return out


def uneven_edges(rng: np.random.Generator, low: float, high: float, bands: int) -> Float[np.ndarray, "k"]:
    """Edges of ``bands`` stripes of unlike widths between ``low`` and ``high``: no shift takes them to themselves."""
    widths = rng.uniform(0.5, 1.6, 2 * bands + 1)
    return low + (high - low) * (np.cumsum(widths) / widths.sum())[:-1]


def disc(points: SurfacePoints, centre: Vector, radius: float) -> Alpha:
    """Coverage of the surface within a ball."""
    return points.edge(np.linalg.norm(points.positions - np.asarray(centre, np.float32), axis=1) - radius)


def confetti(
    points: SurfacePoints,
    base: Colors,
    palette: list[Float[np.ndarray, "3"]],
    rng: np.random.Generator,
    places: Float[np.ndarray, "k 3"],
    radii: tuple[float, float],
) -> Colors:
    """Scattered chips of colour around ``places``: each a ball cut by two planes, so that it looks like terrazzo."""
    out = base.copy()
    for number, place in enumerate(places):
        radius = rng.uniform(*radii)
        cuts = rng.normal(size=(3, 3))
        cuts /= np.linalg.norm(cuts, axis=1, keepdims=True)
        band = points.around(place, radius)
        local = points.positions[band] - place.astype(np.float32)
        near = np.nonzero(np.einsum("nc,nc->n", local, local) < radius * radius)[0]
        local, where = local[near], band[near]
        signed = np.maximum(
            np.linalg.norm(local, axis=1) - radius, (local @ cuts.T.astype(np.float32)).max(1) - 0.45 * radius
        )
        out[where] = over(out[where], palette[number % len(palette)], points.edge(signed))
    return out
