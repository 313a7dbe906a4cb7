"""Spherical harmonics of order 2: nine numbers a colour that hold what a matt surface sees of its surroundings.

Ramamoorthi and Hanrahan 2001, "An Efficient Representation for Irradiance Environment Maps": Lambert's cosine keeps
over 99 % of its energy in the orders 0 to 2. Functions take numpy arrays or torch tensors.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from meshwright.rendering.arrays import Array, like, namespace

COUNT = 9
# What convolution with the clamped cosine multiplies each coefficient by (their eq. 8): pi, 2 pi / 3 and pi / 4.
COSINE = np.pi * np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])


def basis(directions: Float[Array, "*n 3"]) -> Float[Array, "*n 9"]:
    """The real, orthonormal harmonics Y_00, Y_1-1 .. Y_11, Y_2-2 .. Y_22 of unit directions."""
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    terms = [x * 0 + 1, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    return namespace(directions).stack(terms, -1) * like(_SCALES, directions)


_SCALES = np.sqrt(np.array([1, 3, 3, 3, 15, 15, 5 / 4, 15, 15 / 4]) / (4 * np.pi))


def radiance(coefficients: Float[Array, "9 c"], directions: Float[Array, "*n 3"]) -> Float[Array, "*n c"]:
    """The function with these coefficients at unit directions."""
    return basis(directions) @ coefficients


def irradiance(coefficients: Float[Array, "9 c"], normals: Float[Array, "*n 3"]) -> Float[Array, "*n c"]:
    """Irradiance on surfaces with these unit normals; pi * L under a light of equal radiance L all round."""
    return basis(normals) @ (coefficients * like(COSINE, coefficients)[:, None])
