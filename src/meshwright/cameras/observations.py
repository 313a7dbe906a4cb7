"""What the solver sees of a view: smoothed depth values, silhouette distance, sample points and support function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from meshwright.cameras.residuals import Maps, Samples
from meshwright.capture.masks import drop_specks, fill_pinholes
from meshwright.rendering.threads import kernel

MAP_SIZE = 520  # longer side of the solver maps: measured, finer ones do not find the rig better
DIRECTIONS = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], -1)


@dataclass(frozen=True, eq=False)
class Observation:
    """One view's evidence at map size. ``scale`` takes full-size pixels to map pixels."""

    name: str
    values: Float[np.ndarray, "h w"]
    distance: Float[np.ndarray, "h w"]
    scale: float
    jump: float
    noise: float
    uv: Float[np.ndarray, "m 2"]
    sampled: Float[np.ndarray, "m"]
    near: float
    far: float
    rim: float

    @property
    def size(self) -> tuple[int, int]:
        """Map (width, height)."""
        return self.values.shape[1], self.values.shape[0]


@kernel()
def _window_mean(values, radius, tolerance):  # pragma: no cover - compiled
    h, w = values.shape
    out = np.zeros_like(values)
    for y in range(h):
        for x in range(w):
            centre = values[y, x]
            if centre <= 0:
                continue
            total, count = 0.0, 0
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    yy, xx = y + dy, x + dx
                    if yy < 0 or xx < 0 or yy >= h or xx >= w:
                        continue
                    # opposite neighbours come in pairs, so that a slope at a border is not pulled to one side
                    y2, x2 = y - dy, x - dx
                    if y2 < 0 or x2 < 0 or y2 >= h or x2 >= w:
                        continue
                    a, b = values[yy, xx], values[y2, x2]
                    if a > 0 and b > 0 and abs(a - centre) <= tolerance and abs(b - centre) <= tolerance:
                        total += a
                        count += 1
            out[y, x] = total / count
    return out


def signed_distance(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Distance to the mask's contour in pixels: positive outside, negative inside, zero between pixels."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, -1e3 if mask.all() else 1e3)
    signed = np.asarray(ndimage.distance_transform_edt(~mask)) - 0.5
    box = _box(mask)  # the inside needs no more of the frame
    inside = np.asarray(ndimage.distance_transform_edt(mask[box]))
    signed[box] = np.where(mask[box], 0.5 - inside, signed[box])
    return signed


def _box(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """The mask's box with one pixel around it, as far as the image goes."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)


def value_noise(values: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> float:
    """Robust standard deviation of pixel noise from second differences (0 for smooth or quantised maps)."""
    second = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    good = mask[:, :-2] & mask[:, 1:-1] & mask[:, 2:]
    if not good.any():
        return 0.0
    return float(1.4826 * np.median(np.abs(second[good])) / np.sqrt(6.0))


def observe(name: str, values: Float[np.ndarray, "h w"], samples: int = 3000, seed: int = 0) -> Observation:
    """Prepare one depth map (0 = none) for the solver."""
    height, width = values.shape
    mask = drop_specks(values > 0)
    values = np.where(mask, values, 0.0)
    noise = value_noise(values, mask)
    step = _smallest_step(values[mask])
    factor = max(1, int(np.ceil(max(width, height) / MAP_SIZE)))
    distance_full = signed_distance(fill_pinholes(mask))
    reduced, distance = _reduce(values, mask, factor), _mean_blocks(distance_full, factor)
    span = float(np.ptp(reduced[reduced > 0])) if (reduced > 0).any() else 0.0
    tolerance = max(2.5 * step, 4 * noise, 0.004 * span)
    smooth = _window_mean(reduced, 3, tolerance)
    jump = max(3 * step, 6 * noise, 0.06 * span)
    uv, sampled = _draw_samples(smooth, distance, jump, samples, seed)
    inner = smooth[(smooth > 0) & (distance < -1)]
    inner = inner if inner.size else smooth[smooth > 0]
    rim = smooth[(smooth > 0) & (distance > -4) & (distance < -0.5)]
    near, far = (float(v) for v in np.percentile(inner, [0.5, 99.5]))
    return Observation(
        name, smooth, distance / factor, 1.0 / factor, jump, noise, uv, sampled, near, far,
        float(np.median(rim)) if rim.size else far,
    )  # fmt: skip


def _smallest_step(values: Float[np.ndarray, "m"]) -> float:
    """Quantisation step of stored values: 1 for integers, 0 for floats."""
    return 1.0 if values.size and np.array_equal(values, np.rint(values)) else 0.0


def _pad(image: np.ndarray, factor: int, fill: float) -> np.ndarray:
    h, w = image.shape
    return np.pad(image, ((0, -h % factor), (0, -w % factor)), constant_values=fill)


def _mean_blocks(image: Float[np.ndarray, "h w"], factor: int) -> Float[np.ndarray, "a b"]:
    image = np.pad(image, ((0, -image.shape[0] % factor), (0, -image.shape[1] % factor)), mode="edge")
    return image.reshape(image.shape[0] // factor, factor, -1, factor).mean((1, 3))


def _reduce(values: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"], factor: int) -> Float[np.ndarray, "a b"]:
    """Block mean of valid values where most of the block is valid and on one surface, else the block's median."""
    if factor == 1:
        return values.astype(float)
    blocks = _pad(np.where(mask, values, np.nan), factor, np.nan)
    h, w = blocks.shape[0] // factor, blocks.shape[1] // factor
    blocks = blocks.reshape(h, factor, w, factor).transpose(0, 2, 1, 3).reshape(h, w, -1)
    count = np.isfinite(blocks).sum(-1)
    filled = np.where(np.isfinite(blocks), blocks, 0.0)
    mean = filled.sum(-1) / np.maximum(count, 1)
    return np.where(count * 2 > blocks.shape[-1], mean, 0.0)


def _draw_samples(
    smooth: Float[np.ndarray, "h w"], distance: Float[np.ndarray, "h w"], jump: float, count: int, seed: int
) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m"]]:
    """Stratified sample pixels away from the contour (its depths are mixed) and from depth jumps."""
    high = ndimage.maximum_filter(smooth, 3)
    low = ndimage.minimum_filter(np.where(smooth > 0, smooth, np.inf), 3)
    good = (smooth > 0) & (distance < -1.5) & (high - low <= jump)
    if good.sum() < 50:
        good = smooth > 0
    ys, xs = np.nonzero(good)
    rng = np.random.default_rng(seed)
    order = np.argsort(ys // 8 * 4096 + xs // 8, kind="stable")  # neighbours together, so equal strides are stratified
    picks = order[
        np.unique((np.linspace(0, len(order) - 1, min(count, len(order))) + rng.uniform(-0.4, 0.4)).astype(int).clip(0))
    ]
    return np.stack([xs[picks] + 0.5, ys[picks] + 0.5], -1), smooth[ys[picks], xs[picks]]


def support_function(distance: Float[np.ndarray, "h w"], intrinsics: Float[np.ndarray, "4"]) -> Float[np.ndarray, "k"]:
    """Furthest reach of the silhouette along `DIRECTIONS`, in slope units."""
    ys, xs = np.nonzero(distance < 0)
    fx, fy, cx, cy = intrinsics
    slopes = np.stack([(xs + 0.5 - cx) / fx, (ys + 0.5 - cy) / fy], -1)
    return (slopes @ DIRECTIONS.T).max(0)


def stack_maps(observations: list[Observation]) -> Maps:
    """All views' maps, padded to one size."""
    h = max(o.size[1] for o in observations)
    w = max(o.size[0] for o in observations)

    def padded(image: Float[np.ndarray, "a b"], fill: float) -> Float[np.ndarray, "h w"]:
        return np.pad(image, ((0, h - image.shape[0]), (0, w - image.shape[1])), constant_values=fill)

    return Maps(
        np.stack([padded(o.values, 0.0) for o in observations]).astype(np.float32),
        np.stack([padded(o.distance, 1e3) for o in observations]).astype(np.float32),
        np.array([o.size for o in observations], np.int64),
        np.array([max(o.jump, 1e-9) for o in observations]),
    )


def stack_samples(observations: list[Observation], per_view: int | None = None) -> Samples:
    """All views' samples (thinned evenly to ``per_view``)."""
    views: list[np.ndarray] = []
    uvs: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for index, o in enumerate(observations):
        stride = max(1, len(o.sampled) // per_view) if per_view else 1
        uvs.append(o.uv[::stride])
        values.append(o.sampled[::stride])
        views.append(np.full(len(values[-1]), index, np.int64))
    return Samples(np.concatenate(views), np.concatenate(uvs), np.concatenate(values))


def stack_dense(observations: list[Observation], stride: int = 2) -> Samples:
    """Samples on a regular grid of map pixels, up to the contour."""
    views: list[np.ndarray] = []
    uvs: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for index, o in enumerate(observations):
        ys, xs = np.nonzero((o.values > 0) & (o.distance < -0.75))
        keep = (ys % stride == 0) & (xs % stride == 0)
        uvs.append(np.stack([xs[keep] + 0.5, ys[keep] + 0.5], -1))
        values.append(o.values[ys[keep], xs[keep]].astype(float))
        views.append(np.full(len(values[-1]), index, np.int64))
    return Samples(np.concatenate(views), np.concatenate(uvs), np.concatenate(values))
