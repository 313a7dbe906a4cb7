"""How much of the surface the views saw, how much of it well, and how much is invented.

Shares are of surface area: every face is probed at four points that stand for its area. Our own meshes carry the
answer per texel (`TexturedMesh.coverage`); for any other mesh it is found by visibility in the capture's views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from meshwright.capture.calibrated import CalibratedView
from meshwright.geometry.mesh import Coverage, TexturedMesh, face_area_vectors
from meshwright.quality.reference import COMPARISON_SIZE

STEEPEST_COSINE = 0.5  # 60 degrees of incidence
PROBES = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]]) / np.array([[3], [6], [6], [6]])


@dataclass(frozen=True)
class CoverageShares:
    """Shares of the surface area in 0..1; ``seen`` contains ``seen_below_60_deg``, and ``invented`` is the rest.

    ``source`` says what was asked: "texture" (the engine's own record per texel) or "visibility" (each view's z-buffer
    of the mesh). None for a mesh without area.
    """

    seen: float | None
    seen_below_60_deg: float | None
    invented: float | None
    source: Literal["texture", "visibility"]


def surface_coverage(mesh: TexturedMesh, views: Sequence[CalibratedView]) -> CoverageShares:
    """The shares of ``mesh``'s surface that ``views`` saw."""
    recorded = mesh.coverage is not None and mesh.uv is not None
    source: Literal["texture", "visibility"] = "texture" if recorded else "visibility"
    area = 0.5 * np.linalg.norm(face_area_vectors(np.asarray(mesh.vertices, float), mesh.faces), axis=1)
    if area.sum() <= 0:
        return CoverageShares(None, None, None, source)
    levels = _recorded_levels(mesh) if recorded else _visible_levels(mesh, views)
    weight = np.where(levels == Coverage.EMPTY, 0.0, np.repeat(area[:, None], len(PROBES), 1))
    total = np.bincount(levels.ravel(), weight.ravel(), minlength=4)
    # rounded, so that the shares of a wholly seen surface are 1 and 0
    share = [round(float(part), 6) for part in total / max(float(weight.sum()), 1e-300)]
    seen = round(share[Coverage.GRAZING] + share[Coverage.SEEN], 6)
    return CoverageShares(seen, share[Coverage.SEEN], share[Coverage.INVENTED], source)


def _recorded_levels(mesh: TexturedMesh) -> UInt8[np.ndarray, "m 4"]:
    """The coverage map at each face's probes."""
    assert mesh.coverage is not None
    assert mesh.uv is not None
    height, width = mesh.coverage.shape
    uv = np.einsum("pk,mkc->mpc", PROBES, np.asarray(mesh.uv, float)[mesh.faces])
    column = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip((uv[..., 1] * height).astype(int), 0, height - 1)
    return mesh.coverage[row, column]


def _visible_levels(mesh: TexturedMesh, views: Sequence[CalibratedView]) -> UInt8[np.ndarray, "m 4"]:
    """The best that any view saw of each face's probes."""
    vertices = np.asarray(mesh.vertices, float)
    probes = np.einsum("pk,mkc->mpc", PROBES, vertices[mesh.faces])
    normals = np.broadcast_to(mesh.geometry().face_normals()[:, None], probes.shape)
    levels = np.full(probes.shape[:2], Coverage.INVENTED, np.uint8)
    for view in views:
        visible, cosine = _visible(vertices, mesh.faces, probes, normals, view)
        level = np.where(cosine > STEEPEST_COSINE, Coverage.SEEN, Coverage.GRAZING).astype(np.uint8)
        levels = np.where(visible, np.maximum(levels, level), levels)
    return levels


def _visible(
    vertices: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "m 3"],
    points: Float[np.ndarray, "m p 3"],
    normals: Float[np.ndarray, "m p 3"],
    view: CalibratedView,
) -> tuple[Bool[np.ndarray, "m p"], Float[np.ndarray, "m p"]]:
    """Which points a view sees, by its z-buffer of the mesh, and the cosine of incidence there."""
    from meshwright.rendering.raster import rasterize

    shrink = min(1.0, COMPARISON_SIZE / max(view.camera.width, view.camera.height))
    camera = view.camera.resized(max(1, round(view.camera.width * shrink)), max(1, round(view.camera.height * shrink)))
    depth = rasterize(vertices, faces, camera).depth
    uv, z = camera.project(points)
    column, row = (np.floor(np.nan_to_num(uv[..., k], nan=-1.0)).astype(int) for k in range(2))
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height) & (z > 0)
    surface = np.where(inside, depth[row * inside, column * inside], 0.0)
    cosine = np.einsum("...c,...c->...", normals, camera.view_directions(points))
    # within one pixel the surface's depth changes by the pixel's size times the tangent of incidence
    slope = np.sqrt(1 - np.clip(cosine, 0.05, 1.0) ** 2) / np.clip(cosine, 0.05, 1.0)
    tolerance = camera.pixel_size(np.maximum(z, 0.0)) * (1.0 + slope)
    return inside & (cosine > 0) & (surface > 0) & (z <= surface + tolerance), cosine
