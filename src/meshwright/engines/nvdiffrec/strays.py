"""Views whose camera strayed: each is held against what the other views make of the object.

A surface that a view itself took part in explains that view too well. So every view is registered to the surface fused
from the others, without what those invented, and the one that would move farthest is moved; then all are asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.engines.nvdiffrec.registration import Freedom, Registered, register
from meshwright.errors import EngineError
from meshwright.geometry.mesh import Mesh
from meshwright.progress import Context
from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface

RESOLUTION, FACES = 128, 10_000  # of the surfaces that views are held against
STRAYED = 2.2  # voxels of the others' surface that a view must be moved by: less is what that surface is wrong itself
BETTER = 0.5  # of the outlines' distance: what a move must reach
FEWEST = 4  # views: fewer make no surface without one of them


@dataclass(frozen=True, eq=False)
class Gathered:
    """The capture with its strays brought back, and a sentence on each."""

    capture: CalibratedCapture
    notes: tuple[str, ...] = ()


def gather_strays(
    capture: CalibratedCapture,
    context: Context,
    freedom: Freedom | None = None,
    size: int = 512,
    resolution: int = RESOLUTION,
) -> Gathered:
    """Move the cameras of views that disagree with all others by more than a few voxels; at most one move a view.

    Captures of fewer than four views are left alone. ``size`` is the images', ``resolution`` that of the surfaces
    fused from the others. Raises `Cancelled` on request.
    """
    notes: list[str] = []
    left = [view.name for view in capture.views] if len(capture.views) >= FEWEST else []
    while left:
        context.report(1 - len(left) / len(capture.views), "holding each view against the others")
        found = {name: _held(capture, name, freedom or Freedom(), size, resolution, context) for name in left}
        voxel = float(np.ptp(capture.bounds, axis=0).max()) / resolution
        fits = {name: fit for name, fit in found.items() if fit is not None and _strayed(fit, voxel)}
        if not fits:
            break
        worst = max(fits, key=lambda name: fits[name].motion_px)
        fit = fits[worst]
        capture = replace(capture, views=tuple(fit.capture.views[0] if v.name == worst else v for v in capture.views))
        notes.append(
            f"The camera of view {worst} was moved by {fit.rotation_deg:.2f} degrees: its outline then lies"
            f" {fit.outline_px[1]:.1f} pixels from that of the other views' surface, not {fit.outline_px[0]:.1f}."
        )
        left.remove(worst)
    return Gathered(capture, tuple(notes))


def _strayed(fit: Registered, voxel: float) -> bool:
    camera, middle = fit.capture.views[0].camera, fit.capture.bounds.mean(0)
    moved = np.radians(fit.rotation_deg) * np.linalg.norm(camera.center - middle)
    return bool(moved > STRAYED * voxel) and fit.outline_px[1] < BETTER * fit.outline_px[0]


def _held(
    capture: CalibratedCapture, name: str, freedom: Freedom, size: int, resolution: int, context: Context
) -> Registered | None:
    """One view registered to the surface of the others; None where they make none."""
    one = tuple(view for view in capture.views if view.name == name)
    context.check_cancelled()
    try:
        mesh = _surface_without(capture, one[0], resolution)
    except EngineError:
        return None
    return register(replace(capture, views=one), mesh, freedom, size, anchored=False)


def _surface_without(capture: CalibratedCapture, left_out: CalibratedView, resolution: int) -> Mesh:
    """What the other views saw."""
    rest = replace(capture, views=tuple(view for view in capture.views if view is not left_out))
    surface = reconstruct_surface(rest, SurfaceOptions(resolution=resolution, faces=FACES))
    seen = np.logical_not(surface.invented[surface.mesh.faces].any(1))
    return Mesh(surface.mesh.vertices, surface.mesh.faces[seen])
