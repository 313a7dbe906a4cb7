"""Refuses the glTF documents that trimesh would read wrongly without a word, and those that would fill the memory."""

from __future__ import annotations

from typing import Any

from meshwright.errors import FileTooLarge, InvalidFileFormat
from meshwright.package.draco import EXTENSION as DRACO
from meshwright.package.draco import require_draco

FLOAT = 5126
MAX_COUNT = 20_000_000  # elements of one accessor: 5,000,000 faces have 15,000,000 indices
HARMLESS = ("KHR_materials_", "KHR_lights_punctual", "EXT_texture_webp", "KHR_xmp", "KHR_node_visibility")


def check_document(document: dict[str, Any], name: str) -> None:
    """Check the JSON of a glTF file by what our reading of it (through trimesh 5.2) cannot do.

    Raises:
        InvalidFileFormat: reason ``gltf_unsupported``: a required extension that is not read (meshopt, quantization,
            basis textures), normalised integer texture coordinates, a texture transform, a second uv set.
        InputError: reason ``extra_missing`` for Draco without DracoPy.
        FileTooLarge: reason ``mesh_too_large``, when an accessor claims more than 20 million elements.
    """
    required = _strings(document.get("extensionsRequired"))
    if DRACO in required:
        require_draco()
    foreign = [item for item in required if item != DRACO and not item.startswith(HARMLESS)]
    if foreign:
        raise _unsupported(name, f"needs the extension {foreign[0]}")
    accessors = _objects(document.get("accessors"))
    if any(not isinstance(a.get("count"), int) or a["count"] > MAX_COUNT for a in accessors):
        raise FileTooLarge(
            f"{name} claims more than {MAX_COUNT:,} elements in an array.",
            suggestion="Simplify the mesh first, or export it again.",
            reason="mesh_too_large",
        )
    for mesh in _objects(document.get("meshes")):
        for primitive in _objects(mesh.get("primitives")):
            index = primitive.get("attributes", {}).get("TEXCOORD_0")
            if isinstance(index, int) and 0 <= index < len(accessors) and accessors[index]["componentType"] != FLOAT:
                raise _unsupported(name, "has texture coordinates as integers")
    for material in _objects(document.get("materials")):
        texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture") or {}
        if texture.get("texCoord", 0) != 0:
            raise _unsupported(name, "has its colours on a second set of texture coordinates")
        if "KHR_texture_transform" in texture.get("extensions", {}):
            raise _unsupported(name, "has a texture transform")


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _unsupported(name: str, what: str) -> InvalidFileFormat:
    return InvalidFileFormat(
        f"{name} {what}, which is not read here.",
        suggestion="Export it as plain glTF 2.0 (for example `gltf-transform dequantize` or Blender's export).",
        reason="gltf_unsupported",
    )
