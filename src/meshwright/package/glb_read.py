"""Our own strict GLB reader: the inverse of `glb.write_glb`, and the runtime check that a written file is sound.

It reads core glTF with one primitive, as we write it; `readback.load_mesh` reads files of any other tool.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from meshwright.geometry.material import Material
from meshwright.geometry.mesh import TexturedMesh, vertex_normals
from meshwright.package.container import broken_glb, unpack_glb
from meshwright.package.gltf_material import read_material
from meshwright.package.pixels import decode_rgb, linear_to_srgb, to_uint8
from meshwright.package.prepare import material_fault

DTYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def read_glb(data: bytes, name: str = "mesh.glb") -> TexturedMesh:
    """The mesh in a GLB file of ours, with vertex positions in the world (the node's translation applied).

    Raises:
        InvalidFileFormat: reason ``glb_corrupt``, when the file breaks a rule of the format that matters for us: chunk
            and accessor bounds, min/max, finite values, unit normals, tangents, indices, material factors.
    """
    document, binary = unpack_glb(data, name)
    try:
        return _Reader(document, binary, name).mesh()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise broken_glb(name, f"a part that it refers to is not there or not of its kind ({error!r})") from error


class _Reader:
    def __init__(self, document: dict[str, Any], binary: bytes, name: str) -> None:
        self.document, self.binary, self.name = document, binary, name

    def mesh(self) -> TexturedMesh:
        """The one primitive of the one mesh."""
        (primitive,) = self.document["meshes"][0]["primitives"]
        attributes = {key: self.accessor(index) for key, index in primitive["attributes"].items()}
        vertices = attributes["POSITION"].astype(float) + np.array(
            self.document["nodes"][0].get("translation", [0.0, 0.0, 0.0])
        )
        faces = self.accessor(primitive["indices"]).reshape(-1, 3).astype(np.int64)
        self.check(vertices, faces, attributes)
        faces = faces.astype(np.int32)
        normals, colors = attributes.get("NORMAL"), attributes.get("COLOR_0")
        entry = self.document["materials"][primitive["material"]]
        texture = self.texture(entry["pbrMetallicRoughness"].get("baseColorTexture"))
        return TexturedMesh(
            vertices=vertices,
            faces=faces,
            normals=vertex_normals(vertices, faces) if normals is None else normals,
            uv=attributes.get("TEXCOORD_0"),
            texture=texture,
            tangents=attributes.get("TANGENT"),
            colors=None if colors is None else to_uint8(linear_to_srgb(colors[:, :3])),
            material=self.material(entry, bare=texture is None and colors is None),
        )

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view."""
        view = self.document["bufferViews"][index]
        begin, length = view.get("byteOffset", 0), view["byteLength"]
        if not 0 <= begin <= begin + length <= len(self.binary) or begin % 4:
            raise broken_glb(self.name, f"buffer view {index} lies outside the buffer or is not aligned")
        return self.binary[begin : begin + length]

    def accessor(self, index: int) -> np.ndarray:
        """An accessor's values, (count,) or (count, width)."""
        accessor = self.document["accessors"][index]
        width, kind = WIDTHS[accessor["type"]], np.dtype(DTYPES[accessor["componentType"]])
        payload = self.view(accessor["bufferView"])
        if len(payload) != accessor["count"] * width * kind.itemsize:
            raise broken_glb(self.name, f"accessor {index} does not fill its buffer view")
        values = np.frombuffer(payload, kind).reshape(-1, width)
        if kind.kind == "f" and not np.isfinite(values).all():
            raise broken_glb(self.name, f"accessor {index} has values that are not finite")
        if "min" in accessor and (list(values.min(0)) != accessor["min"] or list(values.max(0)) != accessor["max"]):
            raise broken_glb(self.name, f"min and max of accessor {index} do not match its values")
        return values[:, 0] if width == 1 else values

    def check(self, vertices: np.ndarray, faces: np.ndarray, attributes: dict[str, np.ndarray]) -> None:
        """The rules that join accessors."""
        if any(len(values) != len(vertices) for values in attributes.values()):
            raise broken_glb(self.name, "its attributes have unequal lengths")
        if not len(faces) or faces.max() >= len(vertices):
            raise broken_glb(self.name, "an index is out of range, or there are none")
        for key in {"NORMAL", "TANGENT"} & set(attributes):
            length = np.linalg.norm(attributes[key][:, :3].astype(float), axis=1)
            if np.abs(length - 1).max() > 1e-3:
                raise broken_glb(self.name, f"its {key.lower()}s are not of unit length")
        if "TANGENT" in attributes and not np.isin(attributes["TANGENT"][:, 3], (-1.0, 1.0)).all():
            raise broken_glb(self.name, "a tangent's w is neither -1 nor 1")

    def material(self, entry: dict[str, Any], *, bare: bool) -> Material | None:
        """The material beside the base colour texture."""
        material = read_material(entry, self.pixels, bare=bare)
        fault = None if material is None else material_fault(material)
        if fault is not None:
            raise broken_glb(self.name, f"it {fault}")
        return material

    def texture(self, reference: dict[str, Any] | None) -> np.ndarray | None:
        """The base colour image, if any."""
        return None if reference is None else self.pixels(reference)

    def pixels(self, reference: dict[str, Any]) -> np.ndarray:
        """The image behind a texture reference."""
        image = self.document["images"][self.document["textures"][reference["index"]]["source"]]
        return decode_rgb(self.view(image["bufferView"]), f"the texture of {self.name}")
