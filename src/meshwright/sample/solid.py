"""From a signed distance to a closed triangle mesh: blockwise sampling, marching cubes, normalisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from meshwright.geometry.mesh import Mesh

Distance = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n"]]
BLOCK = 4  # fine cells per coarse cell


def extract(distance: Distance, low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], cells: int) -> Mesh:
    """The zero level of ``distance`` inside a box, with ``cells`` grid cells along the box's longest side.

    The result is closed if the solid lies inside the box. Vertices are in the box's units.
    """
    from skimage.measure import marching_cubes

    low, high = np.asarray(low, float), np.asarray(high, float)
    step = float((high - low).max() / cells)
    values = sample_grid(distance, low, step, np.ceil((high - low) / (step * BLOCK)).astype(int))
    vertices, faces, _, _ = marching_cubes(values, 0.0, allow_degenerate=False)
    return Mesh(settled(distance, vertices.astype(float) * step + low, step / 2), faces.astype(np.int32))


def settled(distance: Distance, vertices: Float[np.ndarray, "n 3"], reach: float) -> Float[np.ndarray, "n 3"]:
    """Vertices moved along the gradient onto the zero level, by at most ``reach``: takes out the grid's ripple."""
    moved = vertices
    for _ in range(2):
        slope = gradient(distance, moved, reach / 10)
        step = distance(moved) / np.maximum(np.einsum("ij,ij->i", slope, slope), 0.25)
        moved = moved - np.clip(step, -reach / 2, reach / 2)[:, None] * slope
    return moved


def gradient(distance: Distance, points: Float[np.ndarray, "n 3"], h: float) -> Float[np.ndarray, "n 3"]:
    """The slope of ``distance`` from four samples on a tetrahedron of edge about ``h``."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    return sum((distance(points + h * c)[:, None] * c for c in corners), np.zeros_like(points)) / (4 * h)


def sample_grid(
    distance: Distance, low: Float[np.ndarray, "3"], step: float, blocks: np.ndarray
) -> Float[np.ndarray, "x y z"]:
    """Distances on a grid, exact near the surface and constant per block elsewhere (only the sign matters there).

    A block can hold surface only if its centre is nearer to it than the block's half diagonal; distances of smooth
    blends are too small by up to the blend, never too large, so that test is safe.
    """
    width = BLOCK * step
    centres = low + (np.stack(np.meshgrid(*map(np.arange, blocks), indexing="ij"), -1).reshape(-1, 3) + 0.5) * width
    coarse = distance(centres.astype(np.float32))
    values = np.repeat(coarse, BLOCK**3).reshape(*blocks, BLOCK, BLOCK, BLOCK)
    near = np.nonzero(np.abs(coarse) < 0.9 * width + step)[0]
    inside = (np.stack(np.meshgrid(*[np.arange(BLOCK)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5) * step
    corners = centres[near] - width / 2
    fine = distance((corners[:, None] + inside).reshape(-1, 3).astype(np.float32))
    values.reshape(-1, BLOCK, BLOCK, BLOCK)[near] = fine.reshape(-1, BLOCK, BLOCK, BLOCK)
    values[values == 0] = 1e-9
    return values.transpose(0, 3, 1, 4, 2, 5).reshape(blocks * BLOCK).astype(np.float32)


def normalising(mesh: Mesh) -> Float[np.ndarray, "4 4"]:
    """The similarity that centres the bounding box on the origin and makes its diagonal 1."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    matrix = np.eye(4) / np.linalg.norm(high - low)
    matrix[:3, 3] = -(low + high) / 2 * matrix[0, 0]
    matrix[3, 3] = 1.0
    return matrix
