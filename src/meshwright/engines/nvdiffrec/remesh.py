"""Better triangles for the same closed surface: long edges split, short ones collapsed, the rest flipped and evened.

The incremental remeshing of Botsch and Kobbelt (2004, "A Remeshing Approach to Multiresolution Modeling"), with flips
by Delaunay's rule, which no pair's smallest angle suffers from, in place of valences. What could move the surface is
not done: vertices at creases stay, collapses go to one of the ends and may not turn a face, smoothing is tangential.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from meshwright.engines.nvdiffrec.halfedges import half_edges
from meshwright.engines.nvdiffrec.remesh_rules import THIN, collapse_short, flip_edges, split_long
from meshwright.geometry.mesh import Mesh, face_area_vectors
from meshwright.surface.clean import adjacency, compact

LONG, SHORT = 4 / 3, 4 / 5  # of the length aimed at: Botsch and Kobbelt's bounds
CREASE = 0.8  # cosine between neighbouring faces' normals below which their edge is kept
EVENING = 0.5  # of the way to the mean of its neighbours that a vertex goes, in its tangent plane
TURNED = 0.9  # cosine that a face's normal may turn by when a corner moves
GROWTH = 4  # times the faces there are, room for splits; those beyond are left out


def remeshed(mesh: Mesh, length: float | None = None, rounds: int = 4) -> Mesh:
    """The surface in triangles with edges about ``length`` long (world units), closed and of the same genus.

    ``mesh`` must be closed and manifold. Without a length it is the mean of the mesh's edges, which changes few faces
    of an even mesh, and mends slivers. Creases (edges with more than 37 degrees between their faces) stay where they
    are.
    """
    if len(mesh.faces) == 0:
        return mesh
    aim = length or float(_edge_lengths(mesh).mean())
    for _ in range(rounds):
        room = GROWTH * len(mesh.faces) + 8
        points, start, twin, out, used = half_edges(mesh, room)
        kept = np.zeros(len(points), np.bool_)
        kept[: len(mesh.vertices)] = _at_creases(mesh, twin)
        split_long(points, start, twin, out, used, kept, LONG * aim, CREASE)
        collapse_short(points, start, twin, out, used, kept, SHORT * aim, LONG * aim, TURNED)
        flip_edges(points, start, twin, out, used, CREASE)
        faces = start[: 3 * used[1]].reshape(-1, 3)
        raw = Mesh(points[: used[0]], faces[faces[:, 0] >= 0].astype(np.int32))
        remaining = np.unique(raw.faces)
        mesh = _evened(compact(raw), kept[remaining])
    return mesh


def least_angles(mesh: Mesh) -> Float[np.ndarray, "m"]:
    """The smallest angle of each face, degrees."""
    corners = mesh.vertices[mesh.faces]
    angles = []
    for k in range(3):
        u, v = (corners[:, (k + step) % 3] - corners[:, k] for step in (1, 2))
        across = np.linalg.norm(np.cross(u, v), axis=1)
        angles.append(np.arctan2(across, (u * v).sum(1)))
    return np.degrees(np.min(angles, axis=0))


def _edge_lengths(mesh: Mesh) -> Float[np.ndarray, "m 3"]:
    corners = mesh.vertices[mesh.faces]
    return np.linalg.norm(corners - np.roll(corners, -1, 1), axis=2)


def _at_creases(mesh: Mesh, twin: np.ndarray) -> Bool[np.ndarray, "n"]:
    """Vertices at edges whose faces meet at an angle; faces so thin that they have no normal count at none."""
    normals, sides = mesh.face_normals(), _edge_lengths(mesh)
    area = np.linalg.norm(face_area_vectors(mesh.vertices, mesh.faces), axis=1)
    solid = area >= THIN * sides.max(1) ** 2
    face, beside = np.arange(3 * len(mesh.faces)) // 3, twin[: 3 * len(mesh.faces)] // 3
    sharp = ((normals[face] * normals[beside]).sum(1) < CREASE) & solid[face] & solid[beside]
    at = np.zeros(len(mesh.vertices), bool)
    at[mesh.faces.reshape(-1)[sharp]] = True  # its twin is as sharp: so both ends are marked
    return at


def _evened(mesh: Mesh, kept: Bool[np.ndarray, "n"]) -> Mesh:
    """Vertices moved along the surface towards the mean of their neighbours, where no face turns by it."""
    neighbours = adjacency(mesh)
    degree = np.maximum(np.asarray(neighbours.sum(1)), 1).reshape(-1, 1)
    way = EVENING * (neighbours @ mesh.vertices / degree - mesh.vertices)
    normals = mesh.vertex_normals()
    way -= normals * (way * normals).sum(1, keepdims=True)
    way[kept] = 0
    before = face_area_vectors(mesh.vertices, mesh.faces)
    for _ in range(3):
        after = face_area_vectors(mesh.vertices + way, mesh.faces)
        size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        turned = (before * after).sum(1) < TURNED * size
        way[mesh.faces[turned]] = 0
    after = face_area_vectors(mesh.vertices + way, mesh.faces)
    still = (before * after).sum(1) < 0
    return Mesh(mesh.vertices + way, mesh.faces) if not still.any() else mesh
