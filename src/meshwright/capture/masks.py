"""Which pixels of a view show the object: from a given mask, a depth map or a plain background behind it."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from meshwright.capture.capture import View

PINHOLE_PIXELS = 12  # of a hole: 5 % of single pixels lost make holes of 1 to 8
STRAY_PIXELS = 30  # depth components below this are stray: the reference's sample has some of 1-20 px in each view
PLAUSIBLE_COVERAGE = (0.0005, 0.98)
_WORK_SIZE = 1024
_EDGE = 1.0  # levels per pixel: the smallest gradient that counts as an outline
_CRISP = 3.0  # levels per pixel of fine above coarse gradient: an outline, not a shadow's penumbra
_CLEAN_NOISE = 2.0  # levels: rendered or cut-out backgrounds are below, photographs above


_known: WeakKeyDictionary[View, MaskResult] = WeakKeyDictionary()  # a view's mask is asked for by several stages


class MaskResult(NamedTuple):
    """A mask of the RGB's size and where it came from: ``given``, ``background``, ``depth`` or ``none`` (all true)."""

    mask: Bool[np.ndarray, "h w"]
    source: str


def object_mask(view: View) -> Bool[np.ndarray, "h w"]:
    """The object's mask at the RGB's size: the given one (file or alpha), else by the background's colour.

    Where the background is not plain enough for that, the depth's silhouette stands in, and without depth every
    pixel counts (`mask_with_source` tells which).
    """
    return mask_with_source(view).mask


def mask_with_source(view: View) -> MaskResult:
    """`object_mask` and where it came from; computed once per view."""
    if view not in _known:
        _known[view] = _mask_with_source(view)
    return _known[view]


def _mask_with_source(view: View) -> MaskResult:
    if view.mask is not None:
        return MaskResult(view.mask, "given")
    silhouette = None if view.depth is None else resized_mask(depth_silhouette(view), view.size)
    mask = background_mask(view.rgb, silhouette)
    if PLAUSIBLE_COVERAGE[0] <= mask.mean() <= PLAUSIBLE_COVERAGE[1]:
        return MaskResult(mask, "background")
    if silhouette is not None and silhouette.any():
        return MaskResult(silhouette, "depth")
    return MaskResult(np.ones(view.rgb.shape[:2], bool), "none")


def depth_mask(view: View) -> Bool[np.ndarray, "h w"]:
    """Where the view has depth, at the depth's size, without specks."""
    if view.depth is None:
        raise ValueError(f"view {view.name} has no depth")
    return drop_specks(view.depth.valid)


def depth_silhouette(view: View) -> Bool[np.ndarray, "h w"]:
    """What the depth shows of the object, at the depth's size, without specks and pinholes."""
    return fill_pinholes(depth_mask(view))


def fill_pinholes(mask: Bool[np.ndarray, "h w"], most: int = PINHOLE_PIXELS) -> Bool[np.ndarray, "h w"]:
    """The mask without holes (4-connected) of at most ``most`` pixels: a sensor lost those, they are no way through."""
    holes, count = _ndimage().label(np.logical_not(mask))
    if count < 2:
        return mask
    return mask | (np.bincount(holes.ravel())[holes] <= most)


def drop_specks(mask: Bool[np.ndarray, "h w"], least: int = STRAY_PIXELS) -> Bool[np.ndarray, "h w"]:
    """The mask without components (8-connected) of fewer than ``least`` pixels; as it is where every one is small.

    A tiny depth map (a thumbnail) may hold the whole object in fewer pixels than the limit.
    """
    large = _component_sizes(mask) >= least
    return large if large.any() else mask


def background_mask(
    rgb: UInt8[np.ndarray, "h w 3"], silhouette: Bool[np.ndarray, "h w"] | None = None
) -> Bool[np.ndarray, "h w"]:
    """The object in front of a plain background, which may be uneven and carry soft contact shadows.

    A background that is even to two levels (a rendering, a cut-out) is told by colour at full resolution. Otherwise
    the background is what can be reached from the border without crossing an edge; shadows are reached because their
    penumbra is no edge, and what is enclosed by edges is object, white parts on white paper included.
    ``silhouette`` (the depth's, roughly aligned) decides whether holes of background colour are holes.
    """
    clean = _clean_mask(rgb)
    mask = _enclosed_mask(rgb) if clean is None else clean
    return _fill_false_holes(mask, silhouette) if silhouette is not None else mask


def _border(image: np.ndarray, fraction: float = 0.02) -> np.ndarray:
    """The pixels of the frame, as rows."""
    k = max(2, round(fraction * min(image.shape[:2])))
    ring = np.ones(image.shape[:2], bool)
    ring[k:-k, k:-k] = False
    return image[ring]


def _clean_mask(rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"] | None:
    """By colour alone, where the frame is of one colour and the outline is crisp; None elsewhere."""
    ndimage = _ndimage()
    frame = _border(rgb)
    colour = np.median(frame, axis=0).astype(np.int16)
    if np.percentile(np.abs(frame - colour).max(-1), 99) > _CLEAN_NOISE:
        return None
    residual = _largest_difference(rgb, colour)
    mask = residual > _CLEAN_NOISE + 1
    if not mask.any():
        return mask
    window = _window(mask, margin=8)
    outline = mask[window] & ~ndimage.binary_erosion(mask[window])
    strongest = ndimage.maximum_filter(residual[window], 7)[outline]
    if np.mean(strongest > 12) < 0.9:  # a shadow fades out over tens of pixels; an object's edge does not
        return None
    mask[window] = _without_crumbs(mask[window], 0.002)
    return _refined(mask, rgb)


def _largest_difference(rgb: UInt8[np.ndarray, "h w 3"], colour: Int[np.ndarray, "3"]) -> UInt8[np.ndarray, "h w"]:
    """Largest difference from a colour over the channels, one at a time: a reduction over three values is slow."""
    largest = np.zeros(rgb.shape[:2], np.uint8)
    for channel, level in enumerate(colour.astype(np.uint8)):
        values = rgb[..., channel]
        np.maximum(largest, np.maximum(values, level) - np.minimum(values, level), out=largest)
    return largest


def _enclosed_mask(rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """What edges enclose: flood from the border, then put the outline on the edges' crests."""
    factor = max(1, int(np.ceil(max(rgb.shape[:2]) / _WORK_SIZE)))
    small = np.asarray(Image.fromarray(rgb).reduce(factor)).astype(np.float32)
    rough = _flooded_object(small)
    if not rough.any():
        return np.zeros(rgb.shape[:2], bool)
    window = _window(rough, margin=24)
    mask = np.zeros_like(rough)
    mask[window] = _without_crumbs(_crest_outline(small[window], rough[window]), 0.02)
    return _refined(resized_mask(mask, (rgb.shape[1], rgb.shape[0])), rgb)


def _flooded_object(image: Float[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Everything that cannot be reached from the border without crossing an edge, less holes of background colour."""
    ndimage = _ndimage()
    edges = _gradient(image, 1.5)
    wall = edges > max(_EDGE, 6 * float(np.median(_border(edges, 0.04))))
    wall = ndimage.binary_closing(np.pad(wall, 8), iterations=3)[8:-8, 8:-8]
    labels, count = ndimage.label(~wall)
    background = np.isin(labels, _border_labels(labels, image))
    if count and background.any():
        background |= np.isin(labels, _hole_labels(labels, count, image, background))
    return _without_crumbs(ndimage.binary_opening(~background, iterations=2), 0.02)


def _border_labels(labels: np.ndarray, image: Float[np.ndarray, "h w 3"]) -> np.ndarray:
    """Components that touch the border with a colour like the border's (an object cut by the border does not)."""
    rim, colours = _border(labels, 1e-9), _border(image, 1e-9)
    alike = np.abs(colours - np.median(colours, axis=0)).max(-1) < 48
    found = np.unique(rim[alike])
    return found[found > 0]


def _hole_labels(
    labels: np.ndarray, count: int, image: Float[np.ndarray, "h w 3"], background: Bool[np.ndarray, "h w"]
) -> np.ndarray:
    """Enclosed components that look like the background around the object: through-holes."""
    ndimage = _ndimage()
    model = _local_mean(image, background, 16.0)
    model = np.where(model.max(-1, keepdims=True) > 0, model, np.median(image[background], axis=0))
    difference = np.abs(image - model).max(-1)
    tolerance = max(2.5, 1.5 * float(np.percentile(difference[background], 95)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    medians = np.asarray(ndimage.median(difference, labels, np.arange(1, count + 1)))
    return np.flatnonzero((sizes >= 30) & (medians <= tolerance)) + 1


def _crest_outline(image: Float[np.ndarray, "h w 3"], rough: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Move the outline of ``rough`` inwards to the crest of the edge: a watershed between its inside and its outside.

    Where the outline is soft (a contact shadow), the inside begins deeper, so that the shadow is given up.
    """
    ndimage = _ndimage()
    from skimage.segmentation import watershed

    fine = _gradient(image, 1.0)
    crisp_edges = ndimage.maximum_filter(fine - _gradient(image, 4.0), 11) > _CRISP
    distance, nearest = ndimage.distance_transform_edt(rough, return_indices=True)
    crisp = crisp_edges[nearest[0], nearest[1]]
    spine = crisp & (distance >= 0.8 * ndimage.maximum_filter(distance, 9))
    core = rough & ((distance >= np.where(crisp, 4, 24)) | spine)
    if not core.any():
        return rough
    markers = np.where(core, 1, np.where(rough, 0, 2)).astype(np.int32)
    zone = ndimage.binary_dilation(rough, iterations=2) & ~ndimage.binary_erosion(core, iterations=2)
    inside = core | (watershed(fine, markers, mask=zone) == 1)
    return ndimage.binary_opening(np.pad(inside, 2))[2:-2, 2:-2]


def _refined(mask: Bool[np.ndarray, "h w"], rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Within two or three pixels of the outline, a pixel goes to the side whose local mean colour is nearer."""
    ndimage = _ndimage()
    if not mask.any():
        return mask
    window = _window(mask, margin=16)
    inside, image = mask[window], rgb[window]
    wide, core = ndimage.binary_dilation(inside, iterations=3), ndimage.binary_erosion(inside, iterations=3)
    rows, columns = np.nonzero(wide & ~core)
    front = _local_mean(image, core, 4.0, (rows, columns))
    back = _local_mean(image, ~wide, 4.0, (rows, columns))
    axis = front - back
    share = ((image[rows, columns] - back) * axis).sum(-1) / np.maximum((axis**2).sum(-1), 1.0)
    sure = ((axis**2).sum(-1) > 12.0**2) & (np.minimum(front.max(-1), back.max(-1)) > 0)
    refined = mask.copy()
    refined[window][rows[sure], columns[sure]] = share[sure] > 0.5
    return refined


def _fill_false_holes(mask: Bool[np.ndarray, "h w"], silhouette: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Fill holes that the depth covers: a white label on white paper, not the hole of a ring."""
    ndimage = _ndimage()
    if not mask.any():
        return mask
    window = _window(mask, margin=2)
    inside = mask[window]
    holes, count = ndimage.label(ndimage.binary_fill_holes(inside) & ~inside)
    if not count:
        return mask
    covered = np.bincount(holes.ravel(), silhouette[window].ravel(), count + 1)
    false = covered > 0.7 * np.bincount(holes.ravel(), minlength=count + 1)
    false[0] = False
    filled = mask.copy()
    filled[window] |= false[holes]
    return filled


def _without_crumbs(mask: Bool[np.ndarray, "h w"], share: float) -> Bool[np.ndarray, "h w"]:
    """Without components smaller than ``share`` of the largest."""
    sizes = _component_sizes(mask)
    return sizes >= max(share * sizes.max(initial=0), 1)


def _component_sizes(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """For each pixel the size of its component (8-connected); 0 outside the mask."""
    labels, _ = _ndimage().label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=1)
    sizes[0] = 0
    return sizes[labels]


def _gradient(image: Float[np.ndarray, "h w 3"], sigma: float) -> Float[np.ndarray, "h w"]:
    """Root mean square over the channels of the Gaussian gradient magnitude, in levels per pixel."""
    ndimage = _ndimage()
    squares = [ndimage.gaussian_gradient_magnitude(image[..., c], sigma, truncate=3.0) ** 2 for c in range(3)]
    return np.sqrt(np.mean(squares, axis=0))


def _local_mean(
    image: np.ndarray, where: Bool[np.ndarray, "h w"], sigma: float, at: Any = ...
) -> Float[np.ndarray, "*n 3"]:
    """Mean colour of the pixels ``where`` near each pixel (normalised convolution), or only near the pixels ``at``; 0
    where none is near.
    """
    ndimage = _ndimage()
    weight = where.astype(np.float32)
    near = ndimage.gaussian_filter(weight, sigma, truncate=3.0)[at][..., None]
    sums = [ndimage.gaussian_filter(image[..., c] * weight, sigma, truncate=3.0)[at] for c in range(3)]
    return np.where(near > 1e-4, np.stack(sums, -1) / np.maximum(near, 1e-4), 0.0)


def _window(mask: Bool[np.ndarray, "h w"], margin: int) -> tuple[slice, slice]:
    """The mask's box with a margin, as slices."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def resized_mask(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The mask at another (width, height), edges kept smooth."""
    if mask.shape == size[::-1]:
        return mask
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)) > 127


def _ndimage() -> Any:
    """scipy.ndimage, imported late (0.2 s) and untyped (its inferred types are too wide to use)."""
    from scipy import ndimage

    return ndimage
