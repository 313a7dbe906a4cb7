"""A surface of any topology from outlines and depth: FlexiCubes grids, optimised by rendering, coarse to fine.

Where `shape` moves the vertices of a mesh, this moves distances on a grid (`volume_level`), so that parts may join and
holes may open. Each level starts from distances to the mesh of the one before, the first from a sphere or from a mesh
that is there already.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from meshwright.engines.nvdiffrec.observations import Observations
from meshwright.engines.nvdiffrec.one_thread import one_thread
from meshwright.engines.nvdiffrec.shape import Misfit, ShapeProblem
from meshwright.engines.nvdiffrec.volume_grid import VolumeGrid
from meshwright.engines.nvdiffrec.volume_level import Level, Step, coarsened, stiffness
from meshwright.geometry.mesh import Mesh
from meshwright.surface.clean import drop_pieces, make_manifold
from meshwright.surface.extract import outward

if TYPE_CHECKING:
    from meshwright.progress import Context

LOST_IOU = 0.01  # of mask overlap that a lower misfit may not cost


@dataclass(frozen=True)
class VolumeOptions:
    """``cubes`` along the longest side, and ``rounds``, of each level. The defaults take 10 s on one core."""

    cubes: tuple[int, ...] = (32, 64)
    rounds: tuple[int, ...] = (24, 16)


def shape_from_volume(
    start: Mesh | None,
    seen: Observations,
    bounds: Float[np.ndarray, "2 3"],
    options: VolumeOptions,
    context: Context,
    deadline: float = float("inf"),
) -> Mesh:
    """A closed manifold mesh, wound outwards, that explains the views.

    ``start`` is a closed mesh, or None for a sphere; ``bounds`` hold the object. Never empty. A result that loses mask
    overlap to the start, or to an earlier level, is not taken; nor is, where there is depth, one that explains the
    views worse (outlines alone are explained best by the hull, whose ridges and bulges this takes away). At
    ``deadline`` (`time.monotonic`) the best so far is taken, after one step at least if there is no start. Raises
    `Cancelled` between steps.
    """
    bounds, total, done = np.asarray(bounds, float), sum(options.rounds), 0
    best, mesh = _Best(seen), start
    if start is not None:
        best.offer(start)
    with one_thread():
        for cubes, rounds in zip(options.cubes, options.rounds, strict=True):
            if best.mesh is not None and time.monotonic() > deadline:
                break
            context.report(done / total, f"grid of {cubes} cubes")
            grid = VolumeGrid.around(bounds, cubes, seen.masks.device)
            level = Level(grid, coarsened(seen, grid.cube), mesh, bounds)
            found = _rounds(level, rounds, context, (done / total, rounds / total), deadline)
            if found is not None:
                mesh = _cleaned(found)
                best.offer(mesh)
            done += rounds
    assert best.mesh is not None, "the first step from a sphere has a surface"
    return best.mesh


def _rounds(level: Level, rounds: int, context: Context, span: tuple[float, float], deadline: float) -> Mesh | None:
    """The best of the meshes that ``rounds`` steps begin with: the least of what is minimised, the overlap kept."""
    best: Step | None = None
    peak = 0.0
    for k in range(rounds + 1):
        message = f"grid of {max(level.grid.resolution)} cubes, round {k} of {rounds}"
        if best is not None:
            message += f", misfit {best.misfit.data:.0f}, mask IoU {best.misfit.mask_iou:.4f}"
        context.report(span[0] + span[1] * k / (rounds + 1), message)
        step = level.step()
        if step is None:
            break
        peak, weight = max(peak, step.misfit.mask_iou), stiffness(level.seen) * step.typical
        kept = best is not None and best.misfit.mask_iou >= peak - LOST_IOU
        if step.misfit.mask_iou >= peak - LOST_IOU and not (
            best is not None and kept and best.total(weight) <= step.total(weight)
        ):
            best = step
        if time.monotonic() > deadline:
            break
    return None if best is None else best.mesh


@dataclass
class _Best:
    """The best of the meshes offered so far, judged at full size."""

    seen: Observations
    mesh: Mesh | None = None
    misfit: Misfit | None = None

    def offer(self, mesh: Mesh) -> None:
        misfit = ShapeProblem(mesh, self.seen).data_terms(mesh.vertices)[2]
        if self.misfit is None or (self._keeps_overlap(misfit) and self._explains(misfit)):
            self.mesh, self.misfit = mesh, misfit

    def _keeps_overlap(self, misfit: Misfit) -> bool:
        return self.misfit is not None and misfit.mask_iou >= self.misfit.mask_iou - LOST_IOU

    def _explains(self, misfit: Misfit) -> bool:
        assert self.misfit is not None
        return not self.seen.has_depth or misfit.data < self.misfit.data


def _cleaned(mesh: Mesh) -> Mesh:
    return drop_pieces(make_manifold(outward(mesh)), np.ones(len(mesh.vertices), bool))
