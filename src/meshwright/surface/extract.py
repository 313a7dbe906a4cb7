"""From the fused field to a triangle mesh: marching cubes, then each seen vertex moved to the field's own zero.

Marching cubes (Lewiner et al. 2003, scikit-image) interpolates linearly between samples a voxel apart, but the field
has kinks there; asking the views again at the vertex and stepping along the normal takes the rest of the error out.
"""

from __future__ import annotations

import numpy as np

from meshwright.errors import EngineError
from meshwright.geometry.mesh import Mesh
from meshwright.surface.fuse import Field, FreeSpace

NUDGE = 0.02  # voxels: keeps zero crossings off the samples, so that no triangle degenerates
REFINE_STEPS = 2
REFINE_REACH = 0.7  # voxels that a vertex may move in one step
MIN_SUPPORT = 0.15  # cosine of incidence below which no view is taken to know the surface


def extract(field: Field) -> Mesh:
    """The zero surface of the field, outside positive, as a closed mesh with outward winding. Raises `EngineError`."""
    from skimage.measure import marching_cubes

    values = np.pad(field.values, 1, constant_values=np.abs(field.values).max())
    small = np.float32(NUDGE * field.grid.voxel)
    values = np.where(np.abs(values) < small, np.where(values > 0, small, -small), values)
    if not (values < 0).any():
        raise EngineError(
            "No surface is left: the views contradict each other everywhere.",
            suggestion="Check the cameras and the depth scales with `meshwright inspect`.",
            reason="empty_surface",
        )
    vertices, faces, _, _ = marching_cubes(values, 0.0, allow_degenerate=True)
    world = field.grid.origin + field.grid.voxel * (vertices.astype(np.float64) - 1)
    return outward(Mesh(world, faces.astype(np.int32)))


def outward(mesh: Mesh) -> Mesh:
    """The mesh with its faces turned over if its signed volume is negative."""
    return mesh if signed_volume(mesh) >= 0 else Mesh(mesh.vertices, mesh.faces[:, ::-1].copy())


def signed_volume(mesh: Mesh) -> float:
    """Volume enclosed by a closed mesh, negative where it is inside out."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def refine(mesh: Mesh, space: FreeSpace) -> Mesh:
    """Move seen vertices along their normals onto the zero of the field that the views give at that very place."""
    vertices = mesh.vertices.copy()
    reach = REFINE_REACH * space.voxel
    for _ in range(REFINE_STEPS):
        normals = Mesh(vertices, mesh.faces).vertex_normals()
        distance, support = space.distance(vertices)
        step = np.where(support > MIN_SUPPORT, np.clip(distance, -reach, reach), 0.0)
        vertices -= step[:, None] * normals
    return Mesh(vertices, mesh.faces)
