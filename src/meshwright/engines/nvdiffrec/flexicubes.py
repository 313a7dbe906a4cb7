"""A closed mesh from signed distances on a grid, differentiable, with weights that let it fit edges and corners.

FlexiCubes (Shen et al. 2023, "Flexible Isosurface Extraction for Gradient-Based Mesh Optimization") are dual marching
cubes with weights. Each cube places the crossings u of its own edges, with a weight alpha for each end, and each loop
of crossings has one vertex, their average with weights beta:

    u = (s_i alpha_i x_j - s_j alpha_j x_i) / (s_i alpha_i - s_j alpha_j)        v = sum(beta u) / sum(beta)

Four vertices around a crossed grid edge make a quad, which four triangles fill; where they meet, gamma decides which
diagonal counts:

    c = (g1 g3 (v1 + v3) / 2 + g2 g4 (v2 + v4) / 2) / (g1 g3 + g2 g4)

A grid of X x Y x Z cubes has (X + 1)(Y + 1)(Z + 1) vertices; both are numbered with z running fastest. Corners and
edges within a cube are numbered as in `flexicubes_cases`. The sdf is negative inside, and 0 counts as outside; faces
are counter-clockwise seen from outside. The mesh is closed and manifold if no vertex on the grid's border is inside.
All weights must be positive: then the vertex of a loop stays within its cube. With all 1 the mesh is that of dual
marching cubes. Faces may still cut each other where the surface is thinner than a cube.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.engines.nvdiffrec.flexicubes_cases import Topology, case_tables, topology_of
from meshwright.errors import InputError

Resolution = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Isosurface:
    """The mesh and what its vertices were averaged from.

    ``vertices`` begin with one for each loop of crossings; ``crossings`` (M, 3), in the units of the positions, and
    ``owner`` (M,), the vertex that each crossing belongs to, an edge having one crossing for each cube that it borders.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    crossings: Float[Tensor, "M 3"]
    owner: Int[Tensor, "M"]


def extract(
    sdf: Float[Tensor, "N"],
    positions: Float[Tensor, "N 3"],
    resolution: Resolution,
    alpha: Float[Tensor, "C 8"],
    beta: Float[Tensor, "C 12"],
    gamma: Float[Tensor, "C"],
    *,
    centred: bool = True,
) -> Isosurface:
    """The zero surface of ``sdf``, given at ``positions``, on a grid of ``resolution`` cubes along x, y and z.

    Differentiable in all five tensors, and repeatable to the bit. ``centred`` False splits each quad in two along the
    diagonal with the greater product of gammas: half the triangles, no gradient to gamma. Raises `InputError` where
    shapes do not fit the resolution.
    """
    _check(sdf, positions, resolution, alpha, beta, gamma)
    with torch.no_grad():
        shape = topology_of(_on_grid(sdf, resolution) < 0)
    crossings = _crossings(sdf, positions, resolution, alpha, shape)
    weight = beta[shape.crossing_cube, shape.crossing_edge][:, None]  # each is taken once
    total = _segment_sum(torch.cat([weight * crossings, weight], 1), shape.owner, len(shape.cube))
    vertices = total[:, :3] / total[:, 3:]
    if centred:
        vertices, faces = _fan(vertices, _gather(gamma[:, None], shape.cube), shape.quads)
    else:
        faces = _halves(gamma.detach()[shape.cube], shape.quads)
    return Isosurface(vertices, faces, crossings, shape.owner)


def grid_positions(
    resolution: Resolution, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Float[Tensor, "N 3"]:
    """The grid's vertices where cubes have unit edges and the grid's centre is the origin."""
    axes = [torch.arange(n + 1, dtype=dtype, device=device) - n / 2 for n in resolution]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def unit_weights(
    resolution: Resolution, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "C 8"], Float[Tensor, "C 12"], Float[Tensor, "C"]]:
    """Alpha, beta and gamma that are all 1."""
    cubes = resolution[0] * resolution[1] * resolution[2]
    alpha, beta, gamma = (torch.ones(cubes, n, dtype=dtype, device=device) for n in (8, 12, 1))
    return alpha, beta, gamma[:, 0]


def developability_loss(surface: Isosurface) -> Float[Tensor, ""]:
    """By how much the distances from a vertex to its crossings differ: their mean absolute deviation, a length.

    L_dev of the paper, as the mean over vertices and not their sum, so that its weight does not depend on the
    resolution. It keeps weights near those of a regular mesh where nothing else holds them.
    """
    owner = surface.owner
    if len(owner) == 0:
        return surface.vertices.sum()
    count = int(owner.max()) + 1
    sizes = torch.bincount(owner, minlength=count)[:, None]
    distance = torch.linalg.vector_norm(_gather(surface.vertices, owner) - surface.crossings, dim=1, keepdim=True)
    mean = _segment_sum(distance, owner, count) / sizes
    return (_segment_sum((distance - _gather(mean, owner)).abs(), owner, count) / sizes).mean()


def sign_change_loss(sdf: Float[Tensor, "N"], resolution: Resolution) -> Float[Tensor, ""]:
    """How firmly neighbouring vertices differ in sign: against surfaces that no data asks for.

    For each grid edge that changes sign, the cross entropy H(sigmoid(s_i), side of s_j) + H(sigmoid(s_j), side of s_i),
    averaged over such edges (the paper's L_sign); ``sdf`` counts as a logit. 0 if there is no such edge.
    """
    grid = _on_grid(sdf, resolution)
    ends = [(grid.narrow(a, 0, n), grid.narrow(a, 1, n)) for a, n in enumerate(resolution)]
    change = [(low < 0) != (high < 0) for low, high in ends]
    low = torch.cat([low[at] for (low, _), at in zip(ends, change, strict=True)])
    high = torch.cat([high[at] for (_, high), at in zip(ends, change, strict=True)])
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    both = entropy(low, (high >= 0).to(low), reduction="sum") + entropy(high, (low >= 0).to(low), reduction="sum")
    return both / max(len(low), 1)


def _check(sdf: Tensor, positions: Tensor, resolution: Resolution, alpha: Tensor, beta: Tensor, gamma: Tensor) -> None:
    x, y, z = resolution
    points, cubes = (x + 1) * (y + 1) * (z + 1), x * y * z
    expected = [(points,), (points, 3), (cubes, 8), (cubes, 12), (cubes,)]
    found = [tuple(tensor.shape) for tensor in (sdf, positions, alpha, beta, gamma)]
    if min(resolution) < 1 or found != expected:
        raise InputError(
            f"A grid of {x} x {y} x {z} cubes needs tensors of the shapes {expected}, not {found}.",
            suggestion="Pass sdf, positions, alpha, beta and gamma of one grid, flattened with z running fastest.",
            reason="grid_mismatch",
        )


def _on_grid(values: Tensor, resolution: Resolution) -> Tensor:
    return values.reshape([n + 1 for n in resolution])


def _crossings(
    sdf: Tensor, positions: Tensor, resolution: Resolution, alpha: Tensor, shape: Topology
) -> Float[Tensor, "M 3"]:
    corner = case_tables(sdf.device).ends[shape.crossing_edge].T  # (2, M)
    point = _corner_points(shape.crossing_cube, corner, resolution)
    known = _gather(torch.cat([sdf[:, None], positions], 1), point)  # (2, M, 4)
    weighted = known[..., :1] * _gather(alpha.reshape(-1, 1), shape.crossing_cube * 8 + corner)
    span = weighted[0] - weighted[1]
    along = weighted[0] / torch.where(span == 0, 1, span)  # 0 if both ends have underflowed
    return torch.lerp(known[0, :, 1:], known[1, :, 1:], along)


def _corner_points(cube: Int[Tensor, "M"], corner: Int[Tensor, "2 M"], resolution: Resolution) -> Int[Tensor, "2 M"]:
    """The grid vertices at the cubes' corners."""
    _, y, z = resolution
    i, j, k = cube // (y * z), cube // z % y, cube % z
    return ((i + (corner & 1)) * (y + 1) + j + (corner >> 1 & 1)) * (z + 1) + k + (corner >> 2)


def _fan(
    vertices: Float[Tensor, "D 3"], gamma: Float[Tensor, "D 1"], quads: Int[Tensor, "Q 4"]
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Each quad as four triangles around a vertex of its own."""
    v, g = _gather(torch.cat([vertices, gamma], 1), quads).split([3, 1], -1)
    one, other = g[:, 0] * g[:, 2], g[:, 1] * g[:, 3]
    centres = (one * (v[:, 0] + v[:, 2]) + other * (v[:, 1] + v[:, 3])) / (2 * (one + other))
    centre = torch.arange(len(quads), device=quads.device)[:, None].expand(-1, 4) + len(vertices)
    return torch.cat([vertices, centres]), torch.stack([quads, quads.roll(-1, 1), centre], -1).reshape(-1, 3)


def _halves(gamma: Float[Tensor, "D"], quads: Int[Tensor, "Q 4"]) -> Int[Tensor, "F 3"]:
    """Each quad as two triangles."""
    g = gamma[quads]
    turned = torch.where((g[:, 0] * g[:, 2] >= g[:, 1] * g[:, 3])[:, None], quads, quads.roll(-1, 1))
    return turned[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


# Rows taken and summed in a fixed order: torch's own gradient of indexing adds with atomics, in any order.


def _gather(table: Float[Tensor, "n k"], index: Int[Tensor, "*m"]) -> Float[Tensor, "*m k"]:
    return _Gather.apply(table, index)  # pyright: ignore[reportReturnType]


def _segment_sum(values: Float[Tensor, "m k"], index: Int[Tensor, "m"], count: int) -> Float[Tensor, "n k"]:
    """The sum of the rows of each index below ``count``."""
    return _SegmentSum.apply(values, index, count)  # pyright: ignore[reportReturnType]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.count = len(table)
        return table[index]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (index,) = ctx.saved_tensors
        return _segment_sum(grad.reshape(-1, grad.shape[-1]), index.reshape(-1), ctx.count), None


class _SegmentSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(index)
        ordered, order = index.sort(stable=True)
        present, lengths = torch.unique_consecutive(ordered, return_counts=True)  # few of the grid's many rows
        sums = torch.segment_reduce(values[order], "sum", lengths=lengths, unsafe=True)
        return values.new_zeros(count, values.shape[1]).index_put_((present,), sums)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (index,) = ctx.saved_tensors
        return _gather(grad, index), None, None
