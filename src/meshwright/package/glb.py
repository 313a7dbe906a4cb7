"""Our own GLB 2.0 writer: one mesh, one core PBR material, no errors, warnings or hints in the Khronos validator.

Positions keep the result's world axes, which are glTF's already when no cameras were given (+Y up, front +Z).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.container import BufferBuilder, pack_glb
from meshwright.package.gltf_material import UNLIT, material_entry, material_maps, texture_entries
from meshwright.package.pixels import ImageFormat, srgb_to_linear
from meshwright.package.prepare import far_origin

GENERATOR = "meshwright"
FLOAT, UINT16, UINT32 = 5126, 5123, 5125
VERTEX_TARGET, INDEX_TARGET = 34962, 34963
COMPONENTS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


@dataclass(frozen=True)
class Frame:
    """What the numbers of a result mean: whose axes, and what one unit is.

    ``axes`` is "canonical" (+Y up, front +Z, diagonal 1) or "given" (the world of the cameras that were handed in).
    """

    axes: Literal["canonical", "given"] = "canonical"
    scale: Literal["metric", "relative"] = "relative"

    @property
    def unit(self) -> str:
        """ "metre" for metric results, else "unit"."""
        return "metre" if self.scale == "metric" else "unit"

    def to_json(self) -> dict[str, str]:
        """The form used in files."""
        return {"frame": self.axes, "scale": self.scale, "unit": self.unit}


@dataclass(frozen=True)
class GlbOptions:
    """How the GLB is written: ``image`` is the textures' format inside the file.

    ``unlit`` adds KHR_materials_unlit to a mesh without a material; one that has a material is there to be lit.
    Tangents are written in any case where a normal texture needs them.
    """

    image: ImageFormat = "png"
    unlit: bool = False
    tangents: bool = True


def write_glb(
    mesh: TexturedMesh,
    *,
    frame: Frame = Frame(),
    options: GlbOptions = GlbOptions(),
    texture_png: bytes | None = None,
) -> bytes:
    """The bytes of a GLB file of a `publishable` mesh.

    ``texture_png`` spares encoding the texture a second time. Vertex colours are written (linear, as glTF wants them)
    only where there is no texture, since glTF would multiply the two.
    """
    buffer, accessors = BufferBuilder(), []
    origin = far_origin(mesh.vertices)
    primitive = {
        "attributes": _attributes(mesh, origin, options, buffer, accessors),
        "indices": _add_indices(mesh, buffer, accessors),
        "material": 0,
        "mode": 4,
    }
    textures = texture_entries(mesh, options.image, texture_png, buffer)
    document = glb_document(mesh, frame, options, origin, primitive) | textures
    document |= {"accessors": accessors, "bufferViews": buffer.views}
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    return pack_glb(document, bytes(buffer.data))


def generator() -> str:
    """What ``asset.generator`` says."""
    from meshwright.package.versions import own_version

    return f"{GENERATOR} {own_version()}"


def _attributes(
    mesh: TexturedMesh,
    origin: np.ndarray,
    options: GlbOptions,
    buffer: BufferBuilder,
    accessors: list[dict[str, Any]],
) -> dict[str, int]:
    def add(values: np.ndarray, bounds: bool = False) -> int:
        values = np.ascontiguousarray(values, "<f4")
        accessor = {
            "bufferView": buffer.add(values.tobytes(), VERTEX_TARGET),
            "componentType": FLOAT,
            "count": len(values),
            "type": COMPONENTS[values.shape[1]],
        }
        if bounds:
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        accessors.append(accessor)
        return len(accessors) - 1

    found = {"POSITION": add(mesh.vertices - origin, bounds=True), "NORMAL": add(mesh.normals)}
    if mesh.uv is not None and mesh.texture is not None:
        if mesh.tangents is not None and (options.tangents or "normal" in material_maps(mesh.material)):
            found["TANGENT"] = add(mesh.tangents)
        found["TEXCOORD_0"] = add(mesh.uv)
    elif mesh.colors is not None:
        found["COLOR_0"] = add(srgb_to_linear(mesh.colors / 255.0))
    return found


def _add_indices(mesh: TexturedMesh, buffer: BufferBuilder, accessors: list[dict[str, Any]]) -> int:
    """Indices as uint16 where they fit; 65535 itself is reserved (primitive restart)."""
    short = len(mesh.vertices) <= 65535
    values = np.ascontiguousarray(mesh.faces.ravel(), "<u2" if short else "<u4")
    view = buffer.add(values.tobytes(), INDEX_TARGET)
    kind = UINT16 if short else UINT32
    accessors.append({"bufferView": view, "componentType": kind, "count": len(values), "type": "SCALAR"})
    return len(accessors) - 1


def glb_document(
    mesh: TexturedMesh, frame: Frame, options: GlbOptions, origin: np.ndarray, primitive: dict[str, Any]
) -> dict[str, Any]:
    """The glTF document of one primitive, without accessors, buffers and textures."""
    unlit = options.unlit and mesh.material is None
    node: dict[str, Any] = {"mesh": 0, "name": "object"}
    if origin.any():
        node["translation"] = origin.tolist()
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": generator(), "extras": frame.to_json()},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": [primitive], "name": "object"}],
        "materials": [material_entry(mesh, unlit)],
    }
    return document | ({"extensionsUsed": [UNLIT]} if unlit else {})
