"""Light from all round as an image, made ready for matt and for glossy surfaces by matrices that are computed once.

The image is latitude-longitude, linear radiance: row 0 looks up (+Y), the middle column looks along +X, columns run
towards +Z: the direction (x, y, z) lies at u = 0.5 + atan2(z, x) / 2 pi, v = acos(y) / pi. What surfaces see of it is
linear in the image, so gradients with respect to the light need only the transposed matrices. Functions take numpy
arrays or torch tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from meshwright.errors import InputError
from meshwright.rendering.arrays import Array, cells, like, mixed, namespace, rows
from meshwright.rendering.harmonics import basis, irradiance
from meshwright.rendering.microfacet import distribution, visibility

LEVELS = 9  # roughness 0, 1/8 .. 1
FINE = 4  # samples a side of a texel: a lobe of roughness 1/8 is narrower than a texel of 64 rows


@dataclass(frozen=True, eq=False)
class Light:
    """An environment as surfaces need it.

    ``harmonics`` are the coefficients of its radiance; level k of ``levels`` is its radiance seen through a GGX lobe of
    roughness k / (l - 1), level 0 the image itself. ``rotation`` takes the image's axes to the world's.
    """

    harmonics: Float[Array, "9 c"]
    levels: Float[Array, "l h w c"]
    rotation: Float[np.ndarray, "3 3"]

    def irradiance(self, normals: Float[Array, "*n 3"]) -> Float[Array, "*n c"]:
        """Irradiance on surfaces with these unit normals (world)."""
        return irradiance(self.harmonics, normals @ like(self.rotation, normals))

    def glossy(self, directions: Float[Array, "*n 3"], roughness: Float[Array, "*n 1"]) -> Float[Array, "*n c"]:
        """Radiance from round unit ``directions`` (world), averaged as surfaces of that roughness do.

        Trilinear in the image and in roughness; differentiable in directions, roughness and the image.
        """
        height, width, channels = self.levels.shape[1:]
        u, v = coordinates(directions @ like(self.rotation, directions))
        (column, fx), (row, fy) = cells(u * width - 0.5), cells(v * height - 0.5)
        last = len(self.levels) - 1
        low, share = cells(roughness[..., 0].clip(0.0, 1.0) * last, last)
        texels = self.levels.reshape(-1, channels)
        fx, fy, share = fx[..., None], fy[..., None], share[..., None]

        def line(row: Array, level: Array) -> Array:
            """Between two columns of a row; beyond a pole the image goes on on the other side of it."""
            beyond = (row < 0) | (row >= height)
            first = (level * height + row.clip(0, height - 1)) * width
            left = (column + beyond * (width // 2)) % width
            right = left + 1 - (left == width - 1) * width
            return mixed(rows(texels, first + left), rows(texels, first + right), fx)

        def plane(level: Array) -> Array:
            return mixed(line(row, level), line(row + 1, level), fy)

        return mixed(plane(low), plane((low + 1).clip(0, last)), share)

    def turned(self, rotation: Float[np.ndarray, "3 3"]) -> Light:
        """The same light with other axes."""
        return Light(self.harmonics, self.levels, rotation)


def light_of(
    image: Float[Array, "h w c"], rotation: Float[np.ndarray, "3 3"] | None = None, levels: int = LEVELS
) -> Light:
    """Prefilter an environment. The width must be even; 64 x 128 takes 10 ms and, the first time, half a second.

    Raises `InputError` for an image that is not (h, w, c) with an even width.
    """
    if image.ndim != 3 or image.shape[1] % 2 or 0 in tuple(image.shape):
        raise InputError(
            f"An environment of shape {tuple(image.shape)} cannot be used.",
            suggestion="Give rows x columns x channels of linear radiance, with an even number of columns.",
            reason="bad_environment",
        )
    height, width, channels = image.shape
    coefficients = like(harmonic_matrix(height, width), image) @ image.reshape(-1, channels)
    blurred = _convolved(image, like(lobe_spectra(height, width, levels), image))
    stack = namespace(image).concatenate([image[None], blurred], 0)
    return Light(coefficients, stack, np.eye(3) if rotation is None else np.asarray(rotation, float))


def _convolved(image: Float[Array, "h w c"], spectra: Float[Array, "l m h h"]) -> Float[Array, "l h w c"]:
    """All rows of all levels: a circular convolution along columns, a matrix along rows."""
    fourier = namespace(image).fft
    waves = fourier.rfft(image, None, 1).swapaxes(0, 1)  # (m, h, c)
    blurred = spectra @ waves.real + 1j * (spectra @ waves.imag)
    return fourier.irfft(blurred, image.shape[1], 1).swapaxes(1, 2)


def directions(height: int, width: int, fine: int = 1) -> Float[np.ndarray, "H W 3"]:
    """Unit vectors of the texel centres of an environment, or of ``fine`` x ``fine`` samples of each texel."""
    polar = np.pi * (np.arange(height * fine) + 0.5) / (height * fine)
    turn = 2 * np.pi * (np.arange(width * fine) + 0.5) / (width * fine) - np.pi
    across = np.sin(polar)[:, None]
    return np.stack(np.broadcast_arrays(across * np.cos(turn), np.cos(polar)[:, None], across * np.sin(turn)), -1)


def solid_angles(height: int, width: int, fine: int = 1) -> Float[np.ndarray, "H"]:
    """Steradians of one texel (or sample) of each row; over all texels they add up to 4 pi."""
    edges = np.cos(np.linspace(0, np.pi, height * fine + 1))
    return (edges[:-1] - edges[1:]) * 2 * np.pi / (width * fine)


def coordinates(vectors: Float[Array, "*n 3"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """(u, v) of unit vectors. Gradients are finite at the poles too."""
    module = namespace(vectors)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    across = (x * x + z * z).clip(1e-12) ** 0.5
    x = module.where((x * x + z * z) < 1e-12, x * 0 + 1e-6, x)
    return 0.5 + module.arctan2(z, x) / (2 * np.pi), module.arctan2(across, y) / np.pi


@cache
def harmonic_matrix(height: int, width: int) -> Float[np.ndarray, "9 t"]:
    """What takes an environment's texels to the nine coefficients of its radiance."""
    values = basis(directions(height, width, FINE)) * solid_angles(height, width, FINE)[:, None, None]
    return values.reshape(height, FINE, width, FINE, 9).sum((1, 3)).reshape(-1, 9).T


def lobe(height: int, width: int, roughness: float) -> Float[np.ndarray, "h h w"]:
    """Weights of a GGX lobe round texel (i, 0): texel (j, d) counts [i, j, d]; each [i] adds up to 1.

    A lobe at (i, c) has the same weights shifted by c columns, and that is all there is to store: h * h * w numbers
    instead of (h * w)^2. The surface is taken to be seen along its normal (Karis 2013), where n.h is the cosine of half
    the angle between normal and light; the weight of a direction l is then D(h) V(l, n) n.l, which is exact there.
    Narrow lobes are summed over the samples of each texel.
    """
    fine = FINE if roughness < 0.2 else 2 if roughness < 0.4 else 1
    upper = (height + 1) // 2
    polar = np.pi * (np.arange(upper, dtype=np.float32) + 0.5) / height
    source = np.pi * (np.arange(height * fine, dtype=np.float32) + 0.5) / (height * fine)
    turn = 2 * np.pi * ((np.arange(width * fine, dtype=np.float32) + 0.5) / fine - 0.5) / width
    level = np.cos(polar)[:, None] * np.cos(source)
    across = np.sin(polar)[:, None] * np.sin(source)
    lit = np.clip(level[..., None] + across[..., None] * np.cos(turn), 0, 1)
    alpha, towards = np.array(roughness**2, np.float32), np.array(1, np.float32)
    weight = distribution(np.sqrt(0.5 + 0.5 * lit), alpha) * visibility(lit, towards, alpha) * lit
    weight = weight * solid_angles(height, width, fine)[:, None].astype(np.float32)
    weight = weight.reshape(upper, height, fine, width, fine).sum((2, 4), dtype=np.float64)
    weight /= weight.sum((1, 2), keepdims=True)
    return np.concatenate([weight, weight[: height // 2][::-1, ::-1]])  # the lower half mirrors the upper


@cache
def lobe_spectra(height: int, width: int, levels: int) -> Float[np.ndarray, "l-1 m h h"]:
    """The lobes of levels 1 .. l-1, Fourier transformed along columns. They are real: lobes are symmetric."""
    lobes = (lobe(height, width, k / (levels - 1)) for k in range(1, levels))
    spectra = [np.fft.rfft(weights, axis=2).real.transpose(2, 0, 1).astype(np.float32) for weights in lobes]
    return np.array(spectra).reshape(levels - 1, width // 2 + 1, height, height)
