"""A texture atlas by box projection: faces grouped by the axis that they look along, packed on shelves.

Connected faces that all look along one axis form a height field over the plane across it, so their projection does not
fold: each such group is one chart. Quick, deterministic and undistorted up to 1 / cos of the face's slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshwright.errors import InputError
from meshwright.geometry.mesh import Mesh

# Per direction +X -X +Y -Y +Z -Z: the chart's right and up, so that charts read like photos from that side.
DIRECTIONS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
RIGHT = np.array([[0, 0, -1], [0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0], [-1, 0, 0]], float)
UP = np.array([[0, 1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1], [0, 1, 0], [0, 1, 0]], float)
STEEPEST = 0.3  # least cosine between a face and its chart's axis


@dataclass(frozen=True, eq=False)
class Atlas:
    """Split vertices: ``source`` (n,) indexes the mesh's vertices, ``texels`` (n, 2) are pixels from the top left."""

    source: Int[np.ndarray, "n"]
    faces: Int[np.ndarray, "m 3"]
    texels: Float[np.ndarray, "n 2"]
    charts: Int[np.ndarray, "m"]
    texels_per_unit: float


def box_atlas(mesh: Mesh, size: int, gutter: int = 4) -> Atlas:
    """Unwrap ``mesh`` into a ``size`` x ``size`` atlas with ``gutter`` pixels between charts."""
    neighbours = face_neighbours(mesh.faces)
    direction = smooth_directions(mesh.face_normals(), neighbours)
    charts = connected(direction, neighbours)
    corner = mesh.vertices[mesh.faces]
    local = np.stack(
        [np.einsum("mkc,mc->mk", corner, RIGHT[direction]), -np.einsum("mkc,mc->mk", corner, UP[direction])], -1
    )
    low, high = chart_boxes(local, charts)
    scale, place = pack(high - low, size, gutter)
    texels = (local - low[charts][:, None]) * scale + place[charts][:, None]
    count = int(charts.max()) + 1
    key = mesh.faces.astype(np.int64) * count + charts[:, None]
    unique, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return Atlas(
        (unique // count).astype(np.int32),
        inverse.reshape(-1, 3).astype(np.int32),
        texels.reshape(-1, 2)[first],
        charts,
        scale,
    )


def face_neighbours(faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "m 3"]:
    """For each face the faces across its three edges (itself at a border); each edge has at most two faces."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1).astype(np.int64)
    order = np.argsort(edges[:, 0] * (faces.max() + 1) + edges[:, 1], kind="stable")
    same = (edges[order[1:]] == edges[order[:-1]]).all(1)
    out = np.repeat(np.arange(len(faces)), 3)
    a, b = order[:-1][same], order[1:][same]
    out[a], out[b] = b // 3, a // 3
    return out.reshape(-1, 3)


def smooth_directions(
    normals: Float[np.ndarray, "m 3"], neighbours: Int[np.ndarray, "m 3"], rounds: int = 12
) -> Int[np.ndarray, "m"]:
    """The axis (0..5) of each face: the nearest one, swayed by its neighbours so that chart borders are short."""
    cosine = normals @ DIRECTIONS.T
    label = cosine.argmax(1)
    for _ in range(rounds):
        votes = np.eye(6)[label[neighbours]].sum(1)
        score = np.where(cosine > STEEPEST, cosine + 0.3 * votes, cosine - 10)
        label = score.argmax(1)
    return label


def connected(label: Int[np.ndarray, "m"], neighbours: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "m"]:
    """Numbers of the connected groups of equal label."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = np.repeat(np.arange(len(label)), 3), neighbours.ravel()
    keep = label[a] == label[b]
    graph = coo_matrix((np.ones(keep.sum(), bool), (a[keep], b[keep])), shape=(len(label),) * 2)
    return connected_components(graph, directed=False)[1].astype(np.int32)


def chart_boxes(
    local: Float[np.ndarray, "m 3 2"], charts: Int[np.ndarray, "m"]
) -> tuple[Float[np.ndarray, "c 2"], Float[np.ndarray, "c 2"]]:
    """Lower and upper corners of each chart."""
    order = np.argsort(charts, kind="stable")
    starts = np.searchsorted(charts[order], np.arange(charts.max() + 1))
    return np.minimum.reduceat(local.min(1)[order], starts), np.maximum.reduceat(local.max(1)[order], starts)


def pack(sizes: Float[np.ndarray, "c 2"], atlas: int, gutter: int) -> tuple[float, Float[np.ndarray, "c 2"]]:
    """The largest scale (pixels per unit) at which boxes fit on shelves of the atlas, and their corners in pixels."""
    low, high = 0.0, atlas / float(sizes.max())
    best = np.zeros_like(sizes)
    for _ in range(24):
        middle = (low + high) / 2
        placed = shelves(np.ceil(sizes * middle) + gutter, atlas)
        if placed is None:
            high = middle
        else:
            low, best = middle, placed + gutter / 2
    if low <= 0:
        raise InputError(
            f"A texture of {atlas} texels is too small for {len(sizes)} charts.",
            suggestion="Choose a larger texture_size.",
            reason="texture_too_small",
        )
    return low, best


def shelves(boxes: Float[np.ndarray, "c 2"], atlas: int) -> Float[np.ndarray, "c 2"] | None:
    """Corners of boxes set side by side on shelves, tallest first; None if they do not fit."""
    place = np.zeros_like(boxes)
    x = y = shelf = 0.0
    for k in np.lexsort((np.arange(len(boxes)), -boxes[:, 0], -boxes[:, 1])):
        width, height = boxes[k]
        if x + width > atlas:
            x, y, shelf = 0.0, y + shelf, 0.0
        if x + width > atlas or y + height > atlas:
            return None
        place[k] = x, y
        x, shelf = x + width, max(shelf, height)
    return place
