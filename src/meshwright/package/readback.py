"""Reads a mesh file of any tool through trimesh into our inner convention: one mesh, one texture, uv from the top left.

Nothing outside the file's own folder is read, and nothing that is missing is passed over in silence.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meshwright.errors import FileTooLarge, InputError, InvalidFileFormat, MeshwrightError
from meshwright.geometry.mesh import PLAIN_GREY, TexturedMesh, face_area_vectors, vertex_normals
from meshwright.package.container import unpack_glb
from meshwright.package.draco_check import check_draco
from meshwright.package.foreign_material import MaterialReader
from meshwright.package.gltf_gate import check_document
from meshwright.package.gltf_material import material_maps
from meshwright.package.merge import Part, Skin, merge_parts
from meshwright.package.pixels import linear_to_srgb, rgb_array, times_linear, to_uint8
from meshwright.package.prepare import MAX_FACES
from meshwright.package.resolver import folder_resolver

if TYPE_CHECKING:
    import trimesh

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl")
LINEAR_COLORS = (".glb", ".gltf")
MAX_BYTES = 2**30
MAX_COORDINATE = 1e12  # beyond it, areas and volumes lose all digits
MAX_TILES = 10_000.0  # texture coordinates this large are damage, not tiling
HINTS = {"mesh_empty": "Export the mesh with its triangles.", "mesh_not_finite": "Repair the mesh in its own tool."}


def load_mesh(path: str | Path) -> TexturedMesh:
    """The mesh in a GLB, glTF, OBJ, PLY or STL file.

    Scenes are merged: node transforms applied, several textures packed into one, tiled textures repeated, flat and
    vertex colours kept. Base colour factors multiply the texture; alpha and vertex colours over a texture are ignored.
    Metalness, roughness and normal textures become the mesh's material where all parts share them and one texture.

    Raises:
        InputError: reason ``mesh_not_found`` or ``mesh_format_unknown``.
        FileTooLarge: over 1 GiB, 5,000,000 faces or 16384 x 16384 texture pixels.
        InvalidFileFormat: reason ``mesh_unreadable``, ``glb_corrupt``, ``mesh_empty``, ``mesh_not_finite``,
            ``mesh_bad_indices``, ``mesh_degenerate``, ``reference_missing`` or ``reference_outside``.
    """
    source = Path(path)
    materials = MaterialReader(_check_file(source), folder_resolver(source))
    parts = [_part(*item, source=source, materials=materials) for item in _geometries(source)]
    if not parts:
        raise _invalid(source, "mesh_empty", "holds no triangles")
    mesh = merge_parts(parts, PLAIN_GREY)
    if not (face_area_vectors(mesh.vertices, mesh.faces) != 0).any():
        raise _invalid(source, "mesh_degenerate", "has only triangles without area")
    return mesh


def _check_file(source: Path) -> dict[str, Any]:
    """The glTF document of a file that may be opened; empty for other formats."""
    if not source.is_file():
        raise InputError(f"There is no mesh file {source}.", suggestion="Check the path.", reason="mesh_not_found")
    if source.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{source.name} has a format that is not read here.",
            suggestion=f"Export it as one of {', '.join(SUFFIXES)}.",
            reason="mesh_format_unknown",
        )
    size = source.stat().st_size
    if size > MAX_BYTES:
        raise _too_large(source, f"{size / 2**30:.1f} GiB")
    if size == 0:
        raise _invalid(source, "mesh_empty", "is empty")
    return _check_gltf(source) if source.suffix.lower() in LINEAR_COLORS else {}


def _check_gltf(source: Path) -> dict[str, Any]:
    data = source.read_bytes()
    try:
        document, binary = unpack_glb(data, source.name) if source.suffix.lower() == ".glb" else (json.loads(data), b"")
        check_document(document, source.name)
        check_draco(document, binary, source.name, folder_resolver(source).get)
        return document
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid(
            source, "mesh_unreadable", f"is not a glTF document ({type(error).__name__}: {error})"
        ) from error


def _geometries(source: Path) -> list[tuple[trimesh.Trimesh, np.ndarray]]:
    """Each triangle mesh of the file with its node's transform."""
    import trimesh

    resolver = folder_resolver(source)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), source.open("rb") as stream:
            warnings.simplefilter("ignore")
            kind = source.suffix.lower()[1:]
            scene = trimesh.load_scene(stream, file_type=kind, resolver=resolver, process=False)
            nodes = [scene.graph[name] for name in scene.graph.nodes_geometry]
    except MemoryError as error:
        raise _too_large(source, "more than this machine's memory") from error
    except Exception as error:  # trimesh raises whatever its parsers meet
        resolver.raise_refused()
        raise _invalid(source, "mesh_unreadable", f"cannot be read ({type(error).__name__}: {error})") from error
    resolver.raise_refused()
    found = [(scene.geometry[name], np.asarray(transform, float)) for transform, name in nodes]
    return [item for item in found if isinstance(item[0], trimesh.Trimesh) and len(item[0].faces)]


def _part(geometry: trimesh.Trimesh, transform: np.ndarray, *, source: Path, materials: MaterialReader) -> Part:
    vertices, faces = np.asarray(geometry.vertices, float), np.asarray(geometry.faces, np.int64)
    _check_geometry(source, vertices, faces, transform)
    with np.errstate(all="ignore"):
        given = np.array(geometry.vertex_normals, float)  # the file's, else those of the faces
    normals = np.clip(np.nan_to_num(given, posinf=0.0, neginf=0.0), -1e3, 1e3)
    linear = transform[:3, :3]
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]
    vertices = np.where(np.abs(vertices) < MAX_COORDINATE, vertices, 0.0) @ linear.T + transform[:3, 3]
    turned = normals @ np.linalg.pinv(linear)
    part = Part(vertices, faces.astype(np.int32), _unit(turned, vertices, faces))
    try:
        return _with_material(_with_colors(part, geometry, source), geometry, materials)
    except MeshwrightError:
        raise
    except (OSError, SyntaxError, ValueError, IndexError, TypeError) as error:
        raise _invalid(source, "mesh_unreadable", f"has colours or a texture that cannot be read ({error})") from error


def _check_geometry(source: Path, vertices: np.ndarray, faces: np.ndarray, transform: np.ndarray) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise _invalid(source, "mesh_unreadable", "has positions or faces that are not triples")
    if len(faces) > MAX_FACES:
        raise _too_large(source, f"{len(faces)} faces")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise _invalid(source, "mesh_bad_indices", "has a face that names a vertex that does not exist")
    used = np.concatenate([vertices[np.unique(faces)].ravel(), transform.ravel()])
    if not (np.abs(used) < MAX_COORDINATE).all():
        raise _invalid(source, "mesh_not_finite", "has positions that are not finite, or beyond 1e12")


def _unit(normals: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    good = np.isfinite(length) & (length > 1e-12)
    return np.where(good, normals / np.where(good, length, 1.0), vertex_normals(np.nan_to_num(vertices), faces))


def _with_colors(part: Part, geometry: trimesh.Trimesh, source: Path) -> Part:
    """The part with its texture, its vertex colours or its flat colour."""
    visual: Any = geometry.visual
    if visual.kind == "texture":
        image, factor = _material(visual.material, source)
        if image is not None and visual.uv is not None and len(visual.uv) == len(part.vertices):
            uv = np.asarray(visual.uv, float)[:, :2]
            if not (np.abs(uv) < MAX_TILES).all():
                raise _invalid(
                    source, "mesh_not_finite", "has texture coordinates that are not finite or beyond 10,000"
                )
            return replace(part, skin=Skin(np.stack([uv[:, 0], 1.0 - uv[:, 1]], 1), times_linear(image, factor)))
        raw = visual.vertex_attributes.get("color")
        colors = None if raw is None or len(raw) != len(part.vertices) else _unit_range(np.asarray(raw)[:, :3])
        flat = to_uint8(linear_to_srgb(factor)) if source.suffix.lower() in LINEAR_COLORS else to_uint8(factor)
        if colors is None:
            return replace(part, colors=np.broadcast_to(flat, part.vertices.shape))
        return replace(part, colors=to_uint8(linear_to_srgb(colors * factor)))
    if visual.kind == "vertex":
        return replace(part, colors=_file_colors(np.asarray(visual.vertex_colors)[:, :3], source))
    if visual.kind == "face":
        split = part.split()
        return replace(split, colors=np.repeat(_file_colors(np.asarray(visual.face_colors)[:, :3], source), 3, axis=0))
    return part


def _with_material(part: Part, geometry: trimesh.Trimesh, materials: MaterialReader) -> Part:
    """The part with how it shines; without a base colour texture only numbers apply."""
    visual: Any = geometry.visual
    material = materials.read(visual.material) if visual.kind == "texture" else None
    if material is not None and part.skin is None and material_maps(material):
        return part
    return replace(part, material=material)


def _file_colors(values: np.ndarray, source: Path) -> np.ndarray:
    """uint8 sRGB of vertex colours as trimesh holds them: linear from glTF, sRGB from the others."""
    if source.suffix.lower() in LINEAR_COLORS:
        return to_uint8(linear_to_srgb(_unit_range(values)))
    return to_uint8(_unit_range(values))


def _unit_range(values: np.ndarray) -> np.ndarray:
    """Integers by their full range, floats as they are."""
    return values / np.iinfo(values.dtype).max if values.dtype.kind in "ui" else np.clip(values, 0.0, 1.0)


def _material(material: Any, source: Path) -> tuple[np.ndarray | None, np.ndarray]:
    """The base colour image and the factor (3,): linear for glTF's materials, sRGB for OBJ's."""
    if source.suffix.lower() in LINEAR_COLORS:
        image, factor = material.baseColorTexture, material.baseColorFactor
        # trimesh holds the factor as uint8; glTF's default is white.
        values = np.ones(3) if factor is None else _unit_range(np.asarray(factor))[:3]
    else:
        image = getattr(material, "image", None)
        values = np.ones(3) if image is not None else _unit_range(np.asarray(material.diffuse))[:3]
    return (None if image is None else rgb_array(image, f"the texture of {source.name}")), values


def _invalid(source: Path, reason: str, what: str) -> InvalidFileFormat:
    hint = HINTS.get(reason, "Export the mesh again from its own tool.")
    return InvalidFileFormat(f"{source.name} {what}.", suggestion=hint, reason=reason)


def _too_large(source: Path, what: str) -> FileTooLarge:
    return FileTooLarge(
        f"{source.name} has {what}.",
        suggestion="Simplify the mesh first: at most 5,000,000 faces, 1 GiB and 16384 x 16384 texels are read.",
        reason="mesh_too_large",
    )
