"""How glTF 2.0's metallic-roughness material reflects light (Appendix B), one way for previews and engines.

Functions take numpy arrays or torch tensors. Colours and light are linear. ``normals``, ``towards`` (from the surface
to the viewer) and ``lights`` (from the surface to the light) are unit vectors in one frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshwright.rendering.arrays import Array, dot, like, mixed, namespace, normalized
from meshwright.rendering.environment import Light
from meshwright.rendering.microfacet import distribution, schlick, split_sum, visibility

DIELECTRIC = 0.04  # F0 of refractive index 1.5
LEAST_COSINE = 1e-3  # of normal and view, where a bumped normal turns away from the viewer


@dataclass(frozen=True, eq=False)
class Surface:
    """The material at some points: linear ``base_color``, ``metallic`` and ``roughness`` in 0..1."""

    base_color: Float[Array, "*n 3"]
    metallic: Float[Array, "*n 1"]
    roughness: Float[Array, "*n 1"]

    @property
    def f0(self) -> Float[Array, "*n 3"]:
        """What is reflected along the normal: 4 % of dielectrics, the base colour of metals."""
        return mixed(DIELECTRIC, self.base_color, self.metallic)


def brdf(
    surface: Surface,
    normals: Float[Array, "*n 3"],
    towards: Float[Array, "*n 3"],
    lights: Float[Array, "*n 3"],
) -> Float[Array, "*n 3"]:
    """glTF's BRDF (1 / sr) for a light in one direction; 0 where it comes from below the surface."""
    half = normalized(towards + lights)
    n_l, n_v = dot(normals, lights), dot(normals, towards).clip(LEAST_COSINE)
    alpha = surface.roughness * surface.roughness
    weight = schlick(dot(towards, half))
    above = n_l.clip(0.0)
    lobe = distribution(dot(normals, half), alpha) * visibility(above, n_v, alpha)
    diffuse = surface.base_color * (1 - surface.metallic) * (1 - mixed(DIELECTRIC, 1.0, weight)) / np.pi
    return namespace(n_l).where(n_l > 0, diffuse + lobe * mixed(surface.f0, 1.0, weight), 0 * n_l)


def under_lights(
    surface: Surface,
    normals: Float[Array, "*n 3"],
    towards: Float[Array, "*n 3"],
    lights: Float[Array, "k 4"],
) -> Float[Array, "*n 3"]:
    """Radiance under far lamps: rows (x, y, z, irradiance), unit vectors towards the lamp."""
    total = surface.base_color * 0
    for lamp in lights:
        direction = like(lamp[:3], normals)
        cosine = dot(normals, direction).clip(0.0)
        total = total + brdf(surface, normals, towards, direction + 0 * normals) * cosine * float(lamp[3])
    return total


def under_light(
    surface: Surface, normals: Float[Array, "*n 3"], towards: Float[Array, "*n 3"], light: Light
) -> Float[Array, "*n 3"]:
    """Radiance under an environment, by the split-sum approximation (Karis 2013).

    The diffuse part gets what a dielectric's coating does not reflect, 1 - (0.04 A + B), in place of Appendix B's
    Fresnel weight per light: no more light leaves than comes in. Light scattered more than once between microfacets is
    lost, as in Appendix B.
    """
    facing = dot(normals, towards)
    n_v = facing.clip(LEAST_COSINE, 1.0)
    scale, bias = split_sum(surface.roughness, n_v)
    mirrored = normalized(2 * facing * normals - towards)
    glossy = light.glossy(mirrored, surface.roughness) * (surface.f0 * scale + bias)
    coating = DIELECTRIC * scale + bias
    matt = surface.base_color * (1 - surface.metallic) * (1 - coating)
    return matt * (light.irradiance(normals) / np.pi).clip(0.0) + glossy


def bumped(
    normals: Float[Array, "*n 3"],
    tangents: Float[Array, "*n 4"],
    texels: Float[Array, "*n 3"],
    scale: float = 1.0,
) -> Float[Array, "*n 3"]:
    """Unit normals turned by a normal texture's values (0..1, green up), in glTF's tangent frame.

    The bitangent is cross(normal, tangent) * w and points to where the texture's rows start (up).
    """
    module = namespace(normals)
    across, sign = tangents[..., :3], tangents[..., 3:]
    up = module.stack(
        [
            normals[..., 1] * across[..., 2] - normals[..., 2] * across[..., 1],
            normals[..., 2] * across[..., 0] - normals[..., 0] * across[..., 2],
            normals[..., 0] * across[..., 1] - normals[..., 1] * across[..., 0],
        ],
        -1,
    )
    local = (2 * texels - 1) * like([scale, scale, 1.0], texels)
    return normalized(local[..., :1] * across + local[..., 1:2] * sign * up + local[..., 2:] * normals)
