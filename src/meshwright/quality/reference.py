"""The image a render is compared with: one view's photo in the surface camera's frame, at comparison size.

The photo is moved by its registration (a similarity, nothing more), averaged by area to 512 px on the longer side and
composited on white by the view's silhouette, so that its own background enters no metric.
The input silhouette is what was handed in: a mask, else the depth map's; one that we cut out of the photo ourselves
judges nobody, it stands in only where there is no depth. One photo pixel around the silhouette is kept: it is half
object, and which side of a half it falls must not decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from meshwright.capture.calibrated import CalibratedView
from meshwright.geometry.camera import Camera

COMPARISON_SIZE = 512
WHITE = 255


@dataclass(frozen=True, eq=False)
class Reference:
    """What a view shows, in the frame of ``camera`` (the surface camera at comparison size).

    ``mask`` is the input silhouette (at least half of a pixel's area), ``composited`` the photo inside it on white.
    """

    camera: Camera
    composited: UInt8[np.ndarray, "h w 3"]
    mask: Bool[np.ndarray, "h w"]


def reference_of(view: CalibratedView, size: int = COMPARISON_SIZE) -> Reference:
    """The reference of one view. A photo smaller than ``size`` is compared at its own size, never enlarged."""
    width, height = comparison_size(view, size)
    photo, mask = _registered(view, width, height)
    composited = np.where(_with_rim(mask)[..., None], photo, np.uint8(WHITE))
    return Reference(
        camera=view.camera.resized(width, height),
        composited=_by_area(composited, width, height),
        mask=_by_area(mask.astype(np.uint8) * 255, width, height) >= 128,
    )


def comparison_size(view: CalibratedView, size: int = COMPARISON_SIZE) -> tuple[int, int]:
    """Width and height at which a view is compared."""
    height, width = view.rgb.shape[:2]
    shrink = min(1.0, size / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _registered(
    view: CalibratedView, width: int, height: int
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """The photo and its silhouette in the surface frame, still at about the photo's own resolution."""
    handed_in = None if view.rgb_mask_found and view.depth is not None else view.rgb_mask
    if view.registration.is_identity:
        full_size = view.rgb.shape[1], view.rgb.shape[0]
        return view.rgb, _resized_mask(view.mask, full_size) if handed_in is None else handed_in
    oversampling = max(1, round(view.rgb.shape[1] / width))
    target = width * oversampling, height * oversampling
    photo = _warped(Image.fromarray(view.rgb), view, target, fill=(WHITE,) * 3)
    if handed_in is None:
        return photo, _resized_mask(view.mask, target)
    mask = Image.fromarray(handed_in.astype(np.uint8) * 255)
    return photo, _warped(mask, view, target, fill=0) >= 128


def _warped(
    image: Image.Image, view: CalibratedView, target: tuple[int, int], fill: int | tuple[int, ...]
) -> np.ndarray:
    """Sample the photo where the registration says that it shows each surface pixel (both with centres at +0.5)."""
    height, width = view.rgb.shape[:2]
    corners = np.array([[0.0, 0.0], [target[0], 0.0], [0.0, target[1]]])
    source = view.registration.apply_pixels(corners * (width / target[0], height / target[1]), width, height)
    along_x, along_y = (source[1] - source[0]) / target[0], (source[2] - source[0]) / target[1]
    affine = (along_x[0], along_y[0], source[0, 0], along_x[1], along_y[1], source[0, 1])
    moved = image.transform(target, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR, fillcolor=fill)
    return np.asarray(moved)


def _with_rim(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask grown by one pixel to its four sides."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _by_area(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Area resampling; exact (rounded once) where the size is a whole multiple, as it nearly always is."""
    whole = Image.fromarray(image)
    times = whole.width // width
    if (times * width, times * height) == whole.size:
        return np.asarray(whole.reduce(times))
    return np.asarray(whole.resize((width, height), Image.Resampling.BOX))


def _resized_mask(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)) >= 128
