"""Flattening charts: projection onto each chart's plane, then as-rigid-as-possible relaxation.

The relaxation is the local/global scheme of Liu, Zhang, Xu, Gotsman, Gortler, "A Local/Global Approach to Mesh
Parameterization" (SGP 2008), sec. 3 and 4.3 (ARAP), with clamped cotangents so that the system stays definite. A chart
that it would flip keeps its projection, which cannot be flipped because each face looks at the chart's plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.mesh import Mesh, face_area_vectors
from meshwright.surface.charts import chart_axes

RELAXATION_ROUNDS = 6
MIN_COTANGENT = 0.05
MAX_AREA_SCALE = 2.0
MIN_AREA_RATIO = 0.05  # a relaxed face smaller than this share of its true area counts as flipped


@dataclass(frozen=True, eq=False)
class FlatCharts:
    """Charts in the plane, in world units, each at its own origin.

    ``uv`` (q, 2) belongs to split vertices, ``faces`` (m, 3) indexes them, ``vertex`` (q,) names the mesh vertex of
    each, ``chart`` (m,) the chart of each face, ``vertex_chart`` (q,) of each split vertex.
    """

    uv: Float[np.ndarray, "q 2"]
    faces: Int[np.ndarray, "m 3"]
    vertex: Int[np.ndarray, "q"]
    chart: Int[np.ndarray, "m"]
    vertex_chart: Int[np.ndarray, "q"]


def flatten_charts(mesh: Mesh, chart: Int[np.ndarray, "m"]) -> FlatCharts:
    """Flatten all charts at once. ``chart`` as from `segment_charts`; area is kept per chart."""
    count = len(mesh.vertices)
    key, inverse = np.unique(chart[:, None].astype(np.int64) * count + mesh.faces, return_inverse=True)
    faces = inverse.reshape(-1, 3).astype(np.int32)
    vertex, vertex_chart = (key % count).astype(np.int32), (key // count).astype(np.int32)
    projected = _project(mesh, chart, vertex, vertex_chart)
    relaxed = _relax(mesh, faces, vertex_chart, projected)
    flipped = _charts_with_flips(mesh, faces, chart, relaxed)
    uv = np.where(flipped[vertex_chart][:, None], projected, relaxed)
    uv = uv * _area_scale(mesh, faces, chart, uv)[vertex_chart][:, None]
    return FlatCharts(uv, faces, vertex, chart, vertex_chart)


def flat_areas(uv: Float[np.ndarray, "q 2"], faces: Int[np.ndarray, "m 3"]) -> Float[np.ndarray, "m"]:
    """Signed areas of flat faces, positive when counter-clockwise with v upwards."""
    a, b, c = (uv[faces[:, k]] for k in range(3))
    return 0.5 * ((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def _project(mesh, chart, vertex, vertex_chart) -> Float[np.ndarray, "q 2"]:
    """Coordinates along two axes in each chart's plane; (first, second, normal) is right-handed."""
    normal = chart_axes(chart, face_area_vectors(mesh.vertices, mesh.faces))
    helper = np.eye(3)[np.argmin(np.abs(normal), axis=1)]
    first = np.cross(helper, normal)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-30)
    second = np.cross(normal, first)
    points = mesh.vertices[vertex]
    return np.stack([(points * first[vertex_chart]).sum(1), (points * second[vertex_chart]).sum(1)], 1)


def _relax(mesh, faces, vertex_chart, start) -> Float[np.ndarray, "q 2"]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    shape = _isometric_triangles(mesh)
    weight = _cotangents(shape)
    one, two = faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel()
    w, count = weight.ravel(), len(start)
    pinned = np.unique(vertex_chart, return_index=True)[1]
    diagonal = np.bincount(one, w, count) + np.bincount(two, w, count)
    diagonal[pinned] += diagonal.mean()
    everyone = np.arange(count)
    rows, columns = np.concatenate([one, two, everyone]), np.concatenate([two, one, everyone])
    matrix = coo_matrix((np.concatenate([-w, -w, diagonal]), (rows, columns))).tocsc()
    solver = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)
    hold = np.zeros((count, 2))
    hold[pinned] = diagonal_share(diagonal, pinned) * start[pinned]
    uv = start
    for _ in range(RELAXATION_ROUNDS):
        uv = solver.solve(_right_side(uv, faces, shape, weight) + hold)
    return uv


def diagonal_share(diagonal: Float[np.ndarray, "q"], pinned: Int[np.ndarray, "k"]) -> Float[np.ndarray, "k 1"]:
    """Weight of the soft pin that was added to the diagonal (its mean before pinning)."""
    return np.full((len(pinned), 1), diagonal.sum() / (len(diagonal) + len(pinned)))


def _isometric_triangles(mesh: Mesh) -> Float[np.ndarray, "m 3 2"]:
    """Each face laid flat: first corner at the origin, second on the x axis."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    length = np.maximum(np.linalg.norm(b - a, axis=1), 1e-30)
    x = ((c - a) * (b - a)).sum(1) / length
    y = np.linalg.norm(np.cross(b - a, c - a), axis=1) / length
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, zero], 1), np.stack([length, zero], 1), np.stack([x, y], 1)], 1)


def _cotangents(shape: Float[np.ndarray, "m 3 2"]) -> Float[np.ndarray, "m 3"]:
    """Clamped cotangent of the angle at each corner (the weight of the edge opposite to it)."""
    one, two = shape[:, [1, 2, 0]] - shape, shape[:, [2, 0, 1]] - shape
    cross = one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
    return np.clip((one * two).sum(2) / np.maximum(cross, 1e-30), MIN_COTANGENT, 20.0)


def _right_side(uv, faces, shape, weight) -> Float[np.ndarray, "q 2"]:
    """Local step (best rotation per face) and the right-hand side of the global step."""
    flat_edge = uv[faces[:, [1, 2, 0]]] - uv[faces[:, [2, 0, 1]]]
    true_edge = shape[:, [1, 2, 0]] - shape[:, [2, 0, 1]]
    cos = (weight * (flat_edge * true_edge).sum(2)).sum(1)
    sin = (weight * (true_edge[..., 0] * flat_edge[..., 1] - true_edge[..., 1] * flat_edge[..., 0])).sum(1)
    length = np.maximum(np.hypot(cos, sin), 1e-30)
    cos, sin = (cos / length)[:, None], (sin / length)[:, None]
    turned = np.stack(
        [cos * true_edge[..., 0] - sin * true_edge[..., 1], sin * true_edge[..., 0] + cos * true_edge[..., 1]], 2
    )
    pull = (weight[..., None] * turned).reshape(-1, 2)
    one, two = faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel()
    sides = [np.bincount(one, pull[:, k], len(uv)) - np.bincount(two, pull[:, k], len(uv)) for k in range(2)]
    return np.stack(sides, 1)


def _charts_with_flips(mesh, faces, chart, uv) -> np.ndarray:
    """Charts in which some flattened face is turned over or nearly collapsed."""
    true = 0.5 * np.linalg.norm(face_area_vectors(mesh.vertices, mesh.faces), axis=1)
    bad = ~(flat_areas(uv, faces) > MIN_AREA_RATIO * true)
    return np.bincount(chart, bad) > 0


def _area_scale(mesh, faces, chart, uv) -> Float[np.ndarray, "k"]:
    """Factor per chart that gives it its true area, bounded for charts of degenerate faces."""
    true = np.bincount(chart, 0.5 * np.linalg.norm(face_area_vectors(mesh.vertices, mesh.faces), axis=1))
    flat = np.bincount(chart, flat_areas(uv, faces))
    return np.sqrt(np.clip(true / np.maximum(flat, 1e-30), MAX_AREA_SCALE**-2, MAX_AREA_SCALE**2))
