"""Colours at the solver's resolution: only to tell apart what depth cannot (near-symmetric objects)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy import ndimage

from meshwright.cameras.observations import Observation

COLOUR_MARGIN = 0.06  # a tie is settled when the next arrangement's colours disagree by this much more
ANOMALY_MARGIN = 0.3  # and an anomaly is believed only against a plain arrangement that is this much worse
COLOUR_FLOOR = 50.0  # grey levels summed: a handful of points decides nothing


def map_colours(rgb: UInt8[np.ndarray, "h w 3"], observation: Observation) -> Float[np.ndarray, "a b 3"]:
    """The RGB at the size of the observation's maps, lightly blurred: it may lie a little beside the depth."""
    from PIL import Image

    small = np.asarray(Image.fromarray(rgb).resize(observation.size, Image.Resampling.BOX), np.float32)
    return ndimage.gaussian_filter(small, (0.6, 0.6, 0))


def colours_at(
    colours: list[Float[np.ndarray, "a b 3"]], view: Int[np.ndarray, "m"], uv: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, "m 3"]:
    """Nearest colours at map coordinates."""
    out = np.zeros((len(view), 3), np.float32)
    for index, image in enumerate(colours):
        rows = view == index
        x = np.clip(uv[rows, 0].astype(int), 0, image.shape[1] - 1)
        y = np.clip(uv[rows, 1].astype(int), 0, image.shape[0] - 1)
        out[rows] = image[y, x]
    return out
