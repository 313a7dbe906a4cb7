"""The metallic-roughness material of a mesh that trimesh read, from glTF or from MTL's PBR keys, or none.

A material that says more than a `Material` can (a second uv set, a texture transform, a scale that cannot be told) is
left out whole: half of it would look like another material.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from meshwright.errors import InvalidFileFormat
from meshwright.geometry.material import MATT, Material
from meshwright.package.gltf_material import UNLIT, is_matt
from meshwright.package.pixels import decode_rgb, rgb_array
from meshwright.package.prepare import material_fault

if TYPE_CHECKING:
    from PIL import Image

TRANSFORM = "KHR_texture_transform"
MTL_MAPS = {"map_pr": "roughness", "map_pm": "metalness", "norm": "normals"}


class MaterialReader:
    """Reads the materials of one file: ``document`` is its glTF document (empty for other formats), ``resolver`` a
    `resolver.folder_resolver` of it."""

    def __init__(self, document: Mapping[str, Any], resolver: Any) -> None:
        self.name, self.document, self.resolver = resolver.file_name, document, resolver
        self.decoded: dict[int, UInt8[np.ndarray, "h w 3"]] = {}  # geometries share their pictures

    def read(self, found: Any) -> Material | None:
        """The `Material` of one of trimesh's, its base colour left out; None where it is matt or not to be had."""
        keys: Mapping[str, Any] = getattr(found, "kwargs", {})
        try:
            if self.document:
                material = self._from_gltf(found)
            else:
                material = self._from_mtl(keys) if {"pr", "pm", *MTL_MAPS} & set(keys) else None
            return None if material is None or material_fault(material) or is_matt(material) else material
        except (OSError, SyntaxError, ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
            self.resolver.raise_refused()
            raise InvalidFileFormat(
                f"{self.name} has a material that cannot be read ({error}).",
                suggestion="Export the mesh again from its own tool.",
                reason="mesh_unreadable",
            ) from error

    def _from_gltf(self, found: Any) -> Material | None:
        scale = _normal_scale(_entries(self.document, found), found)
        if scale is None:
            return None
        metallic, roughness = (
            1.0 if value is None else value for value in (found.metallicFactor, found.roughnessFactor)
        )
        return Material(
            metallic_roughness=self._pixels(found.metallicRoughnessTexture),
            normal_texture=self._pixels(found.normalTexture),
            metallic=metallic,
            roughness=roughness,
            normal_scale=scale,
        )

    def _pixels(self, image: Image.Image | None) -> UInt8[np.ndarray, "h w 3"] | None:
        if image is None:
            return None
        if id(image) not in self.decoded:
            self.decoded[id(image)] = rgb_array(image, f"a texture of {self.name}")
        return self.decoded[id(image)]

    def _from_mtl(self, keys: Mapping[str, Sequence[str]]) -> Material | None:
        """A map stands in for its number, as in Blender."""
        scale, maps = 1.0, {}
        for key in (key for key in MTL_MAPS if key in keys):
            words = list(keys[key])
            if key == "norm" and words[0] == "-bm":
                scale, words = float(words[1]), words[2:]
            if words[0].startswith("-"):
                return None
            maps[key] = decode_rgb(self.resolver.get(" ".join(words)), f"the map of {MTL_MAPS[key]} of {self.name}")
        material = Material(
            normal_texture=maps.get("norm"),
            metallic=float(keys.get("pm", [MATT.metallic])[0]),
            roughness=float(keys.get("pr", [MATT.roughness])[0]),
            normal_scale=scale,
        )
        return _with_shared(material, maps.get("map_pr"), maps.get("map_pm"))


def _with_shared(
    material: Material, roughness: UInt8[np.ndarray, "h w 3"] | None, metallic: UInt8[np.ndarray, "h2 w2 3"] | None
) -> Material | None:
    """Roughness and metalness in one texture; None where they are of two sizes."""
    first = roughness if roughness is not None else metallic
    if first is None:
        return material
    shared = np.full(first.shape, 255, np.uint8)
    shared[..., 0] = 0
    if roughness is not None:
        shared[..., 1], material = roughness[..., 0], replace(material, roughness=1.0)
    if metallic is not None:
        if metallic.shape != first.shape:
            return None
        shared[..., 2], material = metallic[..., 0], replace(material, metallic=1.0)
    return replace(material, metallic_roughness=shared)


def _entries(document: Mapping[str, Any], found: Any) -> list[dict[str, Any]]:
    """The materials of the document that may be ``found``: trimesh does not keep their numbers."""
    entries = [entry for entry in document.get("materials", []) if entry.get("name") == found.name]
    factors = (found.metallicFactor, found.roughnessFactor)
    return [entry for entry in entries if _factors(entry) == factors]


def _factors(entry: dict[str, Any]) -> tuple[Any, Any]:
    surface = entry.get("pbrMetallicRoughness", {})
    return surface.get("metallicFactor"), surface.get("roughnessFactor")


def _normal_scale(entries: list[dict[str, Any]], found: Any) -> float | None:
    """The scale of the normals; None where a material is unlit, or its textures are not as `Material` takes them."""
    scales = set()
    for entry in entries:
        shared = entry.get("pbrMetallicRoughness", {}).get("metallicRoughnessTexture")
        normals = entry.get("normalTexture")
        stated = {"metallicRoughnessTexture": shared, "normalTexture": normals}
        for name, reference in stated.items():
            if reference and (not _plain(reference) or getattr(found, name) is None):
                return None
        if UNLIT in entry.get("extensions", {}):
            return None
        scales.add(normals.get("scale", 1.0) if normals else 1.0)
    return None if len(scales) > 1 else next(iter(scales), 1.0)


def _plain(reference: dict[str, Any]) -> bool:
    return reference.get("texCoord", 0) == 0 and TRANSFORM not in reference.get("extensions", {})
