"""From a solid and its paint to a textured mesh: atlas, baked soft light, texels painted at their places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import Mesh, TexturedMesh, vertex_normals
from meshwright.sample.atlas import Atlas, box_atlas
from meshwright.sample.paint import Colors, SurfacePoints
from meshwright.sample.solid import Distance, extract, gradient, normalising

KEY_LIGHT = np.array([0.35, 0.80, 0.48]) / np.linalg.norm([0.35, 0.80, 0.48])  # towards the light
GUTTER = 6
CHUNK = 16384  # texels at a time: the temporaries stay in the cache


@dataclass(frozen=True, eq=False)
class Solid:
    """A procedural object in its own design units: surface, the parts that paint refers to, box, paint, resolution."""

    distance: Distance
    parts: Callable[[Float[np.ndarray, "n 3"]], dict[str, Float[np.ndarray, "n"]]]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    paint: Callable[[SurfacePoints, np.random.Generator], Colors]
    cells: int = 120


def textured(solid: Solid, *, cells: int, texture_size: int, light: bool, seed: int) -> TexturedMesh:
    """Extract, unwrap, light and paint ``solid``; the result is centred with a bounding-box diagonal of 1.

    The light is baked into the texture (it stands still in the world, so all views of a place agree); ``seed`` picks
    the pattern. Same arguments, same bytes.
    """
    mesh = extract(solid.distance, np.array(solid.low), np.array(solid.high), cells)
    normals = surface_normals(solid.distance, mesh)
    atlas = box_atlas(mesh, texture_size, min(GUTTER, max(2, texture_size // 128)))
    brightness = soft_light(solid.distance, mesh, normals) if light else np.ones(len(mesh.vertices))
    texture = paint_atlas(solid, mesh, normals, brightness, atlas, texture_size, seed)
    matrix = normalising(mesh)
    split = Mesh(mesh.vertices[atlas.source], atlas.faces)
    uv = atlas.texels / texture_size
    return TexturedMesh(split.vertices, split.faces, normals[atlas.source], uv, texture).transformed(matrix)


def surface_normals(distance: Distance, mesh: Mesh) -> Float[np.ndarray, "n 3"]:
    """Unit normals from the distance's slope: smoother than the faces'; where they contradict (an edge), the faces'."""
    flat = vertex_normals(mesh.vertices, mesh.faces)
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    slope = gradient(distance, mesh.vertices, 1e-3 * size)
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
    agree = np.einsum("ij,ij->i", slope, flat) > 0.7
    return np.where(agree[:, None], slope, flat)


def soft_light(distance: Distance, mesh: Mesh, normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Brightness per vertex: a sky that darkens downwards, a key light, and occlusion by nearby solid.

    Occlusion after Evans 2006, "Fast approximations for global illumination on dynamic scenes": how much nearer the
    solid is at steps along the normal than it would be over a plane.
    """
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    occlusion = np.zeros(len(normals))
    for k, weight in ((1, 0.40), (2, 0.30), (4, 0.22), (7, 0.15)):
        step = 0.012 * k * diagonal
        reach = distance((mesh.vertices + normals * step).astype(np.float32))
        occlusion += weight * np.clip(1 - reach / step, 0, 1)
    sky = 0.84 + 0.10 * normals[:, 1]
    key = 0.21 * np.clip(normals @ KEY_LIGHT, 0, None)
    return np.clip((sky + key) * (1 - 0.75 * np.clip(occlusion, 0, 1)), 0.12, 0.97)


def paint_atlas(
    solid: Solid,
    mesh: Mesh,
    normals: Float[np.ndarray, "n 3"],
    brightness: Float[np.ndarray, "n"],
    atlas: Atlas,
    size: int,
    seed: int,
) -> UInt8[np.ndarray, "s s 3"]:
    """The texture: each covered texel's place is interpolated from the mesh and painted; gutters repeat the rims."""
    part_distances = solid.parts(mesh.vertices.astype(np.float32))
    channels = np.column_stack([mesh.vertices, normals, brightness, *map(np.abs, part_distances.values())]).astype(
        np.float32
    )
    covered, values = interpolate_texels(atlas, channels[atlas.source], size)
    sharpen_parts(solid, values)
    length = np.sqrt(np.maximum(np.einsum("tc,tc->t", values[:, 3:6], values[:, 3:6]), 1e-12))
    points = SurfacePoints(
        np.ascontiguousarray(values[:, :3]),
        values[:, 3:6] / length[:, None],
        {name: np.ascontiguousarray(values[:, 7 + k]) for k, name in enumerate(part_distances)},
        1 / atlas.texels_per_unit,
    )
    painted = solid.paint(points, np.random.default_rng(seed)) * values[:, 6:7]
    texture = np.full((size, size, 3), 128, np.uint8)
    texture[covered] = np.rint(np.clip(painted, 0, 1) * 255).astype(np.uint8)
    return fill_gutters(texture, covered, GUTTER // 2)


def sharpen_parts(solid: Solid, values: Float[np.ndarray, "t c"]) -> None:
    """Exact part distances (channels 7 on) in place where two parts are about as near: borders finer than the mesh."""
    near = np.partition(values[:, 7:], 1, axis=1)[:, :2] if values.shape[1] > 8 else np.zeros((0, 2))
    close = np.nonzero(near[:, 1] - near[:, 0] < 0.06)[0]
    exact = solid.parts(np.ascontiguousarray(values[close, :3]))
    values[close, 7:] = np.abs(np.column_stack(list(exact.values())))


def interpolate_texels(
    atlas: Atlas, channels: Float[np.ndarray, "n c"], size: int
) -> tuple[np.ndarray, Float[np.ndarray, "t c"]]:
    """Which texels a chart covers (size, size), and the vertex channels interpolated there."""
    from meshwright.rendering.raster import rasterize

    flat = np.column_stack([atlas.texels, np.ones(len(atlas.texels))])
    camera = Camera(np.eye(3), np.eye(4), size, size, "orthographic")
    fragments = rasterize(flat, atlas.faces, camera)
    covered = fragments.face_id >= 0
    corner = atlas.faces[fragments.face_id[covered]]
    weight = fragments.barycentrics[covered].astype(np.float32)
    values = np.zeros((len(corner), channels.shape[1]), np.float32)
    for start in range(0, len(corner), CHUNK):
        some = slice(start, start + CHUNK)
        for k in range(3):
            values[some] += weight[some, k : k + 1] * channels[corner[some, k]]
    return covered, values


def fill_gutters(texture: UInt8[np.ndarray, "h w 3"], covered: np.ndarray, rounds: int) -> UInt8[np.ndarray, "h w 3"]:
    """Grow the charts by ``rounds`` texels, so that filtering at their rims finds their own colour."""
    texture, covered = texture.copy(), covered.copy()
    for _ in range(rounds):
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            grown = np.roll(covered, step, axis) & ~covered
            texture[grown] = np.roll(texture, step, axis)[grown]
            covered |= grown
    return texture
