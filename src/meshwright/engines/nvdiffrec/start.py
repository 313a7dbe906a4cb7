"""What the shape starts from: fusion's surface, a FlexiCubes surface made of it, or one made of a sphere."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool
from scipy.spatial import KDTree

from meshwright.engines.nvdiffrec.observations import Observations, observe
from meshwright.engines.nvdiffrec.remesh import least_angles, remeshed
from meshwright.engines.nvdiffrec.volume import VolumeOptions, shape_from_volume
from meshwright.geometry.mesh import Mesh
from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface
from meshwright.surface.simplify import simplify

if TYPE_CHECKING:
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.engines.nvdiffrec.options import NvdiffrecOptions
    from meshwright.progress import Context

FINE_PX = 192  # images below this say nothing about cubes of a sixty-fourth
SLIVER_DEG, MANY_SLIVERS = 2.0, 0.05  # least angle, and the share of such faces above which triangles are mended


@dataclass(frozen=True, eq=False)
class Start:
    """A closed mesh; ``invented`` marks vertices that no view saw, ``fine`` is what it was simplified from.

    ``capture`` has the depths on which the views agree. ``settled`` says that moving vertices gains nothing more:
    outlines alone are explained best by their hull.
    """

    mesh: Mesh
    invented: Bool[np.ndarray, "n"]
    fine: Mesh
    capture: CalibratedCapture
    seen: Observations
    settled: bool = False
    notes: tuple[str, ...] = field(default=())


def make_start(
    capture: CalibratedCapture, options: NvdiffrecOptions, device: str, deadline: float, context: Context
) -> Start:
    """Fusion's surface, and from outlines alone (or where asked) a surface of any topology on a grid.

    Raises `EngineError` when the views agree on no surface, `Cancelled` on request.
    """
    wanted = options.start
    with context.stage("start", 0.0, 1.0 if wanted == "surface" else 0.5):
        surface = reconstruct_surface(
            capture, SurfaceOptions(faces=options.faces, resolution=options.resolution), context
        )
    factors = surface.depth_factors
    views = tuple(view.rescaled(factors.get(view.name, 1.0)) for view in capture.views)
    capture = replace(capture, views=views)
    seen = observe(capture, options.size, device)
    fused = Start(_mended(surface.mesh), surface.invented, surface.fine, capture, seen)
    if fused.mesh is not surface.mesh:
        fused = replace(fused, invented=_carried(surface.mesh, surface.invented, fused.mesh))
    if wanted == "surface" or (wanted == "auto" and seen.has_depth):
        return fused
    with context.stage("volume", 0.5, 1.0):
        given = None if wanted == "sphere" else fused.mesh
        grids = VolumeOptions() if max(seen.masks.shape[1:]) >= FINE_PX else VolumeOptions((32,), (24,))
        fine = shape_from_volume(given, seen, capture.bounds, grids, context, deadline)
    if fine is given:
        return replace(fused, settled=not seen.has_depth, notes=("No surface on a grid explains the views better.",))
    mesh = remeshed(simplify(fine, options.faces))
    invented = _carried(surface.mesh, surface.invented, mesh)
    return Start(mesh, invented, fine, capture, seen, not seen.has_depth, (_note(given, mesh),))


def _note(given: Mesh | None, mesh: Mesh) -> str:
    source = "a sphere" if given is None else "the visual hull or the fused surface"
    return f"The shape was made on a grid, from {source}: Euler characteristic {_euler(mesh)}."


def _euler(mesh: Mesh) -> int:
    return len(mesh.vertices) - len(mesh.faces) // 2


def _mended(mesh: Mesh) -> Mesh:
    """The mesh, with better triangles where many are slivers."""
    if len(mesh.faces) == 0 or (least_angles(mesh) < SLIVER_DEG).mean() < MANY_SLIVERS:
        return mesh
    return remeshed(mesh)


def _carried(source: Mesh, marks: Bool[np.ndarray, "n"], target: Mesh) -> Bool[np.ndarray, "m"]:
    """Marks of vertices, as those nearest to them have it."""
    return marks[KDTree(source.vertices).query(target.vertices)[1]]
