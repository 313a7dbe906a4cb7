"""Reflection at rough surfaces: GGX, Smith, Schlick, as in glTF 2.0 Appendix B, and its integral over the hemisphere.

``alpha`` is roughness squared. Cosines and ``alpha`` are numpy arrays or torch tensors that broadcast.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

from meshwright.rendering.arrays import Array, cells, like, rows

TABLE_SIDE, TABLE_SAMPLES = 64, 256
LEAST_ALPHA = 1e-4  # a mirror's lobe: narrower ones overflow float32


def distribution(n_h: Float[Array, "*n"], alpha: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """GGX (Trowbridge-Reitz): density of microfacet normals; the integral of D * n.h over the hemisphere is 1."""
    square = alpha.clip(LEAST_ALPHA) ** 2
    return square / (np.pi * (1 - n_h * n_h * (1 - square)) ** 2)


def visibility(n_l: Float[Array, "*n"], n_v: Float[Array, "*n"], alpha: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Height-correlated Smith masking-shadowing G over 4 n.l n.v (Heitz 2014)."""
    square = alpha.clip(LEAST_ALPHA) ** 2
    shadowing = n_v * (square + (1 - square) * n_l * n_l) ** 0.5
    masking = n_l * (square + (1 - square) * n_v * n_v) ** 0.5
    return 0.5 / (shadowing + masking).clip(1e-12)


def schlick(v_h: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The weight w of Fresnel's term F = F0 + (1 - F0) w (Schlick 1994)."""
    return (1 - v_h).clip(0.0, 1.0) ** 5


def split_sum(
    roughness: Float[Array, "*n 1"], n_v: Float[Array, "*n 1"]
) -> tuple[Float[Array, "*n 1"], Float[Array, "*n 1"]]:
    """(A, B) with which a surface under equal light all round reflects F0 * A + B of it (Karis 2013).

    Bilinear in a table over roughness and the square root of n.v; differentiable in both.
    """
    last = TABLE_SIDE - 1
    x, y = roughness.clip(0.0, 1.0) * last, n_v.clip(1e-6, 1.0) ** 0.5 * last
    (column, fx), (row, fy) = cells(x, last), cells(y, last)
    table = like(split_sum_table().reshape(-1, 2), roughness)
    first = (row * TABLE_SIDE + column)[..., 0]
    upper = rows(table, first) * (1 - fx) + rows(table, first + 1) * fx
    lower = rows(table, first + TABLE_SIDE) * (1 - fx) + rows(table, first + TABLE_SIDE + 1) * fx
    both = upper * (1 - fy) + lower * fy
    return both[..., :1], both[..., 1:]


@cache
def split_sum_table() -> Float[np.ndarray, "s s 2"]:
    """(A, B) at (row / (s - 1))^2 = n.v and column / (s - 1) = roughness, kept in memory once computed (0.1 s)."""
    steps = np.linspace(0.0, 1.0, TABLE_SIDE)
    return np.stack([integrated(steps, np.full(TABLE_SIDE, n_v)) for n_v in np.maximum(steps**2, 1e-6)])


def integrated(
    roughness: Float[np.ndarray, "n"], n_v: Float[np.ndarray, "n"], samples: int = TABLE_SAMPLES
) -> Float[np.ndarray, "n 2"]:
    """(A, B) by summation over Hammersley points.

    Microfacets are drawn as the viewer sees them (Heitz 2018, "Sampling the GGX Distribution of Visible Normals"), so
    that a sample's weight is only F * G / G1(v), a smooth function.
    """
    alpha = np.maximum(roughness**2, LEAST_ALPHA)[:, None]
    view = np.stack([np.sqrt(1 - n_v**2), np.zeros_like(n_v), n_v], -1)[:, None]
    half = visible_normals(view, alpha, hammersley(samples)[None])
    v_h = (view * half).sum(-1)
    n_l = 2 * v_h * half[..., 2] - view[..., 2]
    lit = n_l > 0
    n_l = np.where(lit, n_l, 1.0)
    n_v = n_v[:, None]
    unmasked = 2 * (n_v + np.sqrt(alpha**2 + (1 - alpha**2) * n_v**2))  # 4 n.v / G1(v)
    weight = np.where(lit, n_l * visibility(n_l, n_v, alpha) * unmasked, 0.0)
    fresnel = schlick(v_h)
    return np.stack([((1 - fresnel) * weight).mean(1), (fresnel * weight).mean(1)], -1)


def visible_normals(
    view: Float[np.ndarray, "*n 3"], alpha: Float[np.ndarray, "*n"], points: Float[np.ndarray, "*n 2"]
) -> Float[np.ndarray, "*n 3"]:
    """Microfacet normals from points of the unit square, in a frame with the surface's normal as z (Heitz 2018)."""
    stretched = view * np.stack(np.broadcast_arrays(alpha, alpha, 1.0), -1)
    stretched = stretched / np.linalg.norm(stretched, axis=-1, keepdims=True)
    flat = stretched[..., 0] ** 2 + stretched[..., 1] ** 2
    across = (
        np.stack([-stretched[..., 1], stretched[..., 0], 0 * flat], -1) / np.sqrt(np.maximum(flat, 1e-30))[..., None]
    )
    across = np.where(flat[..., None] > 1e-20, across, np.array([1.0, 0.0, 0.0]))
    radius, turn = np.sqrt(points[..., 0]), 2 * np.pi * points[..., 1]
    s, up = radius * np.cos(turn), radius * np.sin(turn)
    share = 0.5 * (1 + stretched[..., 2])
    t = (1 - share) * np.sqrt(1 - s**2) + share * up
    depth = np.sqrt(np.maximum(1 - s**2 - t**2, 0))
    normal = s[..., None] * across + t[..., None] * np.cross(stretched, across) + depth[..., None] * stretched
    normal = np.stack([alpha * normal[..., 0], alpha * normal[..., 1], np.maximum(normal[..., 2], 1e-9)], -1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def hammersley(count: int) -> Float[np.ndarray, "k 2"]:
    """Evenly spread points of the unit square: (i + 0.5) / count, and the bits of i mirrored at the binary point."""
    index = np.arange(count)
    bits = [(index >> k & 1) * 0.5 ** (k + 1) for k in range(max(int(count - 1).bit_length(), 1))]
    return np.stack([(index + 0.5) / count, np.sum(bits, 0)], -1)
