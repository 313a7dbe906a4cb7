"""Texturing: unwrap a mesh, look every texel up in all views, make the views agree, blend, fill what none saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.errors import EngineError, InputError
from meshwright.geometry.mesh import Coverage, Mesh, TexturedMesh
from meshwright.geometry.tangents import vertex_tangents
from meshwright.progress import Context
from meshwright.surface.bake import blend_texels, sight_texels
from meshwright.surface.coherence import cohere
from meshwright.surface.inpaint import fill_outside, fill_unseen
from meshwright.surface.levelling import Levelling, level
from meshwright.surface.mismatch import contour_mismatch
from meshwright.surface.sightings import Observer, Sightings, observe
from meshwright.surface.unwrap import Atlas, unwrap
from meshwright.surface.warp import warped_capture

SIZES = (256, 8192)
SEEN_COSINE = 0.5  # 60 degrees: what `Coverage.SEEN` means


@dataclass(frozen=True)
class TextureOptions:
    """``size`` of the square texture in texels (product range 1024-4096), ``levelling`` of views against each other.

    ``warp``: photos whose outlines disagree with the surface's are bent to agree with each other first. Lines then meet
    across views, but no view shows its own photo to the pixel any more, which the metrics count.
    """

    size: int = 2048
    levelling: bool = True
    tangents: bool = True
    warp: bool = False

    def __post_init__(self) -> None:
        if not (SIZES[0] <= self.size <= SIZES[1]) or self.size % 64:
            raise InputError(
                f"A texture of {self.size} texels cannot be made.",
                suggestion=f"Choose a multiple of 64 from {SIZES[0]} to {SIZES[1]}, for example 2048.",
                reason="texture_size",
            )


def texture_mesh(
    mesh: Mesh,
    capture: CalibratedCapture,
    options: TextureOptions | None = None,
    context: Context | None = None,
    invented: Bool[np.ndarray, "n"] | None = None,
) -> TexturedMesh:
    """Colour ``mesh`` from the capture's views.

    ``invented`` marks vertices whose place no view saw; vertices around which no texel was seen are added to it.
    Raises `EngineError` with reason ``mesh_empty`` or ``no_view_sees_mesh``.
    """
    options, context = options or TextureOptions(), context or Context()
    if not len(mesh.faces):
        raise EngineError("The mesh has no faces to texture.", reason="mesh_empty", suggestion="Check the masks.")
    with context.stage("unwrap", 0.0, 0.25):
        atlas = unwrap(mesh, options.size, context)
    with context.stage("project", 0.25, 0.65):
        observers, sightings = _sightings(mesh, capture, atlas, options, context)
    with context.stage("blend", 0.65, 0.85):
        colors, seen = _blend(mesh, atlas, sightings, observers, options)
    if not seen.any():
        raise EngineError(
            "No view sees any part of the mesh, so it cannot be coloured.",
            reason="no_view_sees_mesh",
            suggestion="Check that cameras and mesh share one frame and one unit.",
        )
    with context.stage("fill", 0.85, 1.0):
        texture = _filled(mesh, atlas, colors, seen, context)
    return _assembled(mesh, atlas, texture, _coverage(sightings, seen), invented, options)


def _sightings(
    mesh: Mesh, capture: CalibratedCapture, atlas: Atlas, options: TextureOptions, context: Context
) -> tuple[list[Observer], Sightings]:
    """What all views show at the texels. Photos that do not fit the surface speak for whole regions (`coherence`)."""
    apart = [contour_mismatch(view) for view in capture.views]
    observers = _observers(mesh, capture, atlas, apart)
    if options.warp and any(apart):
        observers = _observers(mesh, warped_capture(mesh, capture, observers), atlas, apart)
    sightings = sight_texels(mesh, atlas.texels, observers, context)
    if any(apart):
        sightings = cohere(mesh, atlas.texels, sightings, len(observers), capture.diagonal)
    return observers, sightings


def _observers(mesh: Mesh, capture: CalibratedCapture, atlas: Atlas, apart: list[float]) -> list[Observer]:
    return [
        observe(mesh, view, capture.diagonal, atlas.texels_per_unit, mismatch)
        for view, mismatch in zip(capture.views, apart, strict=True)
    ]


def _blend(
    mesh: Mesh, atlas: Atlas, sightings: Sightings, observers: list[Observer], options: TextureOptions
) -> tuple[Float[np.ndarray, "t 3"], Bool[np.ndarray, "t"]]:
    levelling = Levelling.none(len(mesh.vertices), len(observers))
    if options.levelling and len(observers) > 1:
        levelling = level(mesh, sightings, atlas.texels.face, atlas.texels.barycentric, len(observers))
    colors, winner = blend_texels(mesh, atlas.texels, sightings, levelling)
    return colors, winner >= 0


def _filled(mesh: Mesh, atlas: Atlas, colors, seen, context: Context) -> UInt8[np.ndarray, "s s 3"]:
    colors = fill_unseen(mesh, atlas.texels, colors, seen)
    context.report(0.5, "filling unseen texels")
    image = atlas.texels.image(np.clip(colors + 0.5, 0, 255).astype(np.uint8))
    covered = np.zeros((atlas.size, atlas.size), bool)
    covered.ravel()[atlas.texels.index] = True
    return fill_outside(image, covered)


def _coverage(sightings: Sightings, seen: Bool[np.ndarray, "t"]) -> UInt8[np.ndarray, "t"]:
    well = sightings.cosines > SEEN_COSINE
    return np.where(seen, np.where(well, Coverage.SEEN, Coverage.GRAZING), Coverage.INVENTED).astype(np.uint8)


def _unseen_vertices(mesh: Mesh, atlas: Atlas, seen: Bool[np.ndarray, "t"]) -> Bool[np.ndarray, "n"]:
    """Vertices of which less than a tenth of the texels around was seen."""
    key, share = mesh.faces[atlas.texels.face].ravel(), atlas.texels.barycentric.ravel()
    total = np.bincount(key, share, len(mesh.vertices))
    return np.bincount(key, share * np.repeat(seen, 3), len(mesh.vertices)) < 0.1 * np.maximum(total, 1e-30)


def _assembled(
    mesh: Mesh, atlas: Atlas, texture: UInt8[np.ndarray, "s s 3"], coverage: Int[np.ndarray, "t"], invented, options
) -> TexturedMesh:
    vertices, normals = mesh.vertices[atlas.vertex], mesh.vertex_normals()[atlas.vertex]
    unseen = _unseen_vertices(mesh, atlas, coverage != Coverage.INVENTED)
    if invented is not None:
        unseen = unseen | invented
    uv = atlas.uv
    tangents = vertex_tangents(vertices, atlas.faces, normals, uv) if options.tangents else None
    return TexturedMesh(
        vertices,
        atlas.faces,
        normals,
        uv=uv,
        texture=texture,
        tangents=tangents,
        coverage=atlas.texels.image(coverage, Coverage.EMPTY),
        invented=unseen[atlas.vertex],
    )
