"""The readable twin of `render`'s shading: every sample in numpy, one step after another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh
from meshwright.rendering.paint import Paint, paint_of, texel_densities
from meshwright.rendering.raster import Fragments, project_vertices, rasterize
from meshwright.rendering.sampling import Pyramid, sample_bilinear
from meshwright.rendering.shading import Shading, Studio, facing_normals, studio_of


def render_reference(
    mesh: TexturedMesh,
    camera: Camera,
    *,
    supersample: int = 2,
    background: int = 255,
    shading: Shading | Studio = "unlit",
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """What `render` must show, before rounding to bytes, and the coverage."""
    dense = camera.resized(camera.width * supersample, camera.height * supersample)
    seen = rasterize(mesh.vertices, mesh.faces, dense)
    hit = seen.face_id >= 0
    samples = np.full((*hit.shape, 3), float(background))
    color = _base_color(mesh, paint_of(mesh), dense, seen)
    light = _light(mesh, dense, seen, studio_of(shading))
    samples[hit] = np.minimum(color[hit] * light[hit][:, None], 255)
    return _mean(samples, supersample), _mean(hit[..., None].astype(float), supersample)[..., 0]


def _base_color(mesh: TexturedMesh, paint: Paint, dense: Camera, seen: Fragments) -> Float[np.ndarray, "h w 3"]:
    if not paint.textured:
        return seen.interpolate(mesh.faces, paint.colors.astype(float))
    uv = seen.interpolate(mesh.faces, paint.uv).astype(float)
    density = texel_densities(paint, mesh.faces, project_vertices(mesh.vertices, dense))[seen.face_id]
    if dense.projection == "perspective":
        density = density * seen.depth**3
    return sample_trilinear(paint.pyramid, uv, 0.5 * np.log2(np.maximum(density, 1e-30)))


def sample_trilinear(
    pyramid: Pyramid, uv: Float[np.ndarray, "*n 2"], lod: Float[np.ndarray, "*n"]
) -> Float[np.ndarray, "*n 3"]:
    """Bilinear look-ups of the two nearest levels, blended; ``lod`` is clamped to the levels there are."""
    lod = np.clip(lod, 0, len(pyramid.levels) - 1)[..., None]
    out = np.zeros((*uv.shape[:-1], 3))
    for k in range(len(pyramid.levels)):
        image = pyramid.level(k)
        share = np.clip(1 - np.abs(lod - k), 0, 1)
        exact = pyramid.levels[0, 1:] / 2.0**k / image.shape[:2]  # below 1 where a size was rounded up
        out += share * sample_bilinear(image, uv, tuple(exact[::-1]))
    return out


def _light(mesh: TexturedMesh, dense: Camera, seen: Fragments, light: Studio) -> Float[np.ndarray, "h w"]:
    towards = facing_normals(np.asarray(mesh.vertices, float), mesh.faces, dense)[seen.face_id]
    normals = seen.interpolate(mesh.faces, mesh.normals).astype(float)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where(length < 1e-6, towards, normals / np.maximum(length, 1e-6))
    away = (normals * towards).sum(-1, keepdims=True) < 0
    return light.light_on(np.where(away, -normals, normals))


def _mean(samples: Float[np.ndarray, "H W c"], supersample: int) -> Float[np.ndarray, "h w c"]:
    height, width, channels = samples.shape
    blocks = samples.reshape(height // supersample, supersample, width // supersample, supersample, channels)
    return blocks.mean((1, 3))
