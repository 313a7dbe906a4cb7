"""``mesh.draco.glb``: the same mesh with KHR_draco_mesh_compression, through DracoPy (extra ``draco``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshwright.errors import InputError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.container import BufferBuilder, pack_glb
from meshwright.package.glb import COMPONENTS, FLOAT, UINT32, Frame, GlbOptions, glb_document
from meshwright.package.gltf_material import material_maps, texture_entries
from meshwright.package.pixels import srgb_to_linear, to_uint8
from meshwright.package.prepare import far_origin

EXTENSION = "KHR_draco_mesh_compression"
UINT8 = 5121
TANGENT_ID = 0  # of the attribute inside the payload; the encoder numbers the others after it
# Half a step of 16 bits is 1/130,000 of the object; 12 bits place a texture coordinate within half a texel of 4096.
POSITION_BITS, UV_BITS, NORMAL_BITS, LEVEL = 16, 12, 10, 7


def write_draco_glb(mesh: TexturedMesh, *, frame: Frame | None = None, options: GlbOptions | None = None) -> bytes:
    """The bytes of a Draco-compressed GLB of a `publishable` mesh; textures are JPEG unless ``options`` says PNG.

    Vertices are re-ordered by the encoder and lossy within the bits above; tangents are left out where no normal
    texture needs them, and exact where one does.

    Raises:
        InputError: reason ``extra_missing``, when DracoPy is not installed.
    """
    options = options or GlbOptions(image="jpeg")
    buffer, accessors, origin = BufferBuilder(), [], far_origin(mesh.vertices)
    primitive = _primitive(mesh, origin, buffer, accessors)
    textures = texture_entries(mesh, options.image, None, buffer)
    document = glb_document(mesh, frame or Frame(), options, origin, primitive) | textures
    document["extensionsUsed"] = [EXTENSION, *document.get("extensionsUsed", [])]
    document["extensionsRequired"] = [EXTENSION]
    document |= {"accessors": accessors, "bufferViews": buffer.views}
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    return pack_glb(document, bytes(buffer.data))


def require_draco() -> Any:
    """The DracoPy module, or the error that says how to get it."""
    try:
        import DracoPy
    except ImportError as error:
        raise InputError(
            "Draco compression needs the package DracoPy, which is not installed.",
            suggestion="Install it with: pip install 'meshwright[draco]'",
            reason="extra_missing",
            extra="draco",
        ) from error
    return DracoPy


def _primitive(
    mesh: TexturedMesh, origin: np.ndarray, buffer: BufferBuilder, accessors: list[dict[str, Any]]
) -> dict[str, Any]:
    """Encode, decode again for the counts and bounds that accessors must state, and describe."""
    draco = require_draco()
    payload = draco.encode(
        np.asarray(mesh.vertices - origin, np.float32),
        mesh.faces.astype(np.uint32),
        quantization_bits=POSITION_BITS,
        compression_level=LEVEL,
        tex_coord_quantization_bits=UV_BITS,
        normal_quantization_bits=NORMAL_BITS,
        **_optional(mesh),
    )
    decoded = draco.decode(payload)
    kinds = draco.AttributeType
    names = {kinds.POSITION: "POSITION", kinds.NORMAL: "NORMAL", kinds.TEX_COORD: "TEXCOORD_0", kinds.COLOR: "COLOR_0"}
    names[kinds.GENERIC] = "TANGENT"
    attributes, identifiers = {}, {}
    for attribute in decoded.attributes:
        name = names[attribute["attribute_type"]]
        attributes[name], identifiers[name] = len(accessors), attribute["unique_id"]
        accessors.append(_accessor(name, np.asarray(attribute["data"])))
    accessors.append({"componentType": UINT32, "count": int(decoded.faces.size), "type": "SCALAR"})
    extension = {"bufferView": buffer.add(payload), "attributes": identifiers}
    return {
        "attributes": attributes,
        "indices": len(accessors) - 1,
        "material": 0,
        "mode": 4,
        "extensions": {EXTENSION: extension},
    }


def _optional(mesh: TexturedMesh) -> dict[str, Any]:
    found: dict[str, Any] = {"normals": mesh.normals.astype(np.float64)}
    if mesh.uv is not None and mesh.texture is not None:
        found["tex_coord"] = mesh.uv.astype(np.float64)
        if mesh.tangents is not None and "normal" in material_maps(mesh.material):
            found["generic_attributes"] = {TANGENT_ID: np.ascontiguousarray(mesh.tangents, np.float32)}
    elif mesh.colors is not None:
        found["colors"] = to_uint8(srgb_to_linear(mesh.colors / 255.0))
    return found


def _accessor(name: str, values: np.ndarray) -> dict[str, Any]:
    accessor: dict[str, Any] = {"componentType": FLOAT, "count": len(values), "type": COMPONENTS[values.shape[1]]}
    if name == "POSITION":
        values = values.astype(np.float32)
        accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
    if name == "COLOR_0":
        accessor |= {"componentType": UINT8, "normalized": True}
    return accessor
