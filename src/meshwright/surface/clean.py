"""Mesh hygiene: what counts as closed and manifold, and how a triangle soup of closed chains becomes so.

Every step keeps the property that the oriented faces form a closed chain (each directed edge is met by its opposite as
often as it occurs); from that `make_manifold` always gets to a watertight manifold by splitting vertices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.geometry.mesh import Mesh, face_area_vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_SPLITS = 6  # rounds of splitting doubled edges; one suffices unless a face has two of them
MIN_AREA_SHARE = 2e-3  # pieces below this share of the surface are specks
MIN_SEEN_SHARE = 0.3  # pieces of which less is seen are phantoms in hidden space


def is_watertight(mesh: Mesh) -> bool:
    """True when every directed edge is met by its opposite exactly once (closed and consistently wound)."""
    if len(mesh.faces) == 0:
        return False
    edge = _directed_edges(mesh.faces)
    forward, backward = np.sort(_edge_key(edge)), np.sort(_edge_key(edge[:, ::-1]))
    return bool((forward == backward).all() and (np.diff(forward) > 0).all())


def is_manifold(mesh: Mesh) -> bool:
    """True when at most two faces share an edge and the faces around each vertex form one fan."""
    keys = np.sort(_edge_key(np.sort(_directed_edges(mesh.faces), axis=1)))
    _, count = np.unique(keys, return_counts=True)
    if (count > 2).any():
        return False
    corner = _fans(mesh.faces)
    used = len(np.unique(mesh.faces))
    return int(corner.max(initial=-1)) + 1 == used


def make_manifold(mesh: Mesh) -> Mesh:
    """A watertight manifold of the same shape: collapsed and cancelling faces gone, pinches split."""
    mesh = Mesh(mesh.vertices, cancel_opposites(drop_collapsed(mesh.faces)))
    for _ in range(MAX_SPLITS):
        mesh = _split_vertices(mesh)
        pairs = _surplus_edges(mesh.faces)
        if len(pairs) == 0:
            break
        mesh = _split_edges(mesh, pairs)
    return mesh


def _split_vertices(mesh: Mesh) -> Mesh:
    """Give each fan of faces its own vertex."""
    corner = _fans(mesh.faces)
    owner = np.zeros(int(corner.max(initial=-1)) + 1, np.int64)
    owner[corner.ravel()] = mesh.faces.ravel()
    return Mesh(mesh.vertices[owner], corner.astype(np.int32))


def _surplus_edges(faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "k 4"]:
    """(face, edge slot, opposite face, its slot) of every pair of faces beyond the first at the same edge."""
    edge, m = _directed_edges(faces), len(faces)
    order = np.argsort(_edge_key(edge), kind="stable")
    back = np.argsort(_edge_key(edge[:, ::-1]), kind="stable")
    here, there = _pair(_edge_key(edge)[order], _edge_key(edge[:, ::-1])[back])
    keys = _edge_key(edge)[order][here]
    here, there = order[here], back[there]
    surplus = np.concatenate([[False], keys[1:] == keys[:-1]]) & (edge[here, 0] < edge[here, 1])
    here, there = here[surplus], there[surplus]
    return np.stack([here % m, here // m, there % m, there // m], 1)


def _split_edges(mesh: Mesh, pairs: Int[np.ndarray, "k 4"]) -> Mesh:
    """Insert a midpoint of its own into each given pair of faces (one a face; the rest is left to the next round)."""
    faces, vertices, added, touched = mesh.faces.copy(), [mesh.vertices], [], set()
    count = len(mesh.vertices)
    for f, slot, g, other in pairs.tolist():
        if f in touched or g in touched or f == g:
            continue
        touched |= {f, g}
        ends = mesh.faces[f, [slot, (slot + 1) % 3]]
        vertices.append(mesh.vertices[ends].mean(0, keepdims=True))
        for face, k in ((f, slot), (g, other)):
            half = mesh.faces[face].copy()
            half[k] = count
            added.append(half)
            faces[face, (k + 1) % 3] = count
        count += 1
    return Mesh(np.concatenate(vertices), np.concatenate([faces, np.array(added, np.int32).reshape(-1, 3)]))


def drop_collapsed(faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "k 3"]:
    """Faces without those that name a vertex twice."""
    a, b, c = faces.T
    return faces[(a != b) & (b != c) & (c != a)]


def cancel_opposites(faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "k 3"]:
    """Faces without pairs of the same three vertices and opposite winding."""
    first = np.argmin(faces, axis=1)
    rows = np.arange(len(faces))[:, None]
    turned = faces[rows, (first[:, None] + np.arange(3)) % 3]
    sign = np.where(turned[:, 1] < turned[:, 2], 1, -1)
    _, group = np.unique(np.sort(turned, axis=1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    net = np.bincount(group, sign)
    keep = np.zeros(len(faces), bool)
    for wanted in (1, -1):
        of_sign = np.flatnonzero(sign == wanted)
        order = of_sign[np.argsort(group[of_sign], kind="stable")]
        starts = np.searchsorted(group[order], group[order])
        keep[order[np.arange(len(order)) - starts < wanted * net[group[order]]]] = True
    return faces[keep]


def _directed_edges(faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "e 2"]:
    """Directed edges, edge k of a face from its corner k to corner k + 1, all first edges first."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)


def _edge_key(edge: Int[np.ndarray, "e 2"]) -> Int[np.ndarray, "e"]:
    return (edge[:, 0] << 32) | edge[:, 1]


def _fans(faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "m 3"]:
    """A number for each corner of each face, equal where corners lie in one fan around one vertex.

    Faces are joined across an edge in pairs of opposite direction; where an edge has more than one of each, the n-th
    of one direction is joined with the n-th of the other.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    m = len(faces)
    edge = _directed_edges(faces)
    face, slot = np.tile(np.arange(m), 3), np.repeat(np.arange(3), m)
    order = np.argsort(_edge_key(edge), kind="stable")
    back = np.argsort(_edge_key(edge[:, ::-1]), kind="stable")
    here, there = _pair(_edge_key(edge)[order], _edge_key(edge[:, ::-1])[back])
    here, there = order[here], back[there]
    # The edge runs a -> b here and b -> a there: corner a here is the end of the edge there.
    a = np.concatenate([face[here] * 3 + slot[here], face[here] * 3 + (slot[here] + 1) % 3])
    b = np.concatenate([face[there] * 3 + (slot[there] + 1) % 3, face[there] * 3 + slot[there]])
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), shape=(3 * m, 3 * m))
    return connected_components(graph, directed=False)[1].reshape(m, 3)


def _pair(x: Int[np.ndarray, "n"], y: Int[np.ndarray, "n"]) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """Positions in two sorted lists of the n-th occurrence of each common value."""
    rank_x = np.arange(len(x)) - np.searchsorted(x, x)
    start = np.searchsorted(y, x)
    there = start + rank_x
    ok = there < len(y)
    ok[ok] = y[there[ok]] == x[ok]
    return np.flatnonzero(ok), there[ok]


def drop_pieces(mesh: Mesh, seen: Bool[np.ndarray, "n"]) -> Mesh:
    """Without specks, unseen phantoms and cavities inside the solid; the largest piece always stays."""
    label = _pieces(mesh)
    count = int(label.max()) + 1
    area = np.linalg.norm(face_area_vectors(mesh.vertices, mesh.faces), axis=1)
    of_face = label[mesh.faces[:, 0]]
    piece_area = np.bincount(of_face, area, count)
    volume = np.bincount(of_face, _face_volumes(mesh), count)
    used = np.bincount(label, minlength=count)
    seen_share = np.bincount(label, seen, count) / np.maximum(used, 1)
    keep = (piece_area > MIN_AREA_SHARE * area.sum()) & (volume > 0) & (seen_share > MIN_SEEN_SHARE)
    keep[np.argmax(volume)] = True
    return compact(Mesh(mesh.vertices, mesh.faces[keep[of_face]]))


def compact(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no face uses."""
    used, faces = np.unique(mesh.faces, return_inverse=True)
    return Mesh(mesh.vertices[used], faces.reshape(-1, 3).astype(np.int32))


def _pieces(mesh: Mesh) -> Int[np.ndarray, "n"]:
    from scipy.sparse.csgraph import connected_components

    return connected_components(adjacency(mesh), directed=False)[1]


def adjacency(mesh: Mesh) -> csr_matrix:
    """Vertex adjacency as a symmetric sparse 0/1 matrix (scipy csr)."""
    from scipy.sparse import coo_matrix

    edge = _directed_edges(mesh.faces)
    n = len(mesh.vertices)
    matrix = coo_matrix((np.ones(len(edge)), (edge[:, 0], edge[:, 1])), shape=(n, n)).tocsr()
    matrix = matrix + matrix.T
    matrix.data[:] = 1.0
    return matrix


def uniform_laplacian(mesh: Mesh) -> csr_matrix:
    """What takes vertices to their offsets from the mean of their neighbours (scipy csr)."""
    from scipy.sparse import csr_matrix, diags, identity

    neighbours = adjacency(mesh)
    degree = np.maximum(np.asarray(neighbours.sum(1)).ravel(), 1)
    return csr_matrix(identity(len(degree)) - diags(1 / degree) @ neighbours)


def _face_volumes(mesh: Mesh) -> Float[np.ndarray, "m"]:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] - mesh.vertices.mean(0) for k in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
