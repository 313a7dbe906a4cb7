"""From a stored depth map to a smooth one: quantisation terraces and sensor noise taken out inside known bounds.

An 8-bit depth says only that the true z lies within half a step of the stored one; on a facing surface the terraces are
tens of pixels wide. `dequantise` finds the surface of least bending (thin-plate energy
``z_xx^2 + 2 z_xy^2 + z_yy^2``, Grimson 1981) that stays inside those bounds, coarse to fine, by projected successive
over-relaxation. Nothing is smoothed across depth jumps or the mask's edge: a term of the energy exists only where all
of its pixels are linked to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.rendering.threads import kernel

JUMP_STEPS = 2.5  # neighbours farther apart than this many steps are two surfaces
JUMP_SLOPE = 12.0  # the same for unquantised depth, in pixel sizes (85 degrees of incidence)
STRAY_PIXELS = 30  # smaller pieces of surface are taken for noise
RELAXATION = 1.6  # of 1.4, 1.6, 1.8 the smallest error after the sweeps below
LEVELS = 6
SWEEPS_COARSE, SWEEPS_FINE = 60, 24
CENTRING = 1e-5  # pull to the middle of a step: matters on plateaus beyond 100 px only (bob: rms .10 to .09 voxel)


@dataclass(frozen=True, eq=False)
class SmoothDepth:
    """Smooth z-depth (float64, 0 = none) and which neighbours lie on the same surface.

    ``link_x[i, j]`` links pixel (i, j) with (i, j + 1), ``link_y[i, j]`` with (i + 1, j).
    """

    depth: Float[np.ndarray, "h w"]
    link_x: Bool[np.ndarray, "h w-1"]
    link_y: Bool[np.ndarray, "h-1 w"]

    @property
    def valid(self) -> Bool[np.ndarray, "h w"]:
        """Where there is a depth."""
        return self.depth > 0


def dequantise(
    depth: Float[np.ndarray, "h w"], step: float, pixel_size: float, mask: Bool[np.ndarray, "h w"] | None = None
) -> SmoothDepth:
    """Smooth ``depth`` (0 = none) inside its quantisation bounds ``depth +- step / 2``.

    ``pixel_size`` is the world size of a pixel at the object. With a step well below the pixel size the depth is taken
    as it is, unless noise is measured in it: then it is smoothed towards the stored values instead of within bounds.
    """
    z = np.where(depth > 0, depth, 0.0).astype(np.float64)
    if mask is not None:
        z = np.where(mask, z, 0.0)
    sigma = measure_noise(z) if step < 0.5 * pixel_size else 0.0
    limit = max(JUMP_STEPS * step, JUMP_SLOPE * pixel_size, 8 * sigma)
    link_x, link_y = _links(z, limit)
    z = _without_strays(z, link_x, link_y)
    link_x, link_y = _links(z, limit)
    if sigma > 0.1 * pixel_size:
        z = _relax_pyramid(z, np.full(z.shape, 4 * sigma), (pixel_size / sigma) ** 2 * 1e-2, link_x, link_y, LEVELS)
    elif step > 0.02 * pixel_size:
        z = step * _relax_pyramid(z / step, np.where(z > 0, 0.5, 0.0), CENTRING, link_x, link_y, LEVELS)
    return SmoothDepth(z, link_x, link_y)


def measure_noise(z: Float[np.ndarray, "h w"]) -> float:
    """Standard deviation of white noise in ``z`` from its second differences (median, so that jumps do not count)."""
    triple = (z[:, 2:] > 0) & (z[:, 1:-1] > 0) & (z[:, :-2] > 0)
    if triple.sum() < 100:
        return 0.0
    bend = np.abs(z[:, 2:] - 2 * z[:, 1:-1] + z[:, :-2])[triple]
    return float(np.median(bend) / 0.6745 / np.sqrt(6.0))


def _links(z: Float[np.ndarray, "h w"], limit: float) -> tuple[Bool[np.ndarray, "h v"], Bool[np.ndarray, "g w"]]:
    valid = z > 0
    link_x = valid[:, 1:] & valid[:, :-1] & (np.abs(np.diff(z, axis=1)) <= limit)
    link_y = valid[1:] & valid[:-1] & (np.abs(np.diff(z, axis=0)) <= limit)
    return link_x, link_y


def _without_strays(
    z: Float[np.ndarray, "h w"], link_x: Bool[np.ndarray, "h v"], link_y: Bool[np.ndarray, "g w"]
) -> Float[np.ndarray, "h w"]:
    """Set pixels of pieces below `STRAY_PIXELS` to none; flying pixels between two surfaces are such pieces."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    index = np.arange(z.size).reshape(z.shape)
    a = np.concatenate([index[:, :-1][link_x], index[:-1][link_y]])
    b = np.concatenate([index[:, 1:][link_x], index[1:][link_y]])
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), shape=(z.size, z.size))
    _, label = connected_components(graph, directed=False)
    small = np.bincount(label)[label].reshape(z.shape) < STRAY_PIXELS
    return np.where(small, 0.0, z)


def _relax_pyramid(
    z: Float[np.ndarray, "h w"],
    slack: Float[np.ndarray, "h w"],
    fidelity: float,
    link_x: Bool[np.ndarray, "h v"],
    link_y: Bool[np.ndarray, "g w"],
    levels: int,
) -> Float[np.ndarray, "h w"]:
    """Least bending within ``z +- slack``: solve at half the size first, then relax from that solution."""
    start = z
    if levels > 1 and min(z.shape) >= 8:
        inside, coarse, coarse_slack, cx, cy = _halve(z, slack, link_x, link_y)
        if inside.sum() >= 16:
            solved = _relax_pyramid(coarse, coarse_slack, fidelity * 16, cx, cy, levels - 1)
            start = _double(solved, z, inside, cx, cy)
    out = np.clip(start, z - slack, z + slack)
    terms = _terms(z > 0, link_x, link_y)
    pixels = np.flatnonzero(terms.ravel()).astype(np.int32)
    sweeps = SWEEPS_FINE if levels == LEVELS else SWEEPS_COARSE
    flat = out.ravel().copy()
    low, high = (z - slack).ravel(), (z + slack).ravel()
    _relax(flat, low, high, terms.ravel(), pixels, z.shape[1], fidelity, RELAXATION, sweeps)
    return flat.reshape(z.shape)


def _halve(z, slack, link_x, link_y):
    """2 x 2 cells that lie on one surface: mean value, slack, links. Cells on a terrace's edge are known better."""
    h, w = z.shape[0] // 2 * 2, z.shape[1] // 2 * 2
    children = np.stack([z[i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)])
    inside = (children > 0).all(0)
    inside &= link_x[0:h:2, 0 : w - 1 : 2] & link_x[1:h:2, 0 : w - 1 : 2]
    inside &= link_y[0 : h - 1 : 2, 0:w:2] & link_y[0 : h - 1 : 2, 1:w:2]
    spread = np.ptp(children, axis=0)
    own = slack[0:h:2, 0:w:2]
    coarse = np.where(inside, children.mean(0), 0.0)
    coarse_slack = np.where(spread > 1e-9, np.minimum(own, 0.25 * (own > 0) + (own > 0.5)), own)
    right = link_x[0:h:2, 1 : w - 1 : 2] & link_x[1:h:2, 1 : w - 1 : 2]
    below = link_y[1 : h - 1 : 2, 0:w:2] & link_y[1 : h - 1 : 2, 1:w:2]
    return inside, coarse, coarse_slack, right & inside[:, 1:] & inside[:, :-1], below & inside[1:] & inside[:-1]


def _double(coarse, z, inside, link_x, link_y):
    """Cell values and their slopes onto the four children; pixels outside the cells keep their stored value."""
    slope_x, slope_y = slopes(coarse, link_x, link_y)
    out = z.copy()
    h, w = z.shape[0] // 2 * 2, z.shape[1] // 2 * 2
    for i in (0, 1):
        for j in (0, 1):
            child = coarse + (j - 0.5) / 2 * slope_x + (i - 0.5) / 2 * slope_y
            out[i:h:2, j:w:2] = np.where(inside, child, z[i:h:2, j:w:2])
    return out


def slopes(
    z: Float[np.ndarray, "h w"], link_x: Bool[np.ndarray, "h v"], link_y: Bool[np.ndarray, "g w"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Slopes per pixel along x and y from linked neighbours only (central, else one-sided, else 0)."""
    result = []
    for axis, link in ((1, link_x), (0, link_y)):
        difference = np.where(link, np.diff(z, axis=axis), 0.0)
        pad = [(0, 0), (0, 0)]
        total, count = np.zeros_like(z), np.zeros(z.shape, np.int8)
        for side in ((1, 0), (0, 1)):
            pad[axis] = side
            total += np.pad(difference, pad)
            count += np.pad(link, pad)
        result.append(total / np.maximum(count, 1))
    return result[0], result[1]


# One bit a term of the energy in which a pixel takes part.
CENTRE_X, LEFT_X, RIGHT_X, CENTRE_Y, UP_Y, DOWN_Y, CROSS_UL, CROSS_UR, CROSS_DL, CROSS_DR = (1 << k for k in range(10))


def _terms(
    valid: Bool[np.ndarray, "h w"], link_x: Bool[np.ndarray, "h v"], link_y: Bool[np.ndarray, "g w"]
) -> Int[np.ndarray, "h w"]:
    """Per pixel the bits of the second differences that exist: along x, along y, and the twist of 2 x 2 blocks."""
    h, w = valid.shape
    bend_x = np.zeros((h, w + 2), bool)
    bend_x[:, 2:w] = link_x[:, 1:] & link_x[:, :-1]
    bend_y = np.zeros((h + 2, w), bool)
    bend_y[2:h] = link_y[1:] & link_y[:-1]
    block = np.zeros((h + 1, w + 1), bool)
    block[1:h, 1:w] = link_x[1:] & link_x[:-1] & link_y[:, 1:] & link_y[:, :-1]
    present = {
        CENTRE_X: bend_x[:, 1:-1], LEFT_X: bend_x[:, :-2], RIGHT_X: bend_x[:, 2:],
        CENTRE_Y: bend_y[1:-1], UP_Y: bend_y[:-2], DOWN_Y: bend_y[2:],
        CROSS_UL: block[:-1, :-1], CROSS_UR: block[:-1, 1:], CROSS_DL: block[1:, :-1], CROSS_DR: block[1:, 1:],
    }  # fmt: skip
    terms = np.zeros((h, w), np.int16)
    for bit, where in present.items():
        terms |= (where * bit).astype(np.int16)
    return terms


@kernel()
def _relax(z, low, high, terms, pixels, width, fidelity, omega, sweeps):  # pragma: no cover
    """Projected SOR over the listed pixels, in place; forward and backward sweeps in turn."""
    n, w = len(pixels), width
    for sweep in range(sweeps):
        for k in range(n):
            p = pixels[k] if sweep % 2 == 0 else pixels[n - 1 - k]
            t = terms[p]
            if t == 1023:
                near = z[p - 1] + z[p + 1] + z[p - w] + z[p + w]
                corner = z[p - w - 1] + z[p - w + 1] + z[p + w - 1] + z[p + w + 1]
                far = z[p - 2] + z[p + 2] + z[p - 2 * w] + z[p + 2 * w]
                pull, weight = 8 * near - 2 * corner - far, 20.0
            else:
                pull, weight = 0.0, 0.0
                if t & 1:
                    pull += 2 * (z[p - 1] + z[p + 1])
                    weight += 4
                if t & 2:
                    pull += 2 * z[p - 1] - z[p - 2]
                    weight += 1
                if t & 4:
                    pull += 2 * z[p + 1] - z[p + 2]
                    weight += 1
                if t & 8:
                    pull += 2 * (z[p - w] + z[p + w])
                    weight += 4
                if t & 16:
                    pull += 2 * z[p - w] - z[p - 2 * w]
                    weight += 1
                if t & 32:
                    pull += 2 * z[p + w] - z[p + 2 * w]
                    weight += 1
                if t & 64:
                    pull += 2 * (z[p - 1] + z[p - w] - z[p - w - 1])
                    weight += 2
                if t & 128:
                    pull += 2 * (z[p + 1] + z[p - w] - z[p - w + 1])
                    weight += 2
                if t & 256:
                    pull += 2 * (z[p - 1] + z[p + w] - z[p + w - 1])
                    weight += 2
                if t & 512:
                    pull += 2 * (z[p + 1] + z[p + w] - z[p + w + 1])
                    weight += 2
            middle = 0.5 * (low[p] + high[p])
            goal = (pull + fidelity * middle) / (weight + fidelity)
            value = z[p] + omega * (goal - z[p])
            z[p] = min(max(value, low[p]), high[p])
