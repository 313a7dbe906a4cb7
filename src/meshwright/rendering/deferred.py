"""Physically based pictures: what every sample shows is gathered first, then shaded by the generic functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import Mesh, TexturedMesh
from meshwright.rendering.arrays import dot, normalized
from meshwright.rendering.color import linear_to_srgb, srgb_to_linear
from meshwright.rendering.environment import Light
from meshwright.rendering.material import Surface, bumped, under_light
from meshwright.rendering.paint import Paint, densities, finite
from meshwright.rendering.raster import Fragments, ScreenPoints
from meshwright.rendering.sampling import Pyramid, mix_trilinear
from meshwright.rendering.shading import facing_normals
from meshwright.rendering.threads import kernel, over_rows

CHUNK_ROWS = 8  # of output: what is at work then stays in the cache


@dataclass(frozen=True, eq=False)
class Scene:
    """A mesh as one camera sees it: its faces, projected vertices and fragments, ``supersample``^2 of them a pixel."""

    mesh: TexturedMesh | Mesh
    paint: Paint
    camera: Camera
    faces: Int[np.ndarray, "m 3"]
    seen: ScreenPoints
    fragments: Fragments
    supersample: int


def shade_deferred(
    scene: Scene, light: Light, background: float
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The picture in 0..255 (float32), and the coverage; each pixel is the mean of its samples in sRGB display space.

    Light brighter than white is cut off at white, sample by sample.
    """
    camera, step = scene.camera, scene.supersample
    rgb = np.zeros((camera.height, camera.width, 3), np.float32)
    coverage = np.zeros((camera.height, camera.width), np.float32)
    gather = _Gatherer.of(scene)

    def chunk(low: int, high: int) -> None:
        hit = scene.fragments.face_id[low * step : high * step] >= 0
        samples = np.full((*hit.shape, 4), (background, background, background, 0.0), np.float32)
        if hit.any():
            samples[hit, :3] = 255 * _shaded(gather, low * step, hit, light)
            samples[hit, 3] = 1
        mean = samples.reshape(high - low, step, camera.width, step, 4).mean((1, 3))
        rgb[low:high], coverage[low:high] = mean[..., :3], mean[..., 3]

    def band(low: int, high: int) -> None:
        for start in range(low, high, CHUNK_ROWS):
            chunk(start, min(start + CHUNK_ROWS, high))

    over_rows(camera.height, band)
    return rgb, coverage


@dataclass(frozen=True, eq=False)
class _Gatherer:
    """Columns of ``attributes``: towards the viewer 0-2, normal 3-5, uv 6-7, tangent 8-11, colour (0..255) 12-14.

    ``facing`` are face normals on the viewer's side; ``density`` is per face, in texels of a 1 x 1 texture.
    """

    scene: Scene
    attributes: Float[np.ndarray, "n 15"]
    facing: Float[np.ndarray, "m 3"]
    density: Float[np.ndarray, "m"]

    @staticmethod
    def of(scene: Scene) -> _Gatherer:
        """Lay the vertices' attributes out for interpolation."""
        mesh, paint, camera = scene.mesh, scene.paint, scene.camera
        vertices = finite(mesh.vertices)
        towards = camera.center - vertices
        if camera.projection == "orthographic":
            towards = np.broadcast_to(-camera.forward, vertices.shape)
        normals = mesh.normals if isinstance(mesh, TexturedMesh) else mesh.vertex_normals()
        tangents = np.zeros((len(vertices), 4)) if paint.gloss.tangents is None else finite(paint.gloss.tangents)
        colors = np.zeros((len(vertices), 3)) if paint.textured else paint.colors
        columns = [towards, finite(normals), paint.uv, tangents, colors]
        unit = Pyramid(paint.pyramid.texels, np.array([[0, 1, 1]]))
        return _Gatherer(
            scene,
            np.concatenate(columns, 1).astype(np.float32),
            facing_normals(vertices, scene.faces, camera).astype(np.float32),
            densities(paint.uv, unit, scene.faces, scene.seen),
        )


def _shaded(gather: _Gatherer, first_row: int, hit: Bool[np.ndarray, "r w"], light: Light) -> Float[np.ndarray, "p 3"]:
    """sRGB colours (0..1) of the samples in ``hit``, whose first row is ``first_row``."""
    scene, fragments = gather.scene, gather.scene.fragments
    window = slice(first_row, first_row + len(hit))
    face = fragments.face_id[window][hit]
    values = np.zeros((len(face), gather.attributes.shape[1]), np.float32)
    interpolate_rows(scene.faces, face, fragments.barycentrics[window][hit], gather.attributes, values)
    density = gather.density[face]
    if scene.seen.perspective:
        density = density * fragments.depth[window][hit].astype(float) ** 3
    towards = normalized(values[:, :3])
    normals = _normals(scene.paint, values, density, gather.facing[face])
    surface = _surface(scene.paint, values, density)
    return linear_to_srgb(under_light(surface, normals, towards, light)).clip(0, 1)


def _normals(
    paint: Paint, values: Float[np.ndarray, "p 15"], density: Float[np.ndarray, "p"], facing: Float[np.ndarray, "p 3"]
) -> Float[np.ndarray, "p 3"]:
    """Shading normals: turned by the normal texture, then to the side of the face that the camera sees."""
    lost = dot(values[:, 3:6], values[:, 3:6]) < 1e-12
    normals = np.where(lost, facing, normalized(values[:, 3:6]))
    away = dot(normals, facing) < 0
    if paint.gloss.normals is not None:
        across = values[:, 8:11] - dot(values[:, 8:11], normals) * normals
        tangents = np.concatenate([normalized(across), np.where(values[:, 11:12] < 0, np.float32(-1), 1)], 1)
        texels = look_up(paint.gloss.normals, values[:, 6:8], density) / 255
        normals = bumped(normals, tangents, texels, paint.gloss.material.normal_scale)
    return np.where(away, -normals, normals)


def _surface(paint: Paint, values: Float[np.ndarray, "p 15"], density: Float[np.ndarray, "p"]) -> Surface:
    """Base colour, metalness and roughness at samples."""
    gloss, uv = paint.gloss, values[:, 6:8]
    display = look_up(paint.pyramid, uv, density) if paint.textured else values[:, 12:15]
    base = srgb_to_linear(display / 255) * np.array(gloss.material.base_color, np.float32)
    factors = np.array([gloss.material.roughness, gloss.material.metallic], np.float32)
    if gloss.metallic_roughness is None:
        shared = np.broadcast_to(factors, (len(values), 2))
    else:
        shared = look_up(gloss.metallic_roughness, uv, density)[:, 1:] / 255 * factors
    return Surface(base, shared[:, 1:], shared[:, :1])


def look_up(
    pyramid: Pyramid, uv: Float[np.ndarray, "p 2"], density: Float[np.ndarray, "p"]
) -> Float[np.ndarray, "p 3"]:
    """Texture values (0..255, float32) at ``uv``; ``density`` is the share of the unit square that a sample covers."""
    texels = pyramid.levels[0, 1] * pyramid.levels[0, 2]
    out = np.zeros((len(uv), 3), np.float32)
    look_up_rows(pyramid.texels, pyramid.levels, uv, 0.5 * np.log2(np.maximum(density * texels, 1e-30)), out)
    return out


@kernel()
def look_up_rows(texels, levels, uv, lod, out):
    """`mix_trilinear` of every row."""
    for n in range(len(uv)):
        mix_trilinear(texels, levels, uv[n, 0], uv[n, 1], lod[n], 1.0, out[n])


@kernel()
def interpolate_rows(faces, face, barycentrics, attributes, out):
    """Vertex ``attributes`` (n, c) at samples: ``face`` (p) and ``barycentrics`` (p, 3) to ``out`` (p, c)."""
    for n in range(len(face)):
        i, j, k = faces[face[n], 0], faces[face[n], 1], faces[face[n], 2]
        wi, wj, wk = barycentrics[n, 0], barycentrics[n, 1], barycentrics[n, 2]
        for c in range(attributes.shape[1]):
            out[n, c] = wi * attributes[i, c] + wj * attributes[j, c] + wk * attributes[k, c]
