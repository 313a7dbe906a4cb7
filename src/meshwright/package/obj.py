"""Wavefront OBJ with its material and texture. Positions are welded: seams live only in the texture coordinates."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8

from meshwright.geometry.material import MATT, Material
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.prepare import weld_positions

MATERIAL_FILE, TEXTURE_FILE = "mesh.mtl", "texture.png"
ROUGHNESS_FILE, METALLIC_FILE, NORMAL_FILE = "roughness.png", "metallic.png", "normal.png"


def write_obj(mesh: TexturedMesh) -> bytes:
    """The text of ``mesh.obj`` of a `publishable` mesh.

    OBJ has v upwards from the bottom of the image, so v is flipped. Six decimals, more where the object is smaller
    than one unit. A mesh with colours and no texture gets them behind the positions (``v x y z r g b``, sRGB).
    """
    welded, faces = weld_positions(mesh), mesh.faces + 1
    textured = mesh.uv is not None and mesh.texture is not None
    positions = welded.vertices
    columns = [_form(_decimals(positions))] * 3
    if mesh.colors is not None and not textured:
        positions = np.concatenate([positions, welded.average(mesh.colors / 255.0)], 1)
        columns += ["%.4f"] * 3
    head = f"# meshwright\n{f'mtllib {MATERIAL_FILE}' + chr(10) if textured else ''}o object\n"
    parts = [head, _lines("v", positions, columns)]
    if textured and mesh.uv is not None:
        flipped = np.stack([mesh.uv[:, 0], 1.0 - mesh.uv[:, 1].astype(float)], 1)
        parts.append(_lines("vt", flipped, ["%.6f"] * 2))
    parts += [_lines("vn", mesh.normals, ["%.6f"] * 3), "usemtl material\n" if textured else ""]
    parts.append(_faces(welded.corner[mesh.faces] + 1, faces, textured))
    return "".join(parts).encode()


def write_mtl(textured: bool = True, material: Material | None = None) -> bytes:
    """The text of ``mesh.mtl``: a white material under the texture (``P?`` and ``norm`` are the PBR extension's keys).

    ``material`` is that of a mesh that is `baked`, so that numbers are 1 where there is a map.
    """
    material = material or MATT
    lines = ["newmtl material", "Ka 0.000000 0.000000 0.000000", "Kd 1.000000 1.000000 1.000000"]
    lines += ["Ks 0.000000 0.000000 0.000000", "d 1.000000", "illum 1"]
    lines += [f"Pr {material.roughness:.6f}", f"Pm {material.metallic:.6f}"]
    if textured:
        keys = {ROUGHNESS_FILE: "map_Pr", METALLIC_FILE: "map_Pm", NORMAL_FILE: "norm"}
        lines += [f"map_Kd {TEXTURE_FILE}", *(f"{keys[name]} {name}" for name in mtl_maps(material))]
    return "\n".join([*lines, ""]).encode()


def mtl_maps(material: Material | None) -> dict[str, UInt8[np.ndarray, "h w *c"]]:
    """The pictures beside ``texture.png`` that `write_mtl` names: grey ones of roughness and metalness, normals."""
    found: dict[str, UInt8[np.ndarray, "h w *c"]] = {}
    if material is not None and material.metallic_roughness is not None:
        found |= {
            ROUGHNESS_FILE: material.metallic_roughness[..., 1],
            METALLIC_FILE: material.metallic_roughness[..., 2],
        }
    if material is not None and material.normal_texture is not None:
        found[NORMAL_FILE] = material.normal_texture
    return found


def _decimals(positions: np.ndarray) -> int:
    """Decimals that resolve a millionth of the object, at least six."""
    extent = float(np.ptp(positions, axis=0).max())
    return max(6, 6 - math.floor(math.log10(extent))) if extent > 0 else 6


def _form(decimals: int) -> str:
    return f"%.{decimals}f"


def _lines(key: str, values: np.ndarray, columns: list[str]) -> str:
    """One line a row; a single % over a repeated form is 10 times faster than numpy.savetxt."""
    return (f"{key} {' '.join(columns)}\n" * len(values)) % tuple((values + 0.0).ravel().tolist())


def _faces(positions: np.ndarray, corners: np.ndarray, textured: bool) -> str:
    """``f v/vt/vn`` for textured, ``f v//vn`` for plain meshes."""
    columns = [positions, corners, corners] if textured else [positions, corners]
    form = "%d/%d/%d" if textured else "%d//%d"
    rows = np.stack(columns, 2).reshape(-1)
    return (f"f {form} {form} {form}\n" * len(positions)) % tuple(rows.tolist())
