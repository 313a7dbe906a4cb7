"""How well depth maps of several views agree: one compiled kernel (readable twin: `residuals_reference`).

A sample point of view i, lifted by its depth, is projected into view j. Outside j's silhouette the residual is the
distance to the silhouette; inside it is ``D_j - z``: positive where the point floats in free space that j saw
through, negative where it lies behind j's surface. Units: half image widths at the rig's centre (rig cameras), world
units (given cameras).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from meshwright.rendering.threads import kernel

SKIPPED, INSIDE, OUTSIDE = 0, 1, 2
LINEAR, INVERSE = 0, 1
BEHIND_CAMERA = 0.05  # z in units of the rig's distance below which a point counts as behind the camera


@dataclass(frozen=True, eq=False)
class Poses:
    """Numbers of all views for the kernel. ``law`` rows are (a, b): z = a v + b, or 1 / z = a v + b for INVERSE."""

    rotation: Float[np.ndarray, "n 3 3"]
    centre: Float[np.ndarray, "n 3"]
    intrinsics: Float[np.ndarray, "n 4"]
    law: Float[np.ndarray, "n 2"]
    kappa: float
    kind: int
    ray: bool
    orthographic: bool


@dataclass(frozen=True, eq=False)
class Maps:
    """Per view, padded to one size: depth values (0 = none), signed silhouette distance in map pixels, map sizes."""

    values: Float[np.ndarray, "n h w"]
    distance: Float[np.ndarray, "n h w"]
    sizes: Int[np.ndarray, "n 2"]
    jump: Float[np.ndarray, "n"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Sample pixels: view, map coordinates and value."""

    view: Int[np.ndarray, "m"]
    uv: Float[np.ndarray, "m 2"]
    value: Float[np.ndarray, "m"]


# Residual (m n), state (m n, one of SKIPPED, INSIDE, OUTSIDE) and support function (n k).
Residuals = tuple[Float[np.ndarray, "m n"], UInt8[np.ndarray, "m n"], Float[np.ndarray, "n k"]]


@dataclass(frozen=True, eq=False)
class PairEvidence:
    """What `pair_residuals` returns, pair by pair: ``reach[i, j]`` is how far view i's points reach in view j."""

    residual: Float[np.ndarray, "m n"]
    state: UInt8[np.ndarray, "m n"]
    reach: Float[np.ndarray, "n n k"]

    @property
    def support(self) -> Float[np.ndarray, "n k"]:
        """Furthest reach of all other views' points in each view."""
        return self.reach.max(0)


@kernel()
def _depth(v, a, b, kind, ray, slope2):  # pragma: no cover - compiled
    z = a * v + b
    if kind == 1:
        z = 1.0 / z if z > 1e-9 else 1e9
    if ray:
        z = z / np.sqrt(1.0 + slope2)
    return z


@kernel()
def _lookup(values, j, x, y, jump):  # pragma: no cover - compiled
    """Bilinear value among the valid pixels that belong to one surface; 0 where there is none."""
    x0, y0 = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
    h, w = values.shape[1], values.shape[2]
    if x0 < 0 or y0 < 0 or x0 + 1 >= w or y0 + 1 >= h:
        return 0.0
    fx, fy = x - 0.5 - x0, y - 0.5 - y0
    ref, best = 0.0, -1.0
    for k in range(4):
        dx, dy = k & 1, k >> 1
        wt = (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
        v = values[j, y0 + dy, x0 + dx]
        if v > 0 and wt > best:
            ref, best = v, wt
    if best < 0:
        return 0.0
    total, weight = 0.0, 0.0
    for k in range(4):
        dx, dy = k & 1, k >> 1
        v = values[j, y0 + dy, x0 + dx]
        if v > 0 and abs(v - ref) <= jump:
            wt = (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
            total += wt * v
            weight += wt
    return total / weight if weight > 1e-9 else ref


@kernel()
def _bilinear(image, j, x, y):  # pragma: no cover - compiled
    h, w = image.shape[1], image.shape[2]
    xc, yc = min(max(x - 0.5, 0.0), w - 1.001), min(max(y - 0.5, 0.0), h - 1.001)
    x0, y0 = int(xc), int(yc)
    fx, fy = xc - x0, yc - y0
    top = image[j, y0, x0] * (1 - fx) + image[j, y0, x0 + 1] * fx
    low = image[j, y0 + 1, x0] * (1 - fx) + image[j, y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + low * fy


@kernel()
def _ahead(v, a, b, kind, ray, slope2, z, way_out):  # pragma: no cover - compiled
    """How far a point at depth z lies in front of what was seen there (value v)."""
    d = _depth(v, a, b, kind, ray, slope2) - z
    # a point just inside the contour violates free space at most by its way out of the silhouette
    return way_out if d > 0 and d > way_out else d


@kernel()
def _kernel(
    view, uv, value, rotation, centre, intr, law, kappa, kind, ray, ortho, values, distance, sizes, jump,
    only, out, state, directions, reach,
):  # fmt: skip  # pragma: no cover - compiled
    for s in range(view.shape[0]):
        i = view[s]
        sx, sy = (uv[s, 0] - intr[i, 2]) / intr[i, 0], (uv[s, 1] - intr[i, 3]) / intr[i, 1]
        z = _depth(value[s], law[i, 0], law[i, 1], kind, ray, (sx * sx + sy * sy) * kappa * kappa)
        k = 1.0 if ortho else z * kappa
        lx, ly = sx * k, sy * k
        px = rotation[i, 0, 0] * lx + rotation[i, 0, 1] * ly + rotation[i, 0, 2] * z + centre[i, 0]
        py = rotation[i, 1, 0] * lx + rotation[i, 1, 1] * ly + rotation[i, 1, 2] * z + centre[i, 1]
        pz = rotation[i, 2, 0] * lx + rotation[i, 2, 1] * ly + rotation[i, 2, 2] * z + centre[i, 2]
        for j in range(rotation.shape[0]):
            if j == i or not (only < 0 or only == i or only == j):
                continue
            qx, qy, qz = px - centre[j, 0], py - centre[j, 1], pz - centre[j, 2]
            jx = rotation[j, 0, 0] * qx + rotation[j, 1, 0] * qy + rotation[j, 2, 0] * qz
            jy = rotation[j, 0, 1] * qx + rotation[j, 1, 1] * qy + rotation[j, 2, 1] * qz
            jz = rotation[j, 0, 2] * qx + rotation[j, 1, 2] * qy + rotation[j, 2, 2] * qz
            if not ortho:
                if jz * kappa < BEHIND_CAMERA:
                    out[s, j], state[s, j] = 1.0, 2
                    continue
                jx, jy = jx / (jz * kappa), jy / (jz * kappa)
            for d in range(directions.shape[0]):
                reach[i, j, d] = max(reach[i, j, d], jx * directions[d, 0] + jy * directions[d, 1])
            out[s, j], state[s, j] = 0.0, 0
            mx, my = jx * intr[j, 0] + intr[j, 2], jy * intr[j, 1] + intr[j, 3]
            pixel = (1.0 if ortho else jz * kappa) / intr[j, 1]
            cx, cy = min(max(mx, 0.5), sizes[j, 0] - 0.5), min(max(my, 0.5), sizes[j, 1] - 0.5)
            away = np.sqrt((mx - cx) ** 2 + (my - cy) ** 2)
            outside = _bilinear(distance, j, cx, cy)
            if away > 0 and outside < 0:
                continue  # beyond the image's border nothing was seen: no evidence against the point
            outside += away
            if outside > 0:
                out[s, j], state[s, j] = outside * pixel, 2
                continue
            v = _lookup(values, j, mx, my, jump[j])
            if v > 0:
                slope2 = (jx * jx + jy * jy) * kappa * kappa
                out[s, j] = _ahead(v, law[j, 0], law[j, 1], kind, ray, slope2, jz, -outside * pixel)
                state[s, j] = 1


def pair_residuals(samples: Samples, poses: Poses, maps: Maps, directions: Float[np.ndarray, "k 2"]) -> Residuals:
    """Residual and state of every sample in every other view, and the support function of what projects into a view."""
    found = evaluate_pairs(samples, poses, maps, directions)
    return found.residual, found.state, found.support


def evaluate_pairs(
    samples: Samples,
    poses: Poses,
    maps: Maps,
    directions: Float[np.ndarray, "k 2"],
    base: PairEvidence | None = None,
    only: int = -1,
) -> PairEvidence:
    """`pair_residuals`, kept apart by pairs: with ``base``, just the pairs that view ``only`` takes part in (-1: all)
    are evaluated anew and the rest is copied, which is what makes a Jacobian cheap.
    """
    n = len(poses.rotation)
    if base is None:
        out, state = np.zeros((len(samples.view), n)), np.zeros((len(samples.view), n), np.uint8)
        reach = np.full((n, n, len(directions)), -1e9)
    else:
        out, state, reach = base.residual.copy(), base.state.copy(), base.reach.copy()
        if only < 0:
            reach[:] = -1e9
        else:
            reach[only], reach[:, only] = -1e9, -1e9
    _kernel(
        samples.view, samples.uv, samples.value, poses.rotation, poses.centre, poses.intrinsics, poses.law,
        float(poses.kappa), poses.kind, poses.ray, poses.orthographic, maps.values, maps.distance, maps.sizes,
        maps.jump, only, out, state, directions, reach,
    )  # fmt: skip
    return PairEvidence(out, state, reach)


def project_pairs(
    samples: Samples, poses: Poses, target: int
) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
    """Map coordinates, tan^2 of the angle to the axis, and z of all samples in view ``target``."""
    intr, kappa = poses.intrinsics, poses.kappa
    slopes = (samples.uv - intr[samples.view, 2:]) / intr[samples.view, :2]
    z = law_depth(samples.value, poses.law[samples.view], poses, (slopes**2).sum(-1) * kappa**2)
    stretch = np.ones_like(z) if poses.orthographic else z * kappa
    local = np.concatenate([slopes * stretch[:, None], z[:, None]], 1)
    points = np.einsum("mij,mj->mi", poses.rotation[samples.view], local) + poses.centre[samples.view]
    seen = (points - poses.centre[target]) @ poses.rotation[target]
    flat = seen[:, :2] if poses.orthographic else seen[:, :2] / np.maximum(seen[:, 2:] * kappa, 1e-9)
    return flat * intr[target, :2] + intr[target, 2:], (flat**2).sum(-1) * kappa**2, seen[:, 2]


def law_depth(
    value: Float[np.ndarray, "m"], law: Float[np.ndarray, "m 2"], poses: Poses, slope2: Float[np.ndarray, "m"]
) -> Float[np.ndarray, "m"]:
    """z of stored values under a law; ``slope2`` is tan^2 of the angle to the optical axis."""
    z = law[..., 0] * value + law[..., 1]
    z = 1.0 / np.maximum(z, 1e-9) if poses.kind == INVERSE else z
    return z / np.sqrt(1.0 + slope2) if poses.ray else z
