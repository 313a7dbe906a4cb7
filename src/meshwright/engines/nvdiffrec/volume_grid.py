"""A grid of cubes in the world: its distances to a mesh, what the views prove free of it, and smooth fields on it.

Fields are flat with z running fastest, as `flexicubes` has them, in world units, negative inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.engines.nvdiffrec.flexicubes import Resolution, grid_positions
from meshwright.engines.nvdiffrec.observations import Observations
from meshwright.geometry.mesh import Mesh
from meshwright.rendering.threads import kernel
from meshwright.surface.evidence import silhouette_distance

BORDER = 3  # cubes kept around the bounds
BAND = 4.0  # cubes: distances are cut here
STEEP = 0.5  # of the way to an observed depth: how far from the surface a point before it is at least taken to be
AHEAD = 1.0  # cubes that this is at the most: another surface may pass nearer by
DOUBT = 3.0  # sigmas before an observed depth that are not taken to be free
SAMPLES = 0.7  # cubes between the samples that distances to a mesh are measured to
OFF_GRID = np.array([0.0137, 0.0271])  # cubes: columns that sides are told along pass edges of no mesh made on the grid


@dataclass(frozen=True, eq=False)
class VolumeGrid:
    """``resolution`` cubes of edge ``cube`` along x, y and z, the first corner at ``low``."""

    low: Float[np.ndarray, "3"]
    cube: float
    resolution: Resolution
    device: torch.device

    @staticmethod
    def around(bounds: Float[np.ndarray, "2 3"], cubes: int, device: torch.device) -> VolumeGrid:
        """A grid of ``cubes`` along the longest side of the bounds, and a border."""
        size = bounds[1] - bounds[0]
        cube = float(size.max()) / cubes
        count = np.ceil(size / cube - 1e-9).astype(int) + 2 * BORDER
        low = bounds.mean(0) - cube * count / 2
        return VolumeGrid(low, cube, (int(count[0]), int(count[1]), int(count[2])), device)

    @cached_property
    def points(self) -> Float[Tensor, "N 3"]:
        """World positions of the grid's vertices, float64."""
        half = torch.tensor(self.resolution, dtype=torch.float64, device=self.device) / 2
        low = torch.as_tensor(self.low, dtype=torch.float64, device=self.device)
        return low + self.cube * (grid_positions(self.resolution, torch.float64, self.device) + half)

    def sphere(self, centre: Float[np.ndarray, "3"], radius: float) -> Float[Tensor, "N"]:
        """Distances to a sphere, cut at the band."""
        away = torch.linalg.vector_norm(self.points - torch.as_tensor(centre, device=self.device), dim=1)
        return self._cut(away - radius)

    def distance(self, mesh: Mesh) -> Float[Tensor, "N"]:
        """Signed distances to a closed mesh, cut at the band: good to a quarter of a cube beyond a cube from it."""
        from scipy.spatial import KDTree

        points, normals = _samples(mesh, SAMPLES * self.cube)
        at = self.points.cpu().numpy()
        gap, nearest = KDTree(points).query(at, distance_upper_bound=BAND * self.cube, workers=-1)
        known = np.isfinite(gap)
        nearest = np.where(known, nearest, 0)
        off = at - points[nearest]
        across = np.abs((off * normals[nearest]).sum(1))
        along = np.sqrt(np.maximum(gap**2 - across**2, 0), where=known, out=np.zeros(len(at)))
        size = np.where(along < SAMPLES * self.cube, across, gap)  # to the sample's face where that is what is near
        size = np.where(known, size, BAND * self.cube)
        return self._cut(torch.as_tensor(np.where(self._inside(mesh), -size, size), device=self.device))

    def free(self, seen: Observations) -> Float[Tensor, "N"]:
        """What the distance to any surface that the views allow is at least: outside outlines, and before depth.

        Negative where no view proves a point free. A point before an observed depth is taken to be `STEEP` times that
        way from the surface, at the most `AHEAD` cubes: a bound that may be too high there, but not in its sign.
        """
        cut = BAND * self.cube
        bound = torch.full((len(self.points),), -cut, dtype=torch.float64, device=self.device)
        for k in range(len(seen.masks)):
            x, y, z = seen.cameras.project(self.points)[k].unbind(-1)
            before = z > 1e-6 * cut if seen.cameras.perspective else torch.ones_like(z, dtype=torch.bool)
            scale = torch.where(before, z, 1.0) if seen.cameras.perspective else torch.ones_like(z)
            u, v, pixel = x / scale, y / scale, scale / seen.cameras.K[k, 0, 0]
            outline = silhouette_distance(seen.masks[k].cpu().numpy() > 0.5)
            rim = -_sampled(torch.as_tensor(outline, dtype=torch.float64, device=self.device), u, v) * pixel
            trusted = _nearest(seen.trust[k], u, v) > 0
            nearest = _nearest((seen.depth - seen.half_step - DOUBT * seen.sigma)[k], u, v)
            front = torch.where(trusted, (STEEP * (nearest - z)).clamp(max=AHEAD * self.cube), -cut)
            proven = torch.where(before, torch.maximum(rim, front), -cut)
            bound = torch.maximum(bound, proven.clamp(-cut, cut))
        return bound

    @cached_property
    def _waves(self) -> list[tuple[Tensor, Tensor]]:
        """For each axis the cosine basis (rows are waves) and the eigenvalues of its second difference."""
        found = []
        for n in self.resolution:
            k = torch.arange(n + 1, dtype=torch.float64, device=self.device)
            basis = torch.cos(torch.pi * k[:, None] * (k[None] + 0.5) / (n + 1)) * (2 / (n + 1)) ** 0.5
            basis[0] *= 0.5**0.5
            found.append((basis, 2 - 2 * torch.cos(torch.pi * k / (n + 1))))
        return found

    @cached_property
    def _bending(self) -> Float[Tensor, "a b c"]:
        x, y, z = (values for _, values in self._waves)
        return (x[:, None, None] + y[:, None] + z).square()

    def bent(self, field: Float[Tensor, "N"], weight: float = 1.0, offset: float = 0.0) -> Float[Tensor, "N"]:
        """(weight L'L + offset) times a field, L the second differences with a free border."""
        return self._filtered(field, weight * self._bending + offset)

    def smooth_solve(
        self, right: Float[Tensor, "N"], diagonal: Float[Tensor, "N"], weight: float, rounds: int
    ) -> Float[Tensor, "N"]:
        """(weight L'L + diagonal)^-1 right by conjugate gradients, preconditioned with a constant diagonal."""
        typical = float(diagonal.mean())
        inverse = 1 / (weight * self._bending + typical)

        def apply(x: Tensor) -> Tensor:
            return self.bent(x, weight) + diagonal * x

        return conjugate_gradients(apply, right, lambda x: self._filtered(x, inverse), rounds)

    def _filtered(self, field: Tensor, gain: Tensor) -> Tensor:
        values = field.reshape([n + 1 for n in self.resolution])
        for axis, (basis, _) in enumerate(self._waves):
            values = (values.movedim(axis, -1) @ basis.T).movedim(-1, axis)
        values = values * gain
        for axis, (basis, _) in enumerate(self._waves):
            values = (values.movedim(axis, -1) @ basis).movedim(-1, axis)
        return values.reshape(-1)

    def _cut(self, field: Tensor) -> Tensor:
        return field.clamp(-BAND * self.cube, BAND * self.cube)

    def _inside(self, mesh: Mesh) -> np.ndarray:
        x, y, z = (n + 1 for n in self.resolution)
        places = (mesh.vertices - self.low) / self.cube
        places[:, :2] += OFF_GRID
        crossings = np.zeros((x, y, z + 1), np.int32)
        count_crossings(places, np.ascontiguousarray(mesh.faces, np.int32), crossings)
        return (np.cumsum(crossings[..., :z], -1) % 2 == 1).reshape(-1)


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor], right: Tensor, precondition: Callable[[Tensor], Tensor], rounds: int
) -> Tensor:
    """The solution of a symmetric positive system, or what ``rounds`` make of it; residual 1e-3."""
    x, residual = torch.zeros_like(right), right
    direction = z = precondition(residual)
    power, enough = residual @ z, 1e-6 * float(right @ right)
    for _ in range(rounds):
        if float(residual @ residual) <= enough:
            break
        image = apply(direction)
        step = power / (direction @ image)
        x, residual = x + step * direction, residual - step * image
        z = precondition(residual)
        power, before = residual @ z, power
        direction = z + (power / before) * direction
    return x


def _samples(mesh: Mesh, apart: float) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points on the faces at most ``apart`` from each other along edges, and the normals of their faces."""
    corners, normals = mesh.vertices[mesh.faces], mesh.face_normals()
    longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    parts = np.maximum(np.ceil(longest / apart).astype(int), 1)
    points, facing = [], []
    for n in np.unique(parts):
        i, j = (grid.reshape(-1) for grid in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
        i, j = (index[i + j < n] + 1 / 3 for index in (i, j))
        weights = np.stack([n - i - j, i, j], 1) / n
        of = parts == n
        points.append(np.einsum("sk,fkc->fsc", weights, corners[of]).reshape(-1, 3))
        facing.append(np.repeat(normals[of], len(weights), 0))
    return np.concatenate(points), np.concatenate(facing)


@kernel()
def count_crossings(places, faces, crossings):
    """Add to ``crossings`` (x, y, z) a 1 at the first sample above each crossing of a column with a face.

    ``places`` are vertices in units of samples.
    """
    width, height, deep = crossings.shape
    for f in range(len(faces)):
        a, b, c = places[faces[f, 0]], places[faces[f, 1]], places[faces[f, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if area == 0:
            continue
        for i in range(
            max(int(np.ceil(min(a[0], b[0], c[0]))), 0), min(int(np.floor(max(a[0], b[0], c[0]))), width - 1) + 1
        ):
            for j in range(
                max(int(np.ceil(min(a[1], b[1], c[1]))), 0), min(int(np.floor(max(a[1], b[1], c[1]))), height - 1) + 1
            ):
                wb = ((i - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (j - a[1])) / area
                wc = ((b[0] - a[0]) * (j - a[1]) - (i - a[0]) * (b[1] - a[1])) / area
                if wb >= 0 and wc >= 0 and wb + wc <= 1:
                    z = a[2] + wb * (b[2] - a[2]) + wc * (c[2] - a[2])
                    k = min(max(int(np.ceil(z)), 0), deep - 1)
                    crossings[i, j, k] += 1


def _sampled(image: Float[Tensor, "h w"], u: Float[Tensor, "N"], v: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Bilinear, the image's rim going on beyond it."""
    height, width = image.shape
    u, v = (u - 0.5).clamp(0, width - 1), (v - 0.5).clamp(0, height - 1)
    i, j = v.floor().clamp(max=max(height - 2, 0)), u.floor().clamp(max=max(width - 2, 0))
    di, dj, i, j = v - i, u - j, i.long(), j.long()
    below, right = (i + 1).clamp(max=height - 1), (j + 1).clamp(max=width - 1)
    upper = torch.lerp(image[i, j], image[i, right], dj)
    return torch.lerp(upper, torch.lerp(image[below, j], image[below, right], dj), di)


def _nearest(image: Float[Tensor, "h w"], u: Float[Tensor, "N"], v: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """The pixel at each place, 0 outside the image."""
    height, width = image.shape
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    i, j = (at.clamp(0, n - 1).long() for at, n in ((v, height), (u, width)))
    return torch.where(inside, image[i, j].double(), 0.0)
