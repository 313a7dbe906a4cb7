"""The topology of dual marching cubes: what the signs on a grid decide before any distance counts.

Corner c lies at (c & 1, c >> 1 & 1, c >> 2 & 1). Edge e = 4 a + b + 2 c runs along axis a at offset b along the next
axis and c along the one after it (axes in cyclic order). Face f = 2 a + side. A sign pattern has bit c set where corner
c is inside.

The surface cuts each face of the cube in segments, each from one crossed edge to another; chained over the six faces
they form loops, and each loop gets one dual vertex (Nielson 2004, "Dual Marching Cubes"). The loops of the 256 sign
patterns are worked out here, not listed.

A face whose inside corners lie diagonally has two segments that can be laid in two ways. The standard way keeps the
inside corners apart: where it is wrong it leaves crumbs, which are easier to remove than handles. If the two segments
lie on one loop in both cubes at the face, four quads would meet in one edge; such a face is laid the other way, which
makes two loops in either cube (Wenger 2013, "Isosurfaces", taken up by Shen et al. 2023, "FlexiCubes").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

CORNERS = tuple((c & 1, c >> 1 & 1, c >> 2 & 1) for c in range(8))
NO_FACE = -1


@dataclass(frozen=True, eq=False)
class CaseTables:
    """``loops[flip, pattern, edge]``: the loop that the edge is on, -1 if it is not crossed; ``counts``: loops of each.

    ``flip`` is 1 for a cube whose ``pinched`` face is laid the other way. ``pinched[pattern]`` is the face whose two
    segments lie on one loop, `NO_FACE` if there is none; no pattern has two. ``ends[edge]`` are an edge's corners.
    """

    loops: Int[Tensor, "2 256 12"]
    counts: Int[Tensor, "2 256"]
    pinched: Int[Tensor, "256"]
    ends: Int[Tensor, "12 2"]


@dataclass(frozen=True, eq=False)
class Topology:
    """``D`` loops, the ``M`` crossings on them, and ``Q`` quads of loops.

    ``cube`` is the cube of each loop; ``owner`` the loop of each crossing, ``crossing_cube`` and ``crossing_edge`` its
    cube and the edge within it.
    """

    cube: Int[Tensor, "D"]
    owner: Int[Tensor, "M"]
    crossing_cube: Int[Tensor, "M"]
    crossing_edge: Int[Tensor, "M"]
    quads: Int[Tensor, "Q 4"]


def topology_of(inside: Bool[Tensor, "X1 Y1 Z1"]) -> Topology:
    """Loops in the order of their cubes; quads by the axis of their edge, and along it in the order of vertices."""
    tables = case_tables(inside.device)
    patterns = _patterns(inside)
    pattern = patterns.reshape(-1)
    cube = torch.nonzero((pattern > 0) & (pattern < 255))[:, 0]
    flip = _flips(tables.pinched[patterns.long()]).reshape(-1)
    case = flip[cube].long(), pattern[cube].long()
    loops, counts = tables.loops[case], tables.counts[case]
    vertex = loops + (counts.cumsum(0) - counts)[:, None]
    row, edge = torch.nonzero(loops >= 0, as_tuple=True)
    row_of = torch.zeros_like(pattern, dtype=torch.long)
    row_of[cube] = torch.arange(len(cube), device=cube.device)
    quads = torch.cat([_quads(inside, axis, row_of, vertex) for axis in range(3)])
    return Topology(cube.repeat_interleave(counts), vertex[row, edge], cube[row], edge, quads)


def _patterns(inside: Bool[Tensor, "X1 Y1 Z1"]) -> UInt8[Tensor, "X Y Z"]:
    x, y, z = (n - 1 for n in inside.shape)
    bits = inside.byte()
    total = torch.zeros_like(bits[1:, 1:, 1:])
    for c, (i, j, k) in enumerate(CORNERS):
        total += bits[i : i + x, j : j + y, k : k + z] << c
    return total


def _flips(pinched: Int[Tensor, "X Y Z"]) -> Bool[Tensor, "X Y Z"]:
    """Cubes whose pinched face is their neighbour's as well."""
    flips = torch.zeros_like(pinched, dtype=torch.bool)
    for axis in range(3):
        n = pinched.shape[axis] - 1
        both = (pinched.narrow(axis, 0, n) == 2 * axis + 1) & (pinched.narrow(axis, 1, n) == 2 * axis)
        flips.narrow(axis, 0, n).logical_or_(both)
        flips.narrow(axis, 1, n).logical_or_(both)
    return flips


def _quads(
    inside: Bool[Tensor, "X1 Y1 Z1"], axis: int, row_of: Int[Tensor, "C"], vertex: Int[Tensor, "S 12"]
) -> Int[Tensor, "Q 4"]:
    """The loops around each crossed edge along ``axis``, counter-clockwise seen from outside; none at the border."""
    b, c = (axis + 1) % 3, (axis + 2) % 3
    cubes = [n - 1 for n in inside.shape]
    inner = inside.narrow(b, 1, cubes[b] - 1).narrow(c, 1, cubes[c] - 1)
    low, high = inner.narrow(axis, 0, cubes[axis]), inner.narrow(axis, 1, cubes[axis])
    at = torch.nonzero(low != high)  # one less than the edge's grid vertex in b and c: the cube at its far corner
    strides = (cubes[1] * cubes[2], cubes[2], 1)
    first = (at * torch.tensor(strides, device=at.device)).sum(1)
    around = [
        vertex[row_of[first + (1 - i) * strides[b] + (1 - j) * strides[c]], 4 * axis + i + 2 * j]
        for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    quads = torch.stack(around, 1)
    return torch.where(low[tuple(at.T)][:, None], quads, quads.flip(1))


@cache
def case_tables(device: torch.device) -> CaseTables:
    """The tables on ``device``, int64."""
    pinched = [_pinched_face(pattern) for pattern in range(256)]
    standard = [_loops(pattern) for pattern in range(256)]
    flipped = [_loops(pattern, face) for pattern, face in enumerate(pinched)]
    loops = torch.tensor([standard, flipped], device=device)
    ends = torch.tensor([_ends(edge) for edge in range(12)], device=device)
    return CaseTables(loops, loops.amax(-1) + 1, torch.tensor(pinched, device=device), ends)


def _corner(axis: int, along: int, second: int, third: int) -> int:
    return along << axis | second << (axis + 1) % 3 | third << (axis + 2) % 3


def _ends(edge: int) -> tuple[int, int]:
    axis, offset = divmod(edge, 4)
    return _corner(axis, 0, offset & 1, offset >> 1), _corner(axis, 1, offset & 1, offset >> 1)


_EDGE_OF = {frozenset(_ends(edge)): edge for edge in range(12)}


def _ring(face: int) -> list[int]:
    """The face's four corners, one after the other around it."""
    axis, side = divmod(face, 2)
    return [_corner(axis, side, second, third) for second, third in ((0, 0), (1, 0), (1, 1), (0, 1))]


def _segments(pattern: int, face: int, flip: bool = False) -> list[tuple[int, int]]:
    """Pairs of crossed edges that the surface joins on the face."""
    ring = _ring(face)
    inside = [pattern >> corner & 1 for corner in ring]
    edges = [_EDGE_OF[frozenset((ring[k], ring[(k + 1) % 4]))] for k in range(4)]
    crossed = [edges[k] for k in range(4) if inside[k] != inside[(k + 1) % 4]]
    if len(crossed) < 4:
        return [(crossed[0], crossed[1])] if crossed else []
    return [(edges[k - 1], edges[k]) for k in range(4) if inside[k] != flip]


def _loops(pattern: int, flipped_face: int = NO_FACE) -> list[int]:
    """The loop of each edge, numbered in the order of their first edges; -1 for edges that are not crossed."""
    segments = [pair for face in range(6) for pair in _segments(pattern, face, face == flipped_face)]
    lowest = {edge: edge for pair in segments for edge in pair}
    for _ in range(12):  # a loop has at most 12 edges, so that its lowest has gone all round
        for a, b in segments:
            lowest[a] = lowest[b] = min(lowest[a], lowest[b])
    number = {edge: k for k, edge in enumerate(sorted(set(lowest.values())))}
    return [number[lowest[edge]] if edge in lowest else -1 for edge in range(12)]


def _pinched_face(pattern: int) -> int:
    """The ambiguous face with both segments on one loop, `NO_FACE` if there is none."""
    loops = _loops(pattern)
    for face in range(6):
        segments = _segments(pattern, face)
        if len(segments) == 2 and loops[segments[0][0]] == loops[segments[1][0]]:
            return face
    return NO_FACE
