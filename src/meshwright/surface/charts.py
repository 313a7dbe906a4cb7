"""Cutting a surface into charts that can be flattened: connected patches whose normals point roughly one way.

Faces are labelled by the axis direction that their smoothed normal is nearest to, patches too small to be worth their
padding are merged into a neighbour, and faces that turn away from their patch's mean normal are moved out. Each face
of a chart then sees the chart's plane from its front, so that projecting is locally one-to-one.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.mesh import Mesh, face_area_vectors

SMOOTHING_ROUNDS = 8
SMALL_CHART = 0.004  # share of the whole area: smaller patches cost more padding than they hold
MERGE_COSINE = 0.25  # mean normals of merged patches within 75 degrees
FACING_COSINE = 0.15  # a face belongs to a chart when its normal is within 81 degrees of the chart's


def segment_charts(mesh: Mesh) -> Int[np.ndarray, "m"]:
    """Chart label per face, 0..k-1, each chart connected over edges and facing its own mean normal."""
    pairs, lengths = face_adjacency(mesh)
    vectors = face_area_vectors(mesh.vertices, mesh.faces)
    label = _nearest_axis(_smoothed(vectors, pairs))
    label = connected_charts(label, pairs)
    label = _merge_small(label, pairs, lengths, vectors)
    return _move_out_turned_faces(label, pairs, lengths, vectors)


def face_adjacency(mesh: Mesh) -> tuple[Int[np.ndarray, "p 2"], Float[np.ndarray, "p"]]:
    """Pairs of faces that share a manifold, consistently wound edge, and the edge's length."""
    start = mesh.faces.ravel().astype(np.int64)
    end = np.roll(mesh.faces, -1, axis=1).ravel().astype(np.int64)
    key = np.minimum(start, end) * len(mesh.vertices) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    first = np.flatnonzero(np.diff(sorted_key, prepend=-1))
    count = np.diff(np.append(first, len(key)))
    first = first[count == 2]
    one, two = order[first], order[first + 1]
    same_way = start[one] == start[two]
    one, two = one[~same_way], two[~same_way]
    lengths = np.linalg.norm(mesh.vertices[start[one]] - mesh.vertices[end[one]], axis=1)
    return np.stack([one // 3, two // 3], 1), lengths


def connected_charts(label: Int[np.ndarray, "m"], pairs: Int[np.ndarray, "p 2"]) -> Int[np.ndarray, "m"]:
    """Split every label into its connected parts; parts are numbered by their first face."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    kept = pairs[label[pairs[:, 0]] == label[pairs[:, 1]]]
    graph = coo_matrix((np.ones(len(kept), bool), kept.T), shape=(len(label), len(label)))
    return connected_components(graph, directed=False)[1].astype(np.int32)


def chart_axes(label: Int[np.ndarray, "m"], vectors: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "k 3"]:
    """Unit area-weighted mean normal per chart."""
    total = np.stack([np.bincount(label, vectors[:, axis]) for axis in range(3)], 1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)


def _smoothed(vectors: Float[np.ndarray, "m 3"], pairs: Int[np.ndarray, "p 2"]) -> Float[np.ndarray, "m 3"]:
    """Area-weighted normals, averaged over neighbours a few times so that labels do not speckle."""
    value = vectors.copy()
    ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
    others = np.concatenate([pairs[:, 1], pairs[:, 0]])
    for _ in range(SMOOTHING_ROUNDS):
        gathered = [np.bincount(ends, value[others, axis], minlength=len(value)) for axis in range(3)]
        value = 0.25 * value + 0.25 * np.stack(gathered, 1)
    return value


def _nearest_axis(normals: Float[np.ndarray, "m 3"]) -> Int[np.ndarray, "m"]:
    """0..5 for +x, -x, +y, -y, +z, -z."""
    return np.argmax(np.stack([normals, -normals], 2).reshape(len(normals), 6), axis=1).astype(np.int32)


def _merge_small(
    label: Int[np.ndarray, "m"],
    pairs: Int[np.ndarray, "p 2"],
    lengths: Float[np.ndarray, "p"],
    vectors: Float[np.ndarray, "m 3"],
) -> Int[np.ndarray, "m"]:
    """Join small charts to the larger neighbour with the longest common border, where their normals allow it."""
    face_area = np.linalg.norm(vectors, axis=1)
    smallest = SMALL_CHART * face_area.sum()
    for _ in range(20):
        count = int(label.max()) + 1
        area, axes = np.bincount(label, face_area), chart_axes(label, vectors)
        target = _best_neighbours(label, pairs, lengths, partial(_mergeable, area=area, axes=axes, smallest=smallest))
        if np.array_equal(target, np.arange(count)):
            return label
        label = connected_charts(target[label].astype(np.int32), pairs)
    return label


def _mergeable(
    small: Int[np.ndarray, "q"],
    other: Int[np.ndarray, "q"],
    area: Float[np.ndarray, "k"],
    axes: Float[np.ndarray, "k 3"],
    smallest: float,
) -> np.ndarray:
    """Whether chart ``small`` may join ``other``: the smaller joins the larger, the lower number breaking ties."""
    larger = (area[other] > area[small]) | ((area[other] == area[small]) & (other < small))
    return (area[small] < smallest) & larger & ((axes[small] * axes[other]).sum(1) > MERGE_COSINE)


def _best_neighbours(label, pairs, lengths, allowed) -> Int[np.ndarray, "k"]:
    """For each chart the allowed neighbour with the longest border, or itself."""
    count = int(label.max()) + 1
    one, two = label[pairs[:, 0]], label[pairs[:, 1]]
    apart = one != two
    own = np.concatenate([one[apart], two[apart]]).astype(np.int64)
    other = np.concatenate([two[apart], one[apart]]).astype(np.int64)
    key, inverse = np.unique(own * count + other, return_inverse=True)
    border = np.bincount(inverse, np.concatenate([lengths[apart]] * 2), minlength=len(key))
    own, other = key // count, key % count
    kept = allowed(own, other)
    own, other, border = own[kept], other[kept], border[kept]
    order = np.lexsort((other, -border, own))
    own, other = own[order], other[order]
    first = np.flatnonzero(np.diff(own, prepend=-1))
    target = np.arange(count)
    target[own[first]] = other[first]
    return target


def _move_out_turned_faces(
    label: Int[np.ndarray, "m"],
    pairs: Int[np.ndarray, "p 2"],
    lengths: Float[np.ndarray, "p"],
    vectors: Float[np.ndarray, "m 3"],
) -> Int[np.ndarray, "m"]:
    """Move faces that look away from their chart's mean normal into a neighbouring chart that suits, or a new one."""
    normals = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    for _ in range(12):
        axes = chart_axes(label, vectors)
        turned = (normals * axes[label]).sum(1) < FACING_COSINE
        if not turned.any():
            return label
        label = _adopt(label, turned, pairs, lengths, normals, axes)
        label = connected_charts(label, pairs)
    axes = chart_axes(label, vectors)
    turned = (normals * axes[label]).sum(1) < FACING_COSINE
    alone = np.where(turned, label.max() + 1 + np.arange(len(label)), label)
    return connected_charts(alone.astype(np.int32), pairs)


def _adopt(label, turned, pairs, lengths, normals, axes) -> Int[np.ndarray, "m"]:
    """Turned faces go to the suiting neighbour chart behind their longest edge; the rest form new charts by axis."""
    count = len(axes)
    face = np.concatenate([pairs[:, 0], pairs[:, 1]])
    chart = label[np.concatenate([pairs[:, 1], pairs[:, 0]])]
    suits = turned[face] & (chart != label[face]) & ((normals[face] * axes[chart]).sum(1) > FACING_COSINE)
    face, chart, length = face[suits], chart[suits], np.concatenate([lengths] * 2)[suits]
    order = np.lexsort((chart, -length, face))
    face, chart = face[order], chart[order]
    first = np.flatnonzero(np.diff(face, prepend=-1))
    result = np.where(turned, count + 6 * label + _nearest_axis(normals), label)
    result[face[first]] = chart[first]
    return result.astype(np.int32)
