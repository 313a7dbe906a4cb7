"""What a mesh is painted with: its textures as mip pyramids, made once a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from meshwright.geometry.material import MATT, Material
from meshwright.geometry.mesh import PLAIN_GREY, Mesh, TexturedMesh
from meshwright.geometry.tangents import vertex_tangents
from meshwright.rendering.raster import ScreenPoints
from meshwright.rendering.sampling import Pyramid, build_pyramid, chart_mask


@dataclass(frozen=True, eq=False)
class Gloss:
    """A material's textures, and the tangents (n, 4) that its normal texture is meant in."""

    material: Material = MATT
    metallic_roughness: Pyramid | None = None
    normals: Pyramid | None = None
    tangents: Float[np.ndarray, "n 4"] | None = None


_MATT = Gloss()


@dataclass(frozen=True, eq=False)
class Paint:
    """Where a surface's colour comes from: ``pyramid`` at ``uv``, or ``colors`` (n, 3) per vertex if there is none;
    ``gloss`` is how it shines."""

    uv: Float[np.ndarray, "n 2"]
    pyramid: Pyramid
    colors: UInt8[np.ndarray, "n 3"]
    textured: bool
    gloss: Gloss = _MATT


_paints: WeakKeyDictionary[TexturedMesh | Mesh, Paint] = WeakKeyDictionary()
_making_paint = Lock()
_NO_TEXTURE = Pyramid(np.zeros((1, 3), np.uint8), np.array([[0, 1, 1]]))


def paint_of(mesh: TexturedMesh | Mesh) -> Paint:
    """The mesh's paint, remembered for as long as the mesh lives: building a pyramid takes as long as a picture."""
    with _making_paint:
        paint = _paints.get(mesh)
        if paint is None:
            paint = _paints[mesh] = _make_paint(mesh)
        return paint


def plain_paint(n_vertices: int, grey: int = PLAIN_GREY) -> Paint:
    """One grey all over."""
    return Paint(np.zeros((n_vertices, 2)), _NO_TEXTURE, np.full((n_vertices, 3), grey, np.uint8), False)


def _make_paint(mesh: TexturedMesh | Mesh) -> Paint:
    n = len(mesh.vertices)
    if isinstance(mesh, Mesh):
        return plain_paint(n)
    uv = np.zeros((n, 2)) if mesh.uv is None else finite(mesh.uv)
    gloss = _MATT if mesh.material is None else _make_gloss(mesh, mesh.material, uv)
    if mesh.texture is None or mesh.uv is None:
        plain = np.full((n, 3), PLAIN_GREY, np.uint8)
        colors = plain if mesh.colors is None else np.require(mesh.colors, np.uint8, ["C", "W"])
        return Paint(uv, _NO_TEXTURE, colors, False, gloss)
    pyramid = build_pyramid(mesh.texture, _covered(mesh, uv, mesh.texture))
    return Paint(uv, pyramid, np.zeros((1, 3), np.uint8), True, gloss)


def _make_gloss(mesh: TexturedMesh, material: Material, uv: Float[np.ndarray, "n 2"]) -> Gloss:
    if mesh.uv is None:
        return Gloss(material)

    def pyramid(texture: UInt8[np.ndarray, "h w 3"] | None) -> Pyramid | None:
        return None if texture is None else build_pyramid(texture, _covered(mesh, uv, texture))

    tangents = mesh.tangents
    if tangents is None and material.normal_texture is not None:
        tangents = vertex_tangents(finite(mesh.vertices), mesh.faces, finite(mesh.normals), uv)
    return Gloss(material, pyramid(material.metallic_roughness), pyramid(material.normal_texture), tangents)


def _covered(
    mesh: TexturedMesh, uv: Float[np.ndarray, "n 2"], texture: UInt8[np.ndarray, "h w 3"]
) -> Bool[np.ndarray, "h w"] | None:
    """The texels of a texture that lie in charts."""
    if mesh.coverage is not None and mesh.coverage.shape == texture.shape[:2]:
        return mesh.coverage > 0
    return chart_mask(uv, mesh.faces, *texture.shape[:2])


def texel_densities(paint: Paint, faces: Int[np.ndarray, "m 3"], seen: ScreenPoints) -> Float[np.ndarray, "m"]:
    """`densities` of the base colour's texture; 0 where there is none."""
    return densities(paint.uv, paint.pyramid, faces, seen) if paint.textured else np.zeros(len(faces))


def densities(
    uv: Float[np.ndarray, "n 2"], pyramid: Pyramid, faces: Int[np.ndarray, "m 3"], seen: ScreenPoints
) -> Float[np.ndarray, "m"]:
    """Texels per sample area of each face, to be multiplied by the cube of a sample's depth (perspective only).

    The determinant of the screen-to-texture homography is area ratio * k0 k1 k2 / k^3, with k = 1/z interpolated over
    the screen (Heckbert 1989, Fundamentals of Texture Mapping, sec. 2.3).
    """
    texels = pyramid.levels[0, 1] * pyramid.levels[0, 2]
    ratio = _double_area(uv[faces]) * texels / np.maximum(_double_area(seen.points[:, :2][faces]), 1e-12)
    return ratio / seen.z[faces].prod(1) if seen.perspective else ratio


def finite(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """A float64 copy in which NaN and infinities are 0."""
    return np.nan_to_num(np.array(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _double_area(corners: Float[np.ndarray, "m 3 2"]) -> Float[np.ndarray, "m"]:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
