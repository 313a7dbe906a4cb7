"""From calibrated views to a watertight surface: dequantise, fuse, extract, close, clean, simplify."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.errors import EngineError
from meshwright.geometry.mesh import Mesh
from meshwright.progress import Context
from meshwright.surface.align import rescaled, scale_factors
from meshwright.surface.clean import drop_pieces
from meshwright.surface.close import find_invented, smooth_invented
from meshwright.surface.evidence import ViewEvidence, gather
from meshwright.surface.extract import extract, refine
from meshwright.surface.fuse import WORKERS, FreeSpace, fuse, make_grid
from meshwright.surface.simplify import simplify


@dataclass(frozen=True)
class SurfaceOptions:
    """``resolution``: voxels along the longest side. ``faces``: upper bound of the result's faces.

    ``align``: let overlapping depth maps settle the last tenths of a percent of their scales (see align.py).
    """

    resolution: int = 256
    faces: int = 30_000
    align: bool = True


@dataclass(frozen=True, eq=False)
class Surface:
    """A watertight, manifold mesh with outward winding; ``invented`` marks vertices that no view saw.

    ``depth_factors`` by view name are what the depths were multiplied by, so that they agree (align.py). ``fine`` is
    the surface before it was simplified.
    """

    mesh: Mesh
    invented: Bool[np.ndarray, "n"]
    fine: Mesh
    depth_factors: dict[str, float] = field(default_factory=dict)


def reconstruct_surface(
    capture: CalibratedCapture, options: SurfaceOptions | None = None, context: Context | None = None
) -> Surface:
    """Fuse all views of a capture into one closed surface.

    Works from depth and silhouettes, or from silhouettes alone (visual hull). Raises `EngineError` when no view shows
    anything or nothing is left after carving, `Cancelled` on request.
    """
    options, context = options or SurfaceOptions(), context or Context()
    with context.stage("depth", 0.0, 0.25):
        seen = _gather_all(capture, context)
        factors = scale_factors(list(seen.values()), capture.diagonal) if options.align else np.ones(len(seen))
        views = [rescaled(view, factor) for view, factor in zip(seen.values(), factors, strict=True)]
    space = FreeSpace(views, voxel=0.0)
    grid = make_grid(*object_bounds(capture, views), options.resolution)
    space.voxel = grid.voxel
    with context.stage("fuse", 0.25, 0.6):
        field = fuse(space, grid, context)
    with context.stage("extract", 0.6, 0.8):
        fine = extract(field)
        del field
        context.report(0.4, "refining vertices")
        fine = refine(drop_pieces(fine, space.distance(fine.vertices)[1] > 0), space)
    with context.stage("simplify", 0.8, 1.0):
        mesh = simplify(fine, options.faces)
        context.report(0.7, "closing what no view saw")
        invented = find_invented(mesh, space)
        mesh = smooth_invented(mesh, invented, space)
    return Surface(mesh, invented, fine, dict(zip(seen, factors.tolist(), strict=True)))


def _gather_all(capture: CalibratedCapture, context: Context) -> dict[str, ViewEvidence]:
    """What each view that shows anything says, by its name."""
    views: dict[str, ViewEvidence] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for k, evidence in enumerate(pool.map(gather, capture.views)):
            context.report((k + 1) / len(capture.views), f"depth of {capture.views[k].name} smoothed")
            if evidence is not None:
                views[capture.views[k].name] = evidence
    if not views:
        raise EngineError(
            "No view shows the object: every mask is empty.",
            suggestion="Hand in masks, or images whose background differs from the object.",
            reason="empty_masks",
        )
    return views


def object_bounds(
    capture: CalibratedCapture, views: list[ViewEvidence]
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """The capture's box, cut to what the depth maps show where they cover the silhouettes."""
    low, high = np.asarray(capture.bounds, float)
    slack = 0.02 * capture.diagonal
    covered = [view.surface.sum() > 0.98 * (view.maps[..., 3] > 0).sum() for view in views]
    if all(covered) and len(views) >= 3:
        points = np.concatenate([view.points(4) for view in views])
        if len(points) > 100:
            low, high = np.maximum(low, points.min(0) - slack), np.minimum(high, points.max(0) + slack)
    return low, high
