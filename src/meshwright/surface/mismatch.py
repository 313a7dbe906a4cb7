"""How far a view's photo is from the shape of the surface: what a texture may believe near outlines depends on it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from meshwright.capture.calibrated import CalibratedView

WORK_SIZE = 512
PERCENTILE = 80  # of the contour: a few places may lie apart for other reasons
AGREEING = 2.0 / 1024  # of the width: contours within two pixels of 1024 fit; masks alone differ by one
WORST = 24.0 / 1024  # beyond this the view would lose all its rim


def contour_mismatch(view: CalibratedView) -> float:
    """Distance between the surface's contour and the registered photo's, as a share of the image width.

    0 where they agree within two pixels of 1024, or where the view has only one of the two.
    """
    if view.rgb_mask is None or view.depth is None or not view.mask.any() or not view.rgb_mask.any():
        return 0.0
    surface, photo = _working(view.mask), _photo_in_surface_frame(view)
    if not photo.any():
        return WORST
    gaps = np.concatenate([_gaps(surface, photo), _gaps(photo, surface)])
    if not len(gaps):
        return 0.0
    share = float(np.percentile(gaps, PERCENTILE)) / surface.shape[1]
    return 0.0 if share <= AGREEING else min(share, WORST)


def _working(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "a b"]:
    step = max(1, mask.shape[1] // WORK_SIZE)
    return mask[step // 2 :: step, step // 2 :: step]


def _photo_in_surface_frame(view: CalibratedView) -> Bool[np.ndarray, "a b"]:
    """The photo's mask looked up where the registration shows each sampled surface pixel; outside is background."""
    assert view.rgb_mask is not None
    step, (height, width) = max(1, view.mask.shape[1] // WORK_SIZE), view.rgb_mask.shape
    rows, columns = (np.arange(step // 2, n, step) + 0.5 for n in view.mask.shape)
    grid = np.stack(np.meshgrid(columns / view.mask.shape[1] * width, rows / view.mask.shape[0] * height), -1)
    place = np.floor(view.registration.apply_pixels(grid, width, height)).astype(int)
    inside = ((place >= 0) & (place < (width, height))).all(-1)
    place = np.clip(place, 0, (width - 1, height - 1))
    return inside & view.rgb_mask[place[..., 1], place[..., 0]]


def _gaps(one: Bool[np.ndarray, "h w"], two: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "c"]:
    """Distance in pixels of the contour of ``one`` from that of ``two``."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    contour = two ^ binary_erosion(two)
    return np.asarray(distance_transform_edt(~contour))[one ^ binary_erosion(one)]
