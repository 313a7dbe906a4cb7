"""What the views show, as tensors of one image size: what the renderer's pictures are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.rendering.differentiable import CameraBatch
from meshwright.surface.sightings import resampled_nearest

EXACT = 5e-4  # of the diagonal: what depth without steps and noise is trusted to
STEP_SHARE = 0.2  # of a quantisation step: how sharply depth may not leave its step
JUMP_STEPS, JUMP = 3.0, 0.01  # steps, and of the diagonal: neighbours farther apart are not one surface
NOISY = 0.5  # of a step: noise above this hides what steps tell; steep quantised surfaces seem to have up to 0.4
TRIMMED, TRIMMED_MEAN = 95, 0.7168  # percentile below which values are averaged, and that mean of a half-normal


@dataclass(frozen=True, eq=False)
class Observations:
    """Views as (n, h, w) float32 tensors, world units.

    ``masks`` is 1 on the object. ``depth`` counts where ``trust`` is above 0. The true z lies within ``half_step`` of
    it, give or take ``sigma`` (both (n, 1, 1)). ``noisy`` says that the depth has noise beyond its steps.
    """

    cameras: CameraBatch
    masks: Float[Tensor, "n h w"]
    depth: Float[Tensor, "n h w"]
    trust: Float[Tensor, "n h w"]
    half_step: Float[Tensor, "n 1 1"]
    sigma: Float[Tensor, "n 1 1"]
    noisy: bool
    diagonal: float

    @property
    def has_depth(self) -> bool:
        """Whether any view has depth to go by."""
        return bool((self.trust > 0).any())


def observe(capture: CalibratedCapture, size: int, device: str = "cpu") -> Observations:
    """The capture at ``size`` pixels along the longer side of its first view, at most that view's own."""
    height, width = reduced_size(capture.views[0].mask.shape, size)
    views, diagonal = capture.views, capture.diagonal
    noise = [depth_noise(view) for view in views]
    depth, trust = zip(*(_depth(view, height, width, diagonal) for view in views), strict=True)
    steps = np.array([view.depth_step for view in views])
    sigma = np.maximum(np.maximum(noise, STEP_SHARE * steps), EXACT * diagonal)
    noisy = float(np.median(noise)) > max(NOISY * float(np.median(steps)), EXACT * diagonal)
    cameras = CameraBatch.of([view.camera.resized(width, height) for view in views], device)
    half = np.zeros_like(steps) if noisy else steps / 2
    masks = [_reduced(view.mask.astype(np.float32), height, width) for view in views]
    return Observations(
        cameras,
        _tensor(masks, device),
        _tensor(depth, device),
        _tensor(trust, device),
        _tensor(half, device)[:, None, None],
        _tensor(sigma, device)[:, None, None],
        noisy,
        diagonal,
    )


def depth_noise(view: CalibratedView) -> float:
    """The standard deviation of a view's depth from smooth surfaces, from second differences along its rows.

    World units; 0 where there is no depth. Steps count too: up to 0.4 of a step where each pixel has another one.
    """
    if view.depth is None:
        return 0.0
    z = view.depth
    second = z[:, 2:] - 2 * z[:, 1:-1] + z[:, :-2]
    inside = (z[:, 2:] > 0) & (z[:, 1:-1] > 0) & (z[:, :-2] > 0)
    if not inside.any():
        return 0.0
    size = np.abs(second[inside])
    return float(size[size <= np.percentile(size, TRIMMED)].mean() / (TRIMMED_MEAN * np.sqrt(6)))


def reduced_size(shape: Sequence[int], size: int) -> tuple[int, int]:
    """Height and width of an image (h, w, ...) with ``size`` pixels along its longer side, at most its own."""
    height, width = shape[:2]
    scale = min(1.0, size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _tensor(images: Sequence[np.ndarray] | np.ndarray, device: str) -> Tensor:
    return torch.tensor(
        np.stack(images) if isinstance(images, Sequence) else images, dtype=torch.float32, device=device
    )


def _reduced(image: Float[np.ndarray, "H W"], height: int, width: int) -> Float[np.ndarray, "h w"]:
    """Block means where the sizes divide, else the nearest pixel."""
    if image.shape[0] % height == 0 and image.shape[1] % width == 0:
        return image.reshape(height, image.shape[0] // height, width, image.shape[1] // width).mean((1, 3))
    return resampled_nearest(image, (height, width))


def _depth(view: CalibratedView, height: int, width: int, diagonal: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth, and 1 where it is one surface's: not beside a jump, and not where much of the pixel has none."""
    if view.depth is None:
        return np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    z = view.depth
    known = (z > 0).astype(np.float32)
    smooth = known * ~beside_jump(z, JUMP_STEPS * view.depth_step + JUMP * diagonal)
    share = _reduced(known, height, width)
    mean = _reduced(np.where(z > 0, z, 0.0), height, width) / np.maximum(share, 1e-6)
    trust = np.where((share > 0.5) & (_reduced(smooth, height, width) > 0.9 * share), share, 0.0)
    return mean.astype(np.float32), trust.astype(np.float32)


def beside_jump(z: Float[np.ndarray, "h w"], jump: float) -> np.ndarray:
    """Pixels with a neighbour that has depth and lies more than ``jump`` nearer or farther."""
    beside = np.zeros(z.shape, bool)
    for axis in (0, 1):
        one, two = (np.moveaxis(z, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        apart = (np.abs(one - two) > jump) & (one > 0) & (two > 0)
        target = np.moveaxis(beside, axis, 0)
        target[1:] |= apart
        target[:-1] |= apart
    return beside
