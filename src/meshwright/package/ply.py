"""Binary PLY and STL: welded geometry for measuring tools, with normals and colours per vertex in the PLY."""

from __future__ import annotations

import struct

import numpy as np

from meshwright.geometry.mesh import TexturedMesh, face_area_vectors
from meshwright.package.pixels import sample_texture
from meshwright.package.prepare import Welded, far_origin, weld_positions

NAMES = {"<f4": "float", "<f8": "double", "u1": "uchar"}


def write_ply(mesh: TexturedMesh) -> bytes:
    """The bytes of ``mesh.ply`` of a `publishable` mesh: little endian, welded, so watertight where the surface is.

    Colours (sRGB) are the texture's under each vertex; ``invented`` is 1 where no view saw the vertex. Positions are
    double where the object lies far from the origin.
    """
    welded = weld_positions(mesh)
    columns = _columns(mesh, welded)
    vertices = np.zeros(len(welded.vertices), [(name, kind) for name, kind, _ in columns])
    for name, _, values in columns:
        vertices[name] = values
    faces = np.zeros(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, welded.corner[mesh.faces]
    properties = "".join(f"property {NAMES[kind]} {name}\n" for name, kind, _ in columns)
    head = (
        "ply\nformat binary_little_endian 1.0\ncomment meshwright\n"
        f"element vertex {len(vertices)}\n{properties}"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    return head.encode() + vertices.tobytes() + faces.tobytes()


def write_stl(mesh: TexturedMesh) -> bytes:
    """The bytes of ``mesh.stl``: binary, one record a triangle; positions lose what float32 cannot hold."""
    areas = face_area_vectors(np.asarray(mesh.vertices, float), mesh.faces)
    record = np.zeros(len(mesh.faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    record["normal"] = areas / np.maximum(np.linalg.norm(areas, axis=1, keepdims=True), 1e-30)
    record["corners"] = mesh.vertices[mesh.faces]
    return b"meshwright binary STL".ljust(80, b"\0") + struct.pack("<I", len(record)) + record.tobytes()


def vertex_colors(mesh: TexturedMesh) -> np.ndarray | None:
    """Colours (n, 3) uint8 sRGB per vertex: the texture's, else the mesh's own, else None."""
    if mesh.texture is not None and mesh.uv is not None:
        return sample_texture(mesh.texture, mesh.uv)
    return mesh.colors


def _columns(mesh: TexturedMesh, welded: Welded) -> list[tuple[str, str, np.ndarray]]:
    """Name, type and values of every vertex property."""
    real = "<f8" if far_origin(mesh.vertices).any() else "<f4"
    normals = welded.average(mesh.normals)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 1e-8, normals / np.maximum(length, 1e-8), [0.0, 1.0, 0.0])
    columns = [(name, real, welded.vertices[:, k]) for k, name in enumerate("xyz")]
    columns += [(name, "<f4", normals[:, k]) for k, name in enumerate(("nx", "ny", "nz"))]
    colors = vertex_colors(mesh)
    if colors is not None:
        mean = np.rint(welded.average(colors.astype(float)))
        columns += [(name, "u1", mean[:, k]) for k, name in enumerate(("red", "green", "blue"))]
    if mesh.invented is not None:
        columns.append(("invented", "u1", welded.average(mesh.invented[:, None].astype(float))[:, 0] >= 0.5))
    return columns
