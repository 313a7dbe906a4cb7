"""Is the mesh sound: closed, manifold, consistently wound, free of slivers? Counted after welding equal positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.geometry.mesh import TexturedMesh, face_area_vectors, weld

DEGENERATE_AREA = 1e-12  # of the squared box diagonal: below float32's resolution of a position


@dataclass(frozen=True)
class MeshHealth:
    """Counts of the welded mesh; ``vertices`` and ``faces`` are those of the file, split along UV seams.

    ``watertight``: each edge has exactly two faces. ``winding_consistent``: no two faces run an edge in the same
    direction. ``outward``: the signed volume is positive (None where the mesh is open or inconsistent).
    """

    faces: int
    vertices: int
    welded_vertices: int
    watertight: bool
    components: int
    boundary_edges: int
    non_manifold_edges: int
    degenerate_faces: int
    winding_consistent: bool
    outward: bool | None
    texture_size: tuple[int, int] | None

    @property
    def complaints(self) -> list[str]:
        """What a downstream tool may stumble over, in words; empty for a sound mesh."""
        found = [
            (self.faces == 0, "the mesh has no faces"),
            (self.boundary_edges > 0, f"the mesh is open: {self.boundary_edges} boundary edges"),
            (self.non_manifold_edges > 0, f"{self.non_manifold_edges} edges have more than two faces"),
            (not self.winding_consistent, "faces are wound inconsistently"),
            (self.outward is False, "the mesh is inside out"),
            (self.degenerate_faces > 0, f"{self.degenerate_faces} faces have no area"),
        ]
        return [text for applies, text in found if applies]


def mesh_health(mesh: TexturedMesh) -> MeshHealth:
    """The health of a mesh, which may be empty or arbitrarily broken."""
    welded = weld(np.asarray(mesh.vertices, float), mesh.faces) if len(mesh.faces) else mesh.geometry()
    degenerate = _degenerate(welded.vertices, welded.faces)
    faces = welded.faces[~degenerate]
    boundary, crowded, consistent = _edge_counts(faces, len(welded.vertices))
    closed = len(faces) > 0 and boundary == 0 and crowded == 0
    return MeshHealth(
        faces=len(mesh.faces),
        vertices=len(mesh.vertices),
        welded_vertices=len(welded.vertices),
        watertight=closed,
        components=_components(faces, len(welded.vertices)),
        boundary_edges=boundary,
        non_manifold_edges=crowded,
        degenerate_faces=int(degenerate.sum()),
        winding_consistent=consistent,
        outward=bool(signed_volume(welded.vertices, faces) > 0) if closed and consistent else None,
        texture_size=None if mesh.texture is None else (mesh.texture.shape[1], mesh.texture.shape[0]),
    )


def signed_volume(vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> float:
    """Volume enclosed by a closed mesh, in cubic world units; negative when it is inside out."""
    a, b, c = (vertices[faces[:, k]] - vertices.mean(0) for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _degenerate(vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> Bool[np.ndarray, "m"]:
    if len(faces) == 0:
        return np.zeros(0, bool)
    area = 0.5 * np.linalg.norm(face_area_vectors(vertices, faces), axis=1)
    diagonal = np.linalg.norm(np.ptp(vertices[np.unique(faces)], axis=0))
    return area <= DEGENERATE_AREA * diagonal**2


def _edge_counts(faces: Int[np.ndarray, "m 3"], n: int) -> tuple[int, int, bool]:
    """Edges of one face, edges of three or more, and whether every directed edge occurs only once."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    undirected = np.sort(directed, axis=1)
    _, uses = np.unique(undirected[:, 0] * n + undirected[:, 1], return_counts=True)
    _, runs = np.unique(directed[:, 0] * n + directed[:, 1], return_counts=True)
    return int((uses == 1).sum()), int((uses > 2).sum()), bool((runs == 1).all())


def _components(faces: Int[np.ndarray, "m 3"], n: int) -> int:
    """Connected components of the faces, joined through shared vertices."""
    if len(faces) == 0:
        return 0
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    return len(np.unique(labels[faces[:, 0]]))
