"""How depth is stored in a sample: 8 bits with a scale per view, or 16 bits in millimetres or in fine world units."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8, UInt16

MILLIMETRE = 1e-3


def encode_view_max(depth: Float[np.ndarray, "h w"]) -> tuple[UInt8[np.ndarray, "h w"], float]:
    """The reference's law: 0 is background and the view's farthest pixel is 255. Returns world units per value too."""
    farthest = float(depth.max())
    step = farthest / 255 if farthest > 0 else 1.0
    return quantise(depth, step, 255).astype(np.uint8), step


def encode_steps(depth: Float[np.ndarray, "h w"], step: float) -> UInt16[np.ndarray, "h w"]:
    """16-bit values of ``step`` world units each, 0 is background."""
    return quantise(depth, step, 65535).astype(np.uint16)


def quantise(depth: Float[np.ndarray, "h w"], step: float, top: int) -> Float[np.ndarray, "h w"]:
    """The nearest whole number of steps in 1..``top`` where there is depth, 0 elsewhere."""
    values = np.clip(np.rint(depth.astype(np.float64) / step), 1, top)
    return np.where(depth > 0, values, 0.0)
