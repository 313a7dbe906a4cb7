"""Places that no view saw: found, marked as invented, and given the smoothest shape outside known free space.

Behind overhangs the carved solid ends in cliffs along the lines of sight. There the surface of least bending through
the seen rim (bi-Laplacian, Botsch & Kobbelt 2004 eq. 5 with uniform weights), held to the carved shape, takes their
place; a vertex that would thereby enter space that some view proves to be free stops at its border.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from meshwright.geometry.mesh import Mesh
from meshwright.surface.clean import adjacency, uniform_laplacian
from meshwright.surface.extract import MIN_SUPPORT
from meshwright.surface.fuse import FreeSpace

MAJORITY_ROUNDS = 2
BISECTIONS = 4
STAY = 0.5  # weight of the carved place; at 0 ledges melt (barrel: visible F 0.5 % .970, at .03 .984, here .994)
MAX_SOLVE = 60_000  # unknowns; more than this much unseen surface is left as carved


def find_invented(mesh: Mesh, space: FreeSpace) -> Bool[np.ndarray, "n"]:
    """Vertices where no depth map shows a surface at usable incidence; single dissenters follow their neighbours."""
    _, support = space.distance(mesh.vertices)
    invented = support <= MIN_SUPPORT
    neighbours = adjacency(mesh)
    degree = np.maximum(np.asarray(neighbours.sum(1)).ravel(), 1)
    for _ in range(MAJORITY_ROUNDS):
        share = neighbours @ invented.astype(float) / degree
        invented = np.where(share > 0.7, True, np.where(share < 0.3, False, invented))
    return invented


def smooth_invented(mesh: Mesh, invented: Bool[np.ndarray, "n"], space: FreeSpace) -> Mesh:
    """Re-shape the invented vertices as the smoothest continuation of the seen ones, outside of known free space."""
    unknown = np.flatnonzero(invented)
    if len(unknown) == 0 or len(unknown) > MAX_SOLVE or invented.all():
        return mesh
    goal = _least_bending(mesh, unknown)
    start = mesh.vertices[unknown]
    low, high = np.zeros(len(unknown)), np.ones(len(unknown))
    share = high.copy()
    limit = 0.25 * space.voxel
    for _ in range(BISECTIONS):
        distance, _ = space.distance(start + share[:, None] * (goal - start))
        free = distance > limit
        low, high = np.where(free, low, share), np.where(free, share, high)
        share = np.where(high - low > 1e-9, (low + high) / 2, share)
    vertices = mesh.vertices.copy()
    vertices[unknown] = start + low[:, None] * (goal - start)
    return Mesh(vertices, mesh.faces)


def _least_bending(mesh: Mesh, unknown: np.ndarray) -> np.ndarray:
    from scipy.sparse import identity
    from scipy.sparse.linalg import spsolve

    laplacian = uniform_laplacian(mesh)
    bending = (laplacian.T @ laplacian).tocsr()[unknown]
    known = np.ones(len(mesh.vertices), bool)
    known[unknown] = False
    matrix = bending[:, unknown] + STAY * identity(len(unknown))
    right = STAY * mesh.vertices[unknown] - bending[:, np.flatnonzero(known)] @ mesh.vertices[known]
    return np.asarray(spsolve(matrix.tocsc(), right)).reshape(-1, 3)
