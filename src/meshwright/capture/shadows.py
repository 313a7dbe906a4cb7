"""Contact shadows that a mask found by the background took for object.

Under an object on paper the shadow is as dark as anything and its border as sharp as an outline. What it never has is
a colour of its own: it is the background's, darker. A black object has none either, so nothing here is certain: the
caller keeps the result only where another measurement, the depth's silhouette, fits it better (`cameras.placing`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

WORK_SIZE = 1024
LEVELS, SHARE = 8.0, 0.3  # channels (over the background's) apart by less than this, or this share of the brightest
MOST_APART = 0.06  # of white: a tint beyond this is the object's, however bright
UMBRA = 0.6  # of the background's brightness: below this it is shadow and not white rubber
PENUMBRA = 0.95
DEEPEST = 0.04  # of the width: how far into the mask a shadow may reach
SLIVER, BITE = 4, 9  # px: thinner neutral leftovers go; narrower gaps between dark treads are object
CRUMB = 0.02  # of the largest piece


def without_contact_shadow(rgb: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """``mask`` without the dark, colourless parts that its outline leads into; ``mask`` itself where there are none."""
    factor = max(1, -(-rgb.shape[1] // WORK_SIZE))
    small = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).reduce(factor)) > 127
    if not small.any() or small.all():
        return mask
    brightest, spread = _over_background(np.asarray(Image.fromarray(rgb).reduce(factor)), small)
    colourless = (spread * 255 < np.maximum(LEVELS, SHARE * 255 * brightest)) & (spread < MOST_APART)
    left = _dug_away(small, colourless & (brightest < UMBRA))
    if left.sum() == small.sum():
        return mask
    left = _without_slivers(left, colourless & (brightest < PENUMBRA)) & small
    gone = Image.fromarray((small & ~left).astype(np.uint8) * 255)
    size = (rgb.shape[1], rgb.shape[0])
    return mask & (np.asarray(gone.resize(size, Image.Resampling.BILINEAR)) < 128)


def _over_background(
    image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Brightest channel and distance of the darkest from it, both in units of the background's colour."""
    over = image / np.maximum(np.median(image[~mask], axis=0), 1.0)
    return over.max(-1), over.max(-1) - over.min(-1)


def _dug_away(mask: Bool[np.ndarray, "h w"], umbra: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask without ``umbra`` that is reached from outside, and not too deep."""
    ndimage = _ndimage()
    near = ndimage.distance_transform_edt(mask) < DEEPEST * mask.shape[1]
    labels, _ = ndimage.label((umbra & near) | ~mask)
    reached = np.isin(labels, np.unique(labels[~mask]))
    return mask & ~reached


def _without_slivers(left: Bool[np.ndarray, "h w"], penumbra: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Penumbra thinner than a sliver goes, narrow bites are closed again, loose crumbs go."""
    ndimage = _ndimage()
    left = left & (ndimage.binary_opening(left, _disc(SLIVER)) | ~penumbra)
    left = ndimage.binary_closing(np.pad(left, BITE), _disc(BITE))[BITE:-BITE, BITE:-BITE]
    labels, count = ndimage.label(left)
    if not count:
        return left
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return sizes[labels] >= CRUMB * sizes.max()


def _disc(radius: int) -> Bool[np.ndarray, "d d"]:
    return np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius + 0.3


def _ndimage() -> Any:
    """scipy.ndimage, imported late (0.2 s) and untyped (its inferred types are too wide to use)."""
    from scipy import ndimage

    return ndimage
