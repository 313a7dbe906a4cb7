"""Detail that a mesh lacks beside a finer one, as a normal map in its own texture.

From the point of each texel a ray goes both ways along the shading normal; the nearest face of the fine mesh that faces
the same way says what normal to show there (Cignoni et al. 1998, "A general method for preserving attribute values on
simplified meshes"). It is stored in the frame that the renderer and glTF read it in (`rendering.material.bumped`):
tangent and normal interpolated, the tangent made orthogonal, green up.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.engines.nvdiffrec.face_grid import FaceGrid, cast
from meshwright.geometry.material import MATT
from meshwright.geometry.mesh import Mesh, TexturedMesh
from meshwright.geometry.tangents import vertex_tangents
from meshwright.rendering.threads import kernel, row_bands, worker_count
from meshwright.surface.inpaint import fill_outside
from meshwright.surface.texels import AtlasTexels, rasterize_atlas

REACH = 0.02  # of the diagonal: how far the two surfaces may lie apart
LEAST_COSINE = 0.5  # 60 degrees between the two normals; beyond, the fine surface is another one
FLAT = (128, 128, 255)


def bake_detail(mesh: TexturedMesh, fine: Mesh) -> TexturedMesh:
    """``mesh`` with the normals of ``fine`` as a normal map of its texture's size, and the tangents it is meant in.

    The map is flat where nothing of ``fine`` lies within 2 % of the diagonal along the normal, or only what is turned
    by more than 60 degrees. A mesh without a texture, or a ``fine`` without faces, gives the mesh back as it is.
    """
    if mesh.uv is None or mesh.texture is None or not len(fine.faces) or not len(mesh.faces):
        return mesh
    tangents = mesh.tangents
    if tangents is None:
        tangents = vertex_tangents(np.asarray(mesh.vertices, float), mesh.faces, mesh.normals, mesh.uv)
    size = mesh.texture.shape[0]
    texels = rasterize_atlas(np.asarray(mesh.uv, float) * (mesh.texture.shape[1], size), mesh.faces, size)
    image = texels.image(_baked(mesh, tangents, fine, texels))
    covered = np.zeros(size * size, bool)
    covered[texels.index] = True
    image = fill_outside(image, covered.reshape(size, size))
    return replace(mesh, tangents=tangents, material=replace(mesh.material or MATT, normal_texture=image))


def _baked(
    mesh: TexturedMesh, tangents: Float[np.ndarray, "n 4"], fine: Mesh, texels: AtlasTexels
) -> UInt8[np.ndarray, "t 3"]:
    """The encoded normal of every texel of the charts, the work shared among the cores."""
    points = np.asarray(mesh.vertices, np.float64)
    reach = REACH * float(np.linalg.norm(np.ptp(points, axis=0)))
    frame = np.concatenate([points, mesh.normals, tangents], 1).astype(np.float64)
    smooth = np.nan_to_num(fine.vertex_normals())[fine.faces[np.isfinite(fine.vertices[fine.faces]).all((1, 2))]]
    out = np.full((len(texels.index), 3), FLAT, np.uint8)
    place = (np.ascontiguousarray(mesh.faces, np.int32), texels.face, texels.barycentric)
    grid = FaceGrid.of(fine).arrays

    def band(low: int, high: int) -> None:
        bake_rows(grid, np.ascontiguousarray(smooth), frame, place, reach, LEAST_COSINE, low, high, out)

    with ThreadPoolExecutor(worker_count()) as pool:
        list(pool.map(lambda rows: band(*rows), row_bands(len(out), 4 * worker_count())))
    return out


@kernel()
def bake_rows(grid, smooth, frame, place, reach, least_cosine, low, high, out):
    """Encode the fine normals at texels ``low..high`` in ``out``, which stays as it is where there are none.

    ``smooth`` (m, 3, 3) are the normals at the corners of the fine faces; rows of ``frame`` are point, normal and
    tangent (with its sign) of the mesh's vertices.
    """
    faces, face, barycentric = place
    at, axes, normal, hit, behind = np.zeros(10), np.zeros((3, 3)), np.zeros(3), np.zeros(3), np.zeros(3)
    for n in range(low, high):
        at[:] = 0.0
        for k in range(3):
            for c in range(10):
                at[c] += barycentric[n, k] * frame[faces[face[n], k], c]
        if not make_axes(at, axes):
            continue
        dx, dy, dz = axes[2, 0], axes[2, 1], axes[2, 2]
        found = cast(grid, at[0], at[1], at[2], dx, dy, dz, reach, least_cosine, hit)
        nearer = hit[0] if found >= 0 else reach
        below = cast(grid, at[0], at[1], at[2], -dx, -dy, -dz, nearer, -least_cosine, behind)
        if below >= 0 and (found < 0 or behind[0] < hit[0]):
            found = below
            hit[:] = behind
        if found < 0:
            continue
        for c in range(3):
            normal[c] = (1 - hit[1] - hit[2]) * smooth[found, 0, c]
            normal[c] += hit[1] * smooth[found, 1, c] + hit[2] * smooth[found, 2, c]
        length = np.sqrt(_dot(normal, normal))
        if length > 1e-12 and _dot(normal, axes[2]) >= least_cosine * length:
            for c in range(3):
                out[n, c] = int(127.5 * (_dot(normal, axes[c]) / length + 1) + 0.5)


@kernel()
def make_axes(at, axes):
    """Unit tangent, bitangent and normal of an interpolated frame as rows of ``axes``; False where there are none."""
    normal, tangent = at[3:6], at[6:9]
    length = np.sqrt(_dot(normal, normal))
    if not length > 1e-12:
        return False
    axes[2] = normal / length
    axes[0] = tangent - _dot(tangent, axes[2]) * axes[2]
    across = np.sqrt(_dot(axes[0], axes[0]))
    if not across > 1e-12:
        return False
    axes[0] /= across
    sign = -1.0 if at[9] < 0 else 1.0
    for c in range(3):
        i, j = (c + 1) % 3, (c + 2) % 3
        axes[1, c] = sign * (axes[2, i] * axes[0, j] - axes[2, j] * axes[0, i])
    return True


@kernel()
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
