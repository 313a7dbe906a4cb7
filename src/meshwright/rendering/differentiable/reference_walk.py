"""A walk over the mesh from one pixel towards its neighbour, to the edge at which the surface ends between them.

The walk goes straight along an image axis: from the face at the pixel's centre, out through one of its edges into the
face beyond, and so on. It ends at an edge

- that is a border of the mesh, or
- whose other face lies on the side that we come from: there the surface turns away from the viewer.

If it arrives in the face that the neighbour sees, or beyond that pixel's centre, the surface does not end there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import BEYOND, STEPS

Push = list[tuple[int, list[float]]]


class Place(NamedTuple):
    """A vertex as the walk sees it, from the pixel's centre: ``along`` and ``aside`` are w times pixels."""

    along: float
    aside: float
    z: float
    w: float  # z, orthographic 1


class Walk(NamedTuple):
    """From a pixel towards the next along ``axis`` (0 = x, 1 = y) in direction ``sign``.

    ``pair`` is (row, column) of the left or upper one of the two pixels.
    """

    screen: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    neighbours: Int[Tensor, "F 3"]
    perspective: bool
    axis: int
    sign: int
    pair: tuple[int, int]

    @property
    def start(self) -> tuple[float, float]:
        """The centre (x, y) of the pixel where the walk starts."""
        row, col = self.pair
        back = 1 if self.sign < 0 else 0
        return col + 0.5 + back * (self.axis == 0), row + 0.5 + back * (self.axis == 1)

    def push(self, face: int, target: int, weights: list[float]) -> Push:
        """Gradient of the edge's position along the axis for each vertex that holds it; nothing if there is no edge.

        ``face`` is seen at the start, with ``weights`` of its corners, and ``target`` at the next pixel (-1 = none).
        """
        ends = self.find(face, target)
        if isinstance(ends, str):
            return [] if ends == "none" else self.moved(self.faces[face].tolist(), weights)
        p, q = (self.place(v) for v in ends)
        share = p.aside / (p.aside - q.aside)
        return self.moved(list(ends), [1 - share, share])

    def find(self, face: int, target: int) -> tuple[int, int] | Literal["none", "lost"]:
        """The two vertices of the edge where the surface ends, "none" if it goes on, "lost" if that is not known."""
        ends = self.exit(face)
        for _ in range(STEPS):
            if ends is None:
                return "lost"
            if self.crossing(*ends) > BEYOND:
                return "lost" if target < 0 else "none"
            face = int(self.neighbours[face, self.edges(face).index(set(ends))])
            if face < 0:
                return ends
            (tip,) = set(self.faces[face].tolist()) - set(ends)
            if not self.is_ahead(tip, ends):
                return ends
            if face == target:
                return "none"
            ends = (ends[0], tip) if self.place(tip).aside >= 0 else (tip, ends[1])
        return "lost"

    def exit(self, face: int) -> tuple[int, int] | None:
        """The edge through which the walk leaves its first face: of those that it crosses, the farthest."""
        crossed: list[tuple[int, int]] = []
        for edge in self.edges(face):
            before, after = sorted(edge, key=lambda v: self.place(v).aside >= 0)
            if self.place(before).aside < 0 <= self.place(after).aside:
                crossed.append((before, after))
        return max(crossed, key=lambda ends: self.crossing(*ends), default=None)

    def edges(self, face: int) -> list[set[int]]:
        """The vertices of the face's three edges."""
        a, b, c = self.faces[face].tolist()
        return [{a, b}, {b, c}, {c, a}]

    def place(self, vertex: int) -> Place:
        """Where a vertex lies."""
        x, y, z = self.screen[vertex].tolist()
        w = z if self.perspective else 1.0
        local = x - w * self.start[0], y - w * self.start[1]
        return Place(self.sign * local[self.axis], local[1 - self.axis], z, w)

    def crossing(self, before: int, after: int) -> float:
        """How many pixels along the walk an edge is crossed; ``before`` lies on the side aside < 0."""
        p, q = self.place(before), self.place(after)
        return (p.along * q.aside - q.along * p.aside) / (p.w * q.aside - q.w * p.aside)

    def is_ahead(self, tip: int, ends: tuple[int, int]) -> bool:
        """Whether a face's third vertex lies beyond its edge, as the walk sees it; one behind the camera does not."""
        p, q, r = self.place(ends[0]), self.place(ends[1]), self.place(tip)
        if not (r.z > 0 and abs(r.along) + abs(r.aside) + r.z < float("inf")):
            return False
        turn = p.w * _cross(q, r) + q.w * _cross(r, p) + r.w * _cross(p, q)
        return turn < 0

    def moved(self, vertices: list[int], weights: list[float]) -> Push:
        """How the image position along the axis of a point with frozen weights changes with its vertices."""
        w = sum(b * self.place(v).w for v, b in zip(vertices, weights, strict=True))
        u = sum(b * float(self.screen[v, self.axis]) for v, b in zip(vertices, weights, strict=True)) / w
        result: Push = []
        for vertex, b in zip(vertices, weights, strict=True):
            push = [0.0, 0.0, -b * u / w if self.perspective else 0.0]
            push[self.axis] = b / w
            result.append((vertex, push))
        return result


def _cross(a: Place, b: Place) -> float:
    return a.along * b.aside - a.aside * b.along
