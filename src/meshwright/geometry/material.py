"""What a surface is made of, in glTF 2.0's metallic-roughness terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, eq=False)
class Material:
    """What glTF 2.0 says of a surface beside the base colour texture, which is the mesh's own.

    Textures share the mesh's uv and are linear, of any size. ``metallic_roughness`` holds roughness in G and metalness
    in B (0..255 for 0..1; R is not used). ``normal_texture`` holds tangent space normals, 0..255 for -1..1, green up.
    The factors (``base_color`` linear) multiply what the textures say, or stand alone; their defaults are glTF's.
    """

    metallic_roughness: UInt8[np.ndarray, "h w 3"] | None = None
    normal_texture: UInt8[np.ndarray, "h2 w2 3"] | None = None
    base_color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    metallic: float = 1.0
    roughness: float = 1.0
    normal_scale: float = 1.0


MATT = Material(metallic=0.0)  # what a mesh without material is written as
