"""A mesh's material as glTF's JSON says it: the base colour texture, then those of its `Material`, with their factors.

Roughness lies in the G channel of one texture, metalness in its B channel, both linear; normals have green up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.geometry.material import MATT, Material
from meshwright.geometry.mesh import PLAIN_GREY, TexturedMesh
from meshwright.package.container import BufferBuilder
from meshwright.package.pixels import MIME_TYPES, ImageFormat, encode_image, srgb_to_linear

LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE, REPEAT = 9729, 9987, 33071, 10497
UNLIT = "KHR_materials_unlit"


def texture_entries(
    mesh: TexturedMesh, image: ImageFormat, texture_png: bytes | None, buffer: BufferBuilder
) -> dict[str, Any]:
    """The glTF document's texture, sampler and image entries; empty without a texture."""
    if mesh.texture is None or mesh.uv is None:
        return {}
    ready = texture_png if image == "png" else None
    payloads = {"texture": ready if ready is not None else encode_image(mesh.texture, image)}
    payloads |= {name: encode_image(pixels, image) for name, pixels in material_maps(mesh.material).items()}
    tiled = bool((mesh.uv < -1e-4).any() or (mesh.uv > 1 + 1e-4).any())
    wrap = REPEAT if tiled else CLAMP_TO_EDGE
    kind = MIME_TYPES[image]
    return {
        "textures": [{"sampler": 0, "source": source} for source in range(len(payloads))],
        "samplers": [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": wrap, "wrapT": wrap}],
        "images": [
            {"bufferView": buffer.add(payload), "mimeType": kind, "name": name} for name, payload in payloads.items()
        ],
    }


def material_entry(mesh: TexturedMesh, unlit: bool) -> dict[str, Any]:
    """The glTF document's one material; without a `Material` it is matt, and unlit where asked for."""
    material, textured = mesh.material or MATT, mesh.texture is not None and mesh.uv is not None
    index = {name: number for number, name in enumerate(material_maps(material), start=1)} if textured else {}
    surface: dict[str, Any] = {
        "metallicFactor": float(material.metallic),
        "roughnessFactor": float(material.roughness),
    }
    if textured:
        surface["baseColorTexture"] = {"index": 0}
    factor = np.array(material.base_color, float) * _bare_factor(mesh)
    if (factor != 1).any():
        surface["baseColorFactor"] = [*factor.tolist(), 1.0]
    if "metallic_roughness" in index:
        surface["metallicRoughnessTexture"] = {"index": index["metallic_roughness"]}
    entry: dict[str, Any] = {"name": "material", "pbrMetallicRoughness": surface}
    if "normal" in index:
        scale = {} if material.normal_scale == 1 else {"scale": float(material.normal_scale)}
        entry["normalTexture"] = {"index": index["normal"], **scale}
    return entry | {"doubleSided": False} | ({"extensions": {UNLIT: {}}} if unlit else {})


def read_material(
    entry: dict[str, Any], pixels: Callable[[dict[str, Any]], UInt8[np.ndarray, "h w 3"]], *, bare: bool
) -> Material | None:
    """The inverse of `material_entry`; ``pixels`` decodes a texture reference. None where it is matt or unlit.

    ``bare`` says that the mesh has neither a texture nor colours, so that its base colour factor holds the grey.
    """
    if UNLIT in entry.get("extensions", {}):
        return None
    surface = entry["pbrMetallicRoughness"]
    shared, normals = surface.get("metallicRoughnessTexture"), entry.get("normalTexture")
    red, green, blue = (float(value) / (PLAIN_LINEAR if bare else 1.0) for value in _color(surface))
    material = Material(
        metallic_roughness=None if shared is None else pixels(shared),
        normal_texture=None if normals is None else pixels(normals),
        base_color=(red, green, blue),
        metallic=_number(surface.get("metallicFactor", 1.0)),
        roughness=_number(surface.get("roughnessFactor", 1.0)),
        normal_scale=1.0 if normals is None else _number(normals.get("scale", 1.0)),
    )
    return None if is_matt(material) else material


def is_matt(material: Material) -> bool:
    """Whether it says no more than a mesh without a material does."""
    plain = not material_maps(material) and (material.metallic, material.roughness) == (MATT.metallic, MATT.roughness)
    return plain and material.base_color == MATT.base_color


def material_maps(material: Material | None) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """A material's own textures by their names in files."""
    if material is None:
        return {}
    found = {"metallic_roughness": material.metallic_roughness, "normal": material.normal_texture}
    return {name: pixels for name, pixels in found.items() if pixels is not None}


PLAIN_LINEAR = float(srgb_to_linear(np.array(PLAIN_GREY / 255.0)))


def _bare_factor(mesh: TexturedMesh) -> float:
    """The grey of a mesh that has neither a texture nor colours."""
    textured = mesh.texture is not None and mesh.uv is not None
    return 1.0 if textured or mesh.colors is not None else PLAIN_LINEAR


def _color(surface: dict[str, Any]) -> Float[np.ndarray, "3"]:
    return np.array([_number(value) for value in surface.get("baseColorFactor", (1.0,) * 4)[:3]])


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not abs(value) < 1e6:
        raise ValueError(f"{value!r} is no factor")
    return float(value)
