"""A mesh whose material's factors are in its textures, for formats whose readers take a number or a texture, not both.

MTL's and USD's readers disagree on whether a number multiplies a texture or gives way to it; with 1 both mean the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.geometry.material import Material
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.pixels import times_linear, to_uint8

WHITE = (1.0, 1.0, 1.0)


def baked(mesh: TexturedMesh) -> TexturedMesh:
    """The mesh with its base colour factor in its colours, and its material's other factors in their textures."""
    if mesh.material is None:
        return mesh
    material, factor = _factors_in_maps(mesh.material), np.array(mesh.material.base_color, float)
    if mesh.texture is not None and mesh.uv is not None:
        texture = times_linear(mesh.texture, factor)
        return replace(mesh, texture=texture, material=replace(material, base_color=WHITE))
    if mesh.colors is not None:
        colors = times_linear(mesh.colors, factor)
        return replace(mesh, colors=colors, material=replace(material, base_color=WHITE))
    return replace(mesh, material=material)


def _factors_in_maps(material: Material) -> Material:
    if material.metallic_roughness is not None:
        factors = np.array([1.0, material.roughness, material.metallic])
        shared = to_uint8(material.metallic_roughness / 255.0 * factors)
        material = replace(material, metallic_roughness=shared, roughness=1.0, metallic=1.0)
    if material.normal_texture is not None and material.normal_scale != 1:
        normals = _scaled_normals(material.normal_texture, material.normal_scale)
        material = replace(material, normal_texture=normals, normal_scale=1.0)
    return material


def _scaled_normals(texture: UInt8[np.ndarray, "h w 3"], scale: float) -> UInt8[np.ndarray, "h w 3"]:
    """Unit normals of which x and y were multiplied by ``scale``."""
    normals: Float[np.ndarray, "h w 3"] = (texture / 127.5 - 1.0) * np.array([scale, scale, 1.0])
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    return to_uint8((normals + 1.0) / 2.0)
