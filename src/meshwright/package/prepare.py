"""The gate before anything is written: a mesh is checked, put in file precision and freed of what viewers choke on.

Every writer takes the mesh that `publishable` returns, so that all files of a result say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from meshwright.errors import EngineError
from meshwright.geometry.material import Material
from meshwright.geometry.mesh import TexturedMesh, vertex_normals
from meshwright.geometry.tangents import vertex_tangents
from meshwright.package.pixels import MAX_PIXELS

MIN_FACES = 4  # a tetrahedron: fewer faces enclose nothing
MAX_FACES = 5_000_000
# Beyond this many extents from the origin, float32 resolves the object worse than 1 part in 200,000.
FAR_EXTENTS = 64.0
MAX_SCALE = 1e6  # of normal textures: beyond it, every bump lies flat


def publishable(mesh: TexturedMesh) -> TexturedMesh:
    """The mesh as files hold it: float32, unit normals, orthogonal tangents with w = +-1, no degenerate triangle.

    Positions are float32 values about `far_origin`, so an object far from the world's origin keeps its detail.

    A mesh whose material has a normal texture gets tangents if it has none.

    Faces of which two corners coincide in float32 go (welded, they are empty), and so do vertices without a face.

    Raises:
        EngineError: reason ``bad_output``, when the mesh is not finite, has fewer than 4 or more than 5,000,000 faces,
            indices out of range, arrays of unequal length, or a material that glTF does not allow.
    """
    _check(mesh)
    origin = far_origin(mesh.vertices)
    vertices = (mesh.vertices - origin).astype(np.float32).astype(float) + origin
    faces = _without_degenerate(vertices, mesh.faces)
    if len(faces) < MIN_FACES:
        raise _bad_output(f"has only {len(faces)} faces that are not degenerate")
    mesh = _compacted(replace(mesh, vertices=vertices, faces=faces))
    normals, tangents = unit_normals(mesh), mesh.tangents
    if (
        tangents is None
        and mesh.uv is not None
        and mesh.material is not None
        and mesh.material.normal_texture is not None
    ):
        tangents = vertex_tangents(mesh.vertices, mesh.faces, normals.astype(float), mesh.uv.astype(float))
    return replace(
        mesh,
        normals=normals,
        tangents=None if tangents is None else _orthogonal(tangents, normals),
        uv=None if mesh.uv is None else mesh.uv.astype(np.float32),
    )


def material_fault(material: Material) -> str | None:
    """What of a material glTF does not allow, in words; None when it is sound."""
    numbers = {"metallic": material.metallic, "roughness": material.roughness}
    numbers |= {f"base_color[{channel}]": value for channel, value in enumerate(material.base_color)}
    for name, value in numbers.items():
        if not 0 <= value <= 1:
            return f"has a material whose {name} is {value:g}, outside 0..1"
    if len(material.base_color) != 3:
        return f"has a material whose base_color has {len(material.base_color)} numbers instead of 3"
    if not abs(material.normal_scale) < MAX_SCALE:
        return f"has a material whose normal_scale is {material.normal_scale:g}"
    for name in ("metallic_roughness", "normal_texture"):
        pixels = getattr(material, name)
        if pixels is None:
            continue
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            return f"has a {name} of shape {pixels.shape} and type {pixels.dtype} instead of (h, w, 3) and uint8"
        if not 0 < pixels.size <= 3 * MAX_PIXELS:
            return f"has a {name} of {pixels.shape[1]} x {pixels.shape[0]} texels"
    return None


def far_origin(vertices: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """The point about which positions are stored: zero, or the box centre where that is far away.

    The centre is rounded to the box's extent, so that a published mesh gives the same origin again.
    """
    low, high = vertices.min(0), vertices.max(0)
    extent = max(float((high - low).max()), 1e-30)
    centre = (low + high) / 2
    if np.abs(centre).max() <= FAR_EXTENTS * extent:
        return np.zeros(3)
    grid = 2.0 ** np.ceil(np.log2(extent))
    return np.round(centre / grid) * grid


def unit_normals(mesh: TexturedMesh) -> Float[np.ndarray, "n 3"]:
    """The mesh's normals as float32 of unit length; where they are zero or not finite, those of the faces."""
    length = np.linalg.norm(mesh.normals, axis=1, keepdims=True)
    bad = ~(np.isfinite(length[:, 0]) & (length[:, 0] > 1e-8))
    normals = mesh.normals / np.where(bad[:, None], 1.0, length)
    if bad.any():
        normals = np.where(bad[:, None], vertex_normals(np.asarray(mesh.vertices, float), mesh.faces), normals)
    return normals.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Welded:
    """Positions without the split along UV seams; ``corner[i]`` is the welded index of the mesh's vertex ``i``."""

    vertices: Float[np.ndarray, "k 3"]
    corner: Int[np.ndarray, "n"]

    def average(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "k c"]:
        """Mean of a per-vertex quantity over the vertices that fall together."""
        size = len(self.vertices)
        sums = [np.bincount(self.corner, values[:, column], minlength=size) for column in range(values.shape[1])]
        return np.stack(sums, 1) / np.bincount(self.corner, minlength=size)[:, None]


def weld_positions(mesh: TexturedMesh) -> Welded:
    """Merge vertices of equal position, numbered in the order of first use."""
    keys = np.ascontiguousarray(mesh.vertices + 0.0)  # -0.0 becomes 0.0: equal values have equal bytes
    rows = keys.view([("", keys.dtype)] * 3).reshape(-1)
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(first), np.int32)
    rank[order] = np.arange(len(first), dtype=np.int32)
    return Welded(mesh.vertices[first[order]], rank[inverse.reshape(-1)])


def _check(mesh: TexturedMesh) -> None:
    count = len(mesh.vertices)
    if not MIN_FACES <= len(mesh.faces) <= MAX_FACES:
        raise _bad_output(f"has {len(mesh.faces)} faces, outside {MIN_FACES}..{MAX_FACES}")
    if mesh.faces.min() < 0 or mesh.faces.max() >= count:
        raise _bad_output("has a face that names a vertex that does not exist")
    for name in ("vertices", "normals", "uv", "tangents", "colors"):
        values = getattr(mesh, name)
        if values is None:
            continue
        if len(values) != count:
            raise _bad_output(f"has {len(values)} {name} for {count} vertices")
        if name in ("vertices", "uv") and not np.isfinite(values).all():
            raise _bad_output(f"has {name} that are not finite numbers")
    if mesh.texture is not None and mesh.uv is None:
        raise _bad_output("has a texture but no texture coordinates")
    if mesh.material is not None:
        _check_material(mesh, mesh.material)


def _check_material(mesh: TexturedMesh, material: Material) -> None:
    fault = material_fault(material)
    if fault is not None:
        raise _bad_output(fault)
    if mesh.texture is None and (material.metallic_roughness is not None or material.normal_texture is not None):
        raise _bad_output("has a material with textures, but no base colour texture")


def _bad_output(what: str) -> EngineError:
    return EngineError(
        f"The reconstructed mesh {what}.",
        suggestion="Run again with other options or another engine; please report this with the capture.",
        reason="bad_output",
    )


def _without_degenerate(vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "k 3"]:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    empty = (a == b).all(1) | (b == c).all(1) | (c == a).all(1)
    return faces[~empty]


def _compacted(mesh: TexturedMesh) -> TexturedMesh:
    """Only the vertices that a face uses, in their order."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    number = np.cumsum(used) - 1
    names = ("vertices", "normals", "uv", "tangents", "colors", "invented")
    kept = {name: getattr(mesh, name)[used] for name in names if getattr(mesh, name) is not None}
    return replace(mesh, faces=number[mesh.faces].astype(np.int32), **kept)


def _orthogonal(tangents: Float[np.ndarray, "n 4"], normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    """Gram-Schmidt against the normals; where nothing is left, any direction in the tangent plane."""
    n = normals.astype(float)
    t = np.nan_to_num(tangents[:, :3].astype(float), posinf=0.0, neginf=0.0)
    t -= (t * n).sum(1, keepdims=True) * n
    lost = np.linalg.norm(t, axis=1) < 1e-6
    if lost.any():
        axis = np.eye(3)[np.abs(n[lost]).argmin(1)]
        t[lost] = np.cross(n[lost], axis)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    w = np.where(np.nan_to_num(tangents[:, 3:]) < 0, -1.0, 1.0)
    return np.concatenate([t, w], 1).astype(np.float32)
