"""The image and depth metrics, each a pure function that returns a `Score`: a finite number, or none and why.

Images are uint8 sRGB (h, w, 3), masks are bool (h, w). No metric returns NaN or infinity.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

ScoreKind = Literal["value", "unbounded", "undefined", "absent"]

SSIM_SIGMA = 1.5  # Wang et al. 2004, section III-B: an 11 x 11 Gaussian window
SSIM_RADIUS = 5


@dataclass(frozen=True)
class Score:
    """A metric's outcome. ``value`` is finite, or None with a ``reason``.

    ``kind`` says what a missing value means to a verdict: "unbounded" is perfect (identical images have no finite
    PSNR), "undefined" is a failure (nothing to compare where something should be), "absent" does not count (the
    capture has no such measurement).
    """

    value: float | None
    kind: ScoreKind = "value"
    reason: str | None = None

    @staticmethod
    def of(value: float, reason: str | None = None) -> Score:
        """A finite score; ``reason`` is a remark about what it leaves out."""
        return Score(float(value), "value", reason)

    @staticmethod
    def unbounded(reason: str) -> Score:
        """A perfect score that no number expresses."""
        return Score(None, "unbounded", reason)

    @staticmethod
    def undefined(reason: str) -> Score:
        """No score, because the result lacks what would be measured."""
        return Score(None, "undefined", reason)

    @staticmethod
    def absent(reason: str) -> Score:
        """No score, because the capture lacks what it would be measured against."""
        return Score(None, "absent", reason)


@dataclass(frozen=True)
class Metrics:
    """The scores of one view, or of several together.

    ``psnr`` (dB) and ``ssim`` are over the union of the input's and the render's silhouettes; ``psnr_full`` and
    ``ssim_full`` over the whole image, on white like the rest: for information, they judge nothing.
    Depth errors are fractions of the object's diagonal.
    """

    psnr: Score
    ssim: Score
    mask_iou: Score
    depth_mae: Score
    depth_rmse: Score
    depth_overlap: Score
    psnr_full: Score
    ssim_full: Score

    def items(self) -> list[tuple[str, Score]]:
        """Names and scores in the order of the fields."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def psnr(
    image: UInt8[np.ndarray, "h w 3"],
    reference: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"] | None = None,
) -> Score:
    """Peak signal-to-noise ratio in dB over ``mask`` (the whole image without one), of the 8-bit range."""
    difference = image.astype(np.float64) - reference.astype(np.float64)
    squared = difference**2 if mask is None else difference[mask] ** 2
    if squared.size == 0:
        return Score.undefined("neither the input nor the render shows the object")
    mse = float(squared.mean())
    if mse == 0:
        return Score.unbounded("the images are identical, so the PSNR has no finite value")
    return Score.of(10 * np.log10(255.0**2 / mse))


def ssim(
    image: UInt8[np.ndarray, "h w 3"],
    reference: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"] | None = None,
) -> Score:
    """Structural similarity after Wang et al. 2004, averaged over colour channels and over ``mask``.

    The local map is computed with a Gaussian window of sigma 1.5 and biased moments, as in the paper, and only then
    averaged: a window at the mask's edge sees the pixels on both sides of it.
    """
    if mask is None:
        mask = np.ones(image.shape[:2], bool)
    if not mask.any():
        return Score.undefined("neither the input nor the render shows the object")
    window = _padded_box(mask)
    return Score.of(ssim_map(image[window], reference[window])[mask[window]].mean())


def ssim_map(image: UInt8[np.ndarray, "h w 3"], reference: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """The local structural similarity per pixel, mean of the channels (eq. 13 of Wang et al. 2004)."""
    from skimage.metrics import structural_similarity

    height, width = image.shape[:2]
    # skimage wants at least one whole window
    pad = ((0, max(0, 11 - height)), (0, max(0, 11 - width)), (0, 0))
    local = structural_similarity(
        np.pad(image, pad, mode="edge"),
        np.pad(reference, pad, mode="edge"),
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )[1]
    return local[:height, :width].mean(-1)


def mask_iou(mask: Bool[np.ndarray, "h w"], reference: Bool[np.ndarray, "h w"]) -> Score:
    """Intersection over union of two silhouettes."""
    union = np.count_nonzero(mask | reference)
    if union == 0:
        return Score.undefined("neither the input nor the render shows the object")
    return Score.of(np.count_nonzero(mask & reference) / union)


@dataclass(frozen=True)
class DepthScores:
    """Depth errors in fractions of the object's diagonal, and the share of the input's depth that the render covers."""

    mae: Score
    rmse: Score
    overlap: Score


def depth_errors(depth: Float[np.ndarray, "h w"], reference: Float[np.ndarray, "h w"], diagonal: float) -> DepthScores:
    """Mean absolute and root-mean-square z-depth error where both maps have a depth (0 = none).

    Pixels where only one of them has a depth are the silhouettes' business (`mask_iou`); ``overlap`` counts them.
    """
    given = reference > 0
    if not given.any():
        none = Score.absent("the view has no depth")
        return DepthScores(none, none, none)
    both = given & (depth > 0)
    overlap = Score.of(np.count_nonzero(both) / np.count_nonzero(given))
    if not both.any():
        none = Score.undefined("the result has no surface where the view has depth")
        return DepthScores(none, none, overlap)
    error = (depth[both].astype(np.float64) - reference[both]) / diagonal
    return DepthScores(Score.of(np.abs(error).mean()), Score.of(np.sqrt((error**2).mean())), overlap)


def _padded_box(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """The mask's box, grown by the SSIM window so that cutting it out changes nothing inside the mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(0, rows[0] - 2 * SSIM_RADIUS), rows[-1] + 1 + 2 * SSIM_RADIUS),
        slice(max(0, columns[0] - 2 * SSIM_RADIUS), columns[-1] + 1 + 2 * SSIM_RADIUS),
    )
