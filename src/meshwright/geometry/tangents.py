"""Normals and tangents for shading. Tangents follow MikkTSpace's rules: per corner, weighted by angle."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def vertex_tangents(
    vertices: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "m 3"],
    normals: Float[np.ndarray, "n 3"],
    uv: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, "n 4"]:
    """glTF tangents (xyz unit, orthogonal to the normal; w = +-1) of vertices split along UV seams.

    ``uv`` has v downwards; the bitangent ``w * cross(normal, tangent)`` points to where v decreases, as glTF's normal
    maps (green up) need. A chart that is not mirrored has w = +1 (Mikkelsen 2008, "Simulation of Wrinkled Surfaces
    Revisited", sec. 3).
    """
    edge_one, edge_two = (vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2))
    flat_one, flat_two = (uv[faces[:, k]] - uv[faces[:, 0]] for k in (1, 2))
    area = flat_one[:, 0] * -flat_two[:, 1] + flat_one[:, 1] * flat_two[:, 0]  # v upwards
    tangent = (edge_one * -flat_two[:, 1:] + edge_two * flat_one[:, 1:]) * np.sign(area)[:, None]
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-30)
    weight = _corner_angles(vertices, faces).ravel()
    total = np.stack(
        [np.bincount(faces.ravel(), weight * np.repeat(tangent[:, c], 3), len(vertices)) for c in range(3)], 1
    )
    mirrored = np.bincount(faces.ravel(), weight * np.repeat(np.sign(area), 3), len(vertices)) < 0
    direction = _orthogonal(total, normals)
    return np.concatenate([direction, np.where(mirrored, -1.0, 1.0)[:, None]], 1)


def _corner_angles(vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
    corners = vertices[faces]
    one, two = corners[:, [1, 2, 0]] - corners, corners[:, [2, 0, 1]] - corners
    return np.arctan2(np.linalg.norm(np.cross(one, two), axis=2), (one * two).sum(2))


def _orthogonal(vectors: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Unit vectors next to ``vectors`` and orthogonal to ``normals``; any orthogonal one where there is none."""
    flat = vectors - (vectors * normals).sum(1, keepdims=True) * normals
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    other = np.cross(np.eye(3)[np.argmin(np.abs(normals), axis=1)], normals)
    other /= np.maximum(np.linalg.norm(other, axis=1, keepdims=True), 1e-30)
    return np.where(length > 1e-6, flat / np.maximum(length, 1e-30), other)
