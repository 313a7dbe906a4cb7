"""One level of the volume's optimisation: distances, offsets and weights of a FlexiCubes grid, and the steps on them.

With V(s) the vertices that FlexiCubes (`flexicubes`) makes of the distances s, E the misfit of `shape` and L the mesh's
Laplacian, this minimises

    E(V)  +  1/2 stiff |L V|^2  +  1/2 sum_grid carve max(free - s, 0)^2

``free`` is what s must be at least: outside an outline, or before an observed depth. That term reaches every point that
a view proves free, where rendering sees but the nearest surface and the rims; it opens holes. A step of s solves
(A'A + D) ds = -gradient, A the grid's second differences and D a diagonal that bounds the Hessian of the data: the
pixels' weight on each vertex, spread to the grid as its gradient is. Offsets and weights of the grid follow by Adam.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.engines.nvdiffrec.flexicubes import Isosurface, developability_loss, extract, sign_change_loss
from meshwright.engines.nvdiffrec.observations import Observations
from meshwright.engines.nvdiffrec.shape import Misfit, ShapeProblem
from meshwright.engines.nvdiffrec.volume_grid import VolumeGrid
from meshwright.geometry.mesh import Mesh
from meshwright.surface.clean import uniform_laplacian

PIXELS = 3.0  # in a cube: images are rendered no finer
COARSE_SIGMA = 0.5  # cubes that depth is trusted to at the most
STIFF, STIFF_ALONE = 0.03, 3.0  # of the typical weight of a vertex: bending of the mesh; the same without depth
STEP_STIFF, STEP_STIFF_ALONE = 0.1, 1.0  # of the same: bending of a step on the grid
CARVE, HOLD = 3.0, 0.02  # of the same: a grid point's pull out of free space; what holds points without data
SLACK = 0.5  # cubes that a start may reach into free space
LONGEST = 1.0  # cubes that a step moves the surface at most
SOLVES = 30  # rounds of conjugate gradients
REACH = 0.45  # cubes that a grid vertex may move
RATE, BETAS = 0.03, (0.7, 0.9)  # Adam's, for offsets in units of `REACH` and for logarithms of weights
DEVELOP, SIGN, EVEN = 0.3, 0.02, 0.01  # regularisers, of the typical energy of a vertex that is a cube off


@dataclass(frozen=True, eq=False)
class Step:
    """The mesh that a step began with, its misfit, |L V|^2 / 2, and the typical weight of its vertices."""

    mesh: Mesh
    misfit: Misfit
    bent: float
    typical: float

    def total(self, weight: float) -> float:
        """Misfit, and bending with ``weight``."""
        total = self.misfit.data + weight * self.bent
        return total if np.isfinite(total) else np.inf


def stiffness(seen: Observations) -> float:
    """The weight of bending, of the typical weight of a vertex."""
    return STIFF if seen.has_depth else STIFF_ALONE


class Level:
    """A grid's distances (world units, float64, negative inside), offsets and weights."""

    def __init__(
        self, grid: VolumeGrid, seen: Observations, start: Mesh | None, bounds: Float[np.ndarray, "2 3"]
    ) -> None:
        self.grid, self.seen, self.free = grid, seen, grid.free(seen)
        size = np.ptp(bounds, axis=0)
        sdf = grid.sphere(bounds.mean(0), float(size.max()) / 2) if start is None else grid.distance(start)
        carved = torch.maximum(sdf, self.free - SLACK * grid.cube)
        self.sdf = self._closed(carved if bool((carved < 0).any()) else sdf)
        cubes = int(np.prod(grid.resolution))
        self.offset, self.alpha, self.beta = (
            torch.zeros(*shape, dtype=torch.float64, device=grid.device, requires_grad=True)
            for shape in ((len(sdf), 3), (cubes, 8), (cubes, 12))
        )
        self._adam = torch.optim.Adam([self.offset, self.alpha, self.beta], lr=RATE, betas=BETAS)

    def step(self) -> Step | None:
        """Move the surface once; gives what it was before, None if there is none."""
        sdf = self.sdf.clone().requires_grad_()
        surface = self._extract(sdf)
        if len(surface.faces) == 0:
            return None
        cube, mesh = self.grid.cube, self._mesh(surface)
        data, weight, misfit = ShapeProblem(mesh, self.seen).data_terms(mesh.vertices)
        typical = float(np.median(weight[weight > 0])) if (weight > 0).any() else 1.0
        laplacian = uniform_laplacian(mesh)
        bent = laplacian @ mesh.vertices
        force = data + stiffness(self.seen) * typical * (laplacian.T @ bent)
        outward = mesh.vertex_normals() * weight[:, None]
        (spread,) = torch.autograd.grad(-self._work(surface, outward), sdf, retain_graph=True)
        loss = self._work(surface, force) + typical * cube**2 * self._regularisers(surface, sdf)
        gradient, *rest = torch.autograd.grad(loss, (sdf, self.offset, self.alpha, self.beta))
        self._move(gradient, spread, typical)
        for tensor, grad in zip((self.offset, self.alpha, self.beta), rest, strict=True):
            tensor.grad = grad
        self._adam.step()
        return Step(mesh, misfit, 0.5 * float(np.square(bent).sum()), typical)

    def _move(self, gradient: Float[Tensor, "N"], spread: Float[Tensor, "N"], typical: float) -> None:
        short = torch.relu(self.free - self.sdf)
        carve = CARVE * typical * (short > 0)
        stiff = STEP_STIFF if self.seen.has_depth else STEP_STIFF_ALONE
        diagonal = spread.clamp(min=0) + carve + HOLD * typical
        move = self.grid.smooth_solve(carve * short - gradient, diagonal, stiff * typical, SOLVES)
        longest = LONGEST * self.grid.cube
        self.sdf = self._closed(self.sdf + move.clamp(-longest, longest))

    def _extract(self, sdf: Float[Tensor, "N"]) -> Isosurface:
        """The surface, in cubes from the grid's first corner."""
        grid = self.grid
        corners = (grid.points - torch.as_tensor(grid.low, device=grid.device)) / grid.cube
        gamma = torch.ones(len(self.alpha), dtype=sdf.dtype, device=grid.device)
        places = corners + REACH * torch.tanh(self.offset)
        return extract(
            sdf / grid.cube, places, grid.resolution, self.alpha.exp(), self.beta.exp(), gamma, centred=False
        )

    def _mesh(self, surface: Isosurface) -> Mesh:
        vertices = self.grid.low + self.grid.cube * surface.vertices.detach().cpu().numpy()
        return Mesh(vertices, surface.faces.cpu().numpy().astype(np.int32))

    def _work(self, surface: Isosurface, force: Float[np.ndarray, "V 3"]) -> Tensor:
        """What a force on the vertices makes of their places: its gradient is the force's."""
        return (surface.vertices * torch.as_tensor(force, device=self.grid.device)).sum() * self.grid.cube

    def _regularisers(self, surface: Isosurface, sdf: Float[Tensor, "N"]) -> Tensor:
        """Those of FlexiCubes, summed over vertices, and weights that are to stay near 1."""
        of_surface = DEVELOP * developability_loss(surface)
        of_signs = SIGN * sign_change_loss(sdf / self.grid.cube, self.grid.resolution)
        uneven = self.alpha.square().sum() + self.beta.square().sum()
        return len(surface.vertices) * (of_surface + of_signs) + EVEN * uneven

    def _closed(self, sdf: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """The field with its border outside."""
        field = sdf.reshape([n + 1 for n in self.grid.resolution]).clone()
        for axis in range(3):
            for side in (0, -1):
                field.select(axis, side).clamp_(min=0.5 * self.grid.cube)
        return field.reshape(-1)


def coarsened(seen: Observations, cube: float) -> Observations:
    """The observations with pixels as large as suit cubes of this edge, and depth trusted to what those can show."""
    cameras = seen.cameras
    by = max(1, int(cube / (PIXELS * _pixel_size(seen))))
    while cameras.height % by or cameras.width % by:
        by -= 1
    seen = replace(seen, sigma=seen.sigma.clamp(min=COARSE_SIGMA * cube))
    if by == 1:
        return seen
    K = cameras.K.clone()
    K[:, :2] /= by
    known = _means(seen.trust, by)
    return replace(
        seen,
        cameras=replace(cameras, K=K, height=cameras.height // by, width=cameras.width // by),
        masks=_means(seen.masks, by),
        depth=_means(seen.depth * seen.trust, by) / known.clamp(min=1e-6),
        trust=torch.where(known > 0.5, known, 0.0),
    )


def _pixel_size(seen: Observations) -> float:
    """World units, about where all cameras look: at the point nearest to all their axes."""
    pixel = 1 / float(seen.cameras.K[:, 0, 0].mean())
    if not seen.cameras.perspective:
        return pixel
    c2w = torch.linalg.inv(seen.cameras.w2c)
    centres, axes = c2w[:, :3, 3], c2w[:, :3, 2]
    across = torch.eye(3, dtype=axes.dtype, device=axes.device) - axes[:, :, None] * axes[:, None]
    beside = across.sum(0) + 1e-6 * torch.eye(3, dtype=axes.dtype, device=axes.device)
    middle = torch.linalg.solve(beside, (across @ centres[..., None]).sum(0)[:, 0])
    return pixel * float(torch.linalg.vector_norm(centres - middle, dim=1).mean())


def _means(images: Float[Tensor, "n h w"], by: int) -> Float[Tensor, "n i j"]:
    return torch.nn.functional.avg_pool2d(images[:, None], by)[:, 0]
