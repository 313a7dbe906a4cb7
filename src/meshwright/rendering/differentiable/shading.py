"""What a surface shows under an environment, taken apart: an affine function of its base colour.

`rendering.material.under_light` shades numpy arrays and tensors alike. An inverse problem wants more of it: glTF's
metallic-roughness model under the split sum (Karis 2013) is

    shown = factor * base_color + offset

    factor = (1 - m) (1 - coating) E(n) / pi  +  m A G(r, roughness)
    offset = (0.04 (1 - m) A + B) G(r, roughness),          coating = 0.04 A + B

with metalness m, irradiance E, prefiltered radiance G from the mirrored direction r, and the split sum's (A, B). So for
a known light and gloss the best base colour is a division, and need not be searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.rendering.arrays import dot, normalized
from meshwright.rendering.environment import Light
from meshwright.rendering.material import DIELECTRIC, LEAST_COSINE
from meshwright.rendering.microfacet import split_sum

Affine: TypeAlias = tuple[Tensor, Tensor]  # factor and offset of a base colour


@dataclass(frozen=True, eq=False)
class ShadingPoints:
    """Places on a surface as seen from somewhere: unit ``normals``, the cosine ``n_v`` of the view direction and the
    direction ``mirrored`` that a mirror would show (world)."""

    normals: Float[Tensor, "p 3"]
    n_v: Float[Tensor, "p 1"]
    mirrored: Float[Tensor, "p 3"]

    @staticmethod
    def of(normals: Float[Tensor, "p 3"], towards: Float[Tensor, "p 3"]) -> ShadingPoints:
        """From unit normals and unit vectors ``towards`` the viewer."""
        facing = dot(normals, towards)
        return ShadingPoints(normals, facing.clip(LEAST_COSINE, 1.0), normalized(2 * facing * normals - towards))

    @staticmethod
    def joined(parts: Sequence[ShadingPoints]) -> ShadingPoints:
        """All points of several sets."""
        columns = zip(*((part.normals, part.n_v, part.mirrored) for part in parts), strict=True)
        return ShadingPoints(*(torch.cat(column) for column in columns))


@dataclass(frozen=True, eq=False)
class Reflectance:
    """What becomes of light at some points: the share of irradiance / pi that ``matt`` returns, the shares of the
    mirrored radiance that ``metal`` and ``coat`` return. The first two are to be multiplied by the base colour."""

    matt: Float[Tensor, "p 1"]
    metal: Float[Tensor, "p 1"]
    coat: Float[Tensor, "p 1"]

    @staticmethod
    def of(points: ShadingPoints, roughness: Float[Tensor, "p 1"], metallic: Float[Tensor, "p 1"]) -> Reflectance:
        """Of a metallic-roughness material."""
        scale, bias = split_sum(roughness, points.n_v)
        matt = (1 - metallic) * (1 - DIELECTRIC * scale - bias)
        return Reflectance(matt, metallic * scale, DIELECTRIC * (1 - metallic) * scale + bias)

    def under(self, diffuse: Float[Tensor, "p c"], glossy: Float[Tensor, "p c"]) -> Affine:
        """(factor, offset) under this irradiance / pi and this mirrored radiance."""
        return self.matt * diffuse + self.metal * glossy, self.coat * glossy

    @property
    def in_white_room(self) -> Affine:
        """(factor, offset) under light of radiance 1 from everywhere."""
        return self.matt + self.metal, self.coat


def affine_shading(
    points: ShadingPoints, roughness: Float[Tensor, "p 1"], metallic: Float[Tensor, "p 1"], light: Light
) -> Affine:
    """(factor, offset) of the linear radiance ``factor * base_color + offset``, differentiable in all but points."""
    return shaded(points, Reflectance.of(points, roughness, metallic), roughness, light)


def shaded(points: ShadingPoints, surface: Reflectance, roughness: Float[Tensor, "p 1"], light: Light) -> Affine:
    """`affine_shading` of a reflectance in hand."""
    diffuse = (light.irradiance(points.normals) / np.pi).clip(0.0)
    return surface.under(diffuse, light.glossy(points.mirrored, roughness))
