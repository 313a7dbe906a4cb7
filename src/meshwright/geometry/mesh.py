"""Triangle meshes as immutable values: bare geometry, and the textured mesh that is handed out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from meshwright.geometry.material import Material

PLAIN_GREY = 191  # sRGB of a mesh without texture and colours, drawn, written and read; the evaluation set's grey


@dataclass(frozen=True, eq=False)
class Mesh:
    """Vertices (n, 3) float64 and faces (m, 3) int32, counter-clockwise seen from outside."""

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]

    def face_normals(self) -> Float[np.ndarray, "m 3"]:
        """Unit face normals; zero for degenerate faces."""
        scaled = face_area_vectors(self.vertices, self.faces)
        return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-30)

    def vertex_normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit vertex normals, area-weighted."""
        return vertex_normals(self.vertices, self.faces)


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh with one texture atlas, vertices split along UV seams.

    ``uv`` has its origin at the TOP left, v downwards (glTF's convention): texel centre (column i, row j) of a W x H
    texture is at ``((i + 0.5) / W, (j + 0.5) / H)``. ``texture`` is sRGB. ``tangents`` are glTF's (xyz, w).
    ``coverage`` says per texel where its colour comes from (see `Coverage`); ``invented`` says per vertex that no view
    saw that place.
    A mesh without texture has ``uv``, ``texture`` None and may have ``colors`` per vertex (uint8 sRGB).
    ``material`` says how it shines; without one it is matt.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "n 2"] | None = None
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    tangents: Float[np.ndarray, "n 4"] | None = None
    colors: UInt8[np.ndarray, "n 3"] | None = None
    coverage: UInt8[np.ndarray, "h w"] | None = None
    invented: Bool[np.ndarray, "n"] | None = None
    material: Material | None = None

    def geometry(self) -> Mesh:
        """The bare mesh (still split along seams)."""
        return Mesh(np.asarray(self.vertices, float), self.faces)

    def transformed(self, similarity: Float[np.ndarray, "4 4"]) -> TexturedMesh:
        """The mesh moved by a similarity with a proper rotation."""
        linear = similarity[:3, :3]
        rotation = linear / np.cbrt(np.linalg.det(linear))
        tangents = self.tangents
        if tangents is not None:
            tangents = np.concatenate([tangents[:, :3] @ rotation.T, tangents[:, 3:]], 1)
        return replace(
            self,
            vertices=self.vertices @ linear.T + similarity[:3, 3],
            normals=self.normals @ rotation.T,
            tangents=tangents,
        )


class Coverage:
    """Values of `TexturedMesh.coverage`."""

    EMPTY = 0  # outside every chart
    INVENTED = 1  # no view saw it: filled from the neighbourhood
    GRAZING = 2  # seen, but at 60 degrees of incidence or more in every view
    SEEN = 3  # seen below 60 degrees by at least one view


def face_area_vectors(vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
    """Cross products of face edges: outward, of length twice the area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> Float[np.ndarray, "n 3"]:
    """Unit vertex normals, area-weighted; +Y where a vertex has no face."""
    per_face = face_area_vectors(vertices, faces)
    total = np.zeros((len(vertices), 3))
    for axis in range(3):
        total[:, axis] = np.bincount(faces.ravel(), np.repeat(per_face[:, axis], 3), minlength=len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-30, total / np.maximum(length, 1e-30), np.array([0.0, 1.0, 0.0]))


def weld(vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> Mesh:
    """Merge vertices of equal position (undoes the split along UV seams)."""
    unique, inverse = np.unique(vertices, axis=0, return_inverse=True)
    return Mesh(np.asarray(unique, float), inverse.reshape(-1)[faces].astype(np.int32))
