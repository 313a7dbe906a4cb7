"""The sRGB curve, of numpy arrays and torch tensors. Nothing converts unasked: names say `srgb` or `linear`."""

from __future__ import annotations

from jaxtyping import Float

from meshwright.rendering.arrays import Array, namespace


def srgb_to_linear(values: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Linear light of sRGB values, both 1 at white (IEC 61966-2-1). Gradients are finite everywhere."""
    curve = ((values.clip(0.04045) + 0.055) / 1.055) ** 2.4
    return namespace(values).where(values <= 0.04045, values / 12.92, curve)


def linear_to_srgb(values: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """sRGB values of linear light, the inverse of `srgb_to_linear`; light brighter than white gives more than 1."""
    curve = 1.055 * values.clip(0.0031308) ** (1 / 2.4) - 0.055
    return namespace(values).where(values <= 0.0031308, values * 12.92, curve)
