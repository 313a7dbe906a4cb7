"""What is doubtful about a capture's views, as findings that name the view and the remedy.

`quick_findings` needs no object mask and runs on every load; `mask_findings` is what `inspect` adds.
"""

from __future__ import annotations

import itertools

import numpy as np

from meshwright.capture.capture import Capture, Finding, Severity, View
from meshwright.capture.masks import STRAY_PIXELS, depth_mask, depth_silhouette, mask_with_source
from meshwright.capture.measures import (
    border_share,
    exposure,
    grey_thumbnail,
    likeness,
    sharpness,
    silhouette_overlap,
)
from meshwright.errors import InvalidFileFormat

SMALLEST_SIDE = 16
SMALL_SIDE, SMALL_DEPTH_SIDE = 256, 128
BLURRY = 0.35  # of the median sharpness: a blur of about 1.7 px against the others
DUPLICATE = 0.35  # mean grey levels at 64 px; two sides of a barrel differ by 0.6, a re-encoded copy by 0.2
COVERAGE = (0.01, 0.80)
LOW_IOU, LOW_ALIGNED_IOU = 0.93, 0.80


def refuse_unusable(view: View) -> None:
    """Raise `InvalidFileFormat` for what cannot be worked with: a thumbnail, or a depth map without depth or shape."""
    if min(view.size) < SMALLEST_SIDE:
        raise _unusable(
            view, "image_tiny", f"the image is {view.size[0]} x {view.size[1]} pixels", "Send at least 256."
        )
    if view.depth is None:
        return
    values = view.depth.values
    if min(values.shape) < SMALLEST_SIDE:
        raise _unusable(
            view, "image_tiny", f"the depth map is {values.shape[1]} x {values.shape[0]} pixels", "Send at least 128."
        )
    if not values.any():
        raise _unusable(
            view, "depth_empty", "the depth map holds no depth at all", "Export it again, or send no depth."
        )
    if values.min() == values.max():
        raise _unusable(view, "depth_constant", "the depth map is one constant", "Export it again, or send no depth.")


def _unusable(view: View, reason: str, what: str, remedy: str) -> InvalidFileFormat:
    return InvalidFileFormat(f"View {view.name}: {what}.", suggestion=remedy, reason=reason, view=view.name)


def quick_findings(capture: Capture) -> tuple[Finding, ...]:
    """Remarks about sizes, blur, blank and repeated images, and depth maps."""
    found = [finding for view in capture.views for finding in (*_size_findings(view), *_depth_findings(view))]
    found += [*_image_findings(capture), *_duplicates(capture)]
    if len(capture.views) < 3:
        text = f"There are only {len(capture.views)} views; what none of them shows will be invented."
        found.append(Finding("few_views", text, "Add views from other sides.", severity="info"))
    return tuple(found)


def mask_findings(view: View) -> tuple[Finding, ...]:
    """Remarks about the object's mask, its exposure and whether RGB and depth show the same silhouette."""
    mask, source = mask_with_source(view)
    found: list[Finding] = []
    if source in ("none", "depth"):
        found.append(_remark(view, "background_not_plain",
                             "the object cannot be told from its background",
                             "Photograph before a plain background, or send a mask or alpha."))  # fmt: skip
    coverage = float(mask.mean())
    if source != "none" and not COVERAGE[0] <= coverage <= COVERAGE[1]:
        which, what = ("mask_small", "small") if coverage < COVERAGE[0] else ("mask_large", "large")
        found.append(_remark(view, which, f"the object is {what} in the image ({coverage:.1%} of it)",
                             "Move the camera so that the object fills a quarter to half of the image."))  # fmt: skip
    if source != "none" and border_share(mask) > 0.005:
        found.append(_remark(view, "mask_cut", "the object reaches the image's border",
                             "Take the view from farther away, so that the whole object is in it."))  # fmt: skip
    return (*found, *_exposure_findings(view, mask), *_overlap_findings(view, mask))


def _remark(view: View, code: str, what: str, remedy: str, severity: Severity = "warning") -> Finding:
    return Finding(code, f"View {view.name}: {what}.", remedy, view.name, severity)


def _exposure_findings(view: View, mask: np.ndarray) -> list[Finding]:
    light, found = exposure(view.rgb, mask), []
    if light.dark > 0.5 or light.mean < 20:
        severity = "warning" if light.dark > 0.5 else "info"
        text = f"the object is nearly black (mean {light.mean:.0f} of 255)"
        found.append(_remark(view, "under_exposed", text, "Use more light or a longer exposure.", severity))
    if light.bright > 0.3:
        found.append(_remark(view, "over_exposed", f"{light.bright:.0%} of the object is clipped to white",
                             "Use less light or a shorter exposure."))  # fmt: skip
    return found


def _overlap_findings(view: View, mask: np.ndarray) -> list[Finding]:
    if view.depth is None:
        return []
    overlap = silhouette_overlap(mask, depth_silhouette(view))
    if overlap.aligned_iou < LOW_ALIGNED_IOU:
        text = f"image and depth show different silhouettes (IoU {overlap.iou:.2f}, {overlap.aligned_iou:.2f} aligned)"
        return [
            _remark(view, "silhouette_mismatch", text, "Check that image and depth belong together and are not turned.")
        ]
    if overlap.iou < LOW_IOU:
        text = f"image and depth are offset (IoU {overlap.iou:.2f}; the image is {overlap.scale:.3f} times as large)"
        return [
            _remark(
                view, "silhouette_offset", text, "It is registered; render both from one camera to avoid it.", "info"
            )
        ]
    return []


def _size_findings(view: View) -> list[Finding]:
    found = []
    if min(view.size) < SMALL_SIDE:
        text = f"the image is only {view.size[0]} x {view.size[1]} pixels"
        found.append(_remark(view, "image_small", text, "Send at least 512, better 2048 pixels."))
    if view.depth is not None:
        height, width = view.depth.values.shape
        if min(height, width) < SMALL_DEPTH_SIDE:
            text = f"the depth map is only {width} x {height} pixels"
            found.append(_remark(view, "depth_small", text, "Send at least 256, better 1024 pixels."))
        if abs(width * view.size[1] / (height * view.size[0]) - 1) > 0.02:
            text = f"image ({view.size[0]} x {view.size[1]}) and depth ({width} x {height}) have different aspects"
            found.append(_remark(view, "aspect_mismatch", text, "Crop or export both with the same aspect."))
    return found


def _depth_findings(view: View) -> list[Finding]:
    if view.depth is None:
        return []
    found, valid = [], view.depth.valid
    stray = int(valid.sum() - depth_mask(view).sum())
    share = float(valid.mean())
    if stray:
        found.append(_remark(view, "depth_stray",
                             f"{stray} stray depth pixels in patches below {STRAY_PIXELS} px are ignored",
                             "Nothing to do; clean the depth map if they matter.", "info"))  # fmt: skip
    if share < 0.002:
        found.append(
            _remark(view, "depth_tiny", f"only {share:.2%} of the depth map holds depth", "Check the depth map.")
        )
    values = view.depth.values[valid]
    if values.min() == values.max():
        found.append(_remark(view, "depth_flat", "all depth is one value; it gives a silhouette and no shape",
                             "Check that the depth map was not exported as a mask."))  # fmt: skip
    elif view.depth.bits == 8 and len(np.unique(values)) < 16:
        found.append(_remark(view, "depth_coarse", f"the depth has only {len(np.unique(values))} levels",
                             "Export 16-bit depth, or spread the 8 bits over the object's range."))  # fmt: skip
    return found


def _image_findings(capture: Capture) -> list[Finding]:
    found, values = [], {}
    for view in capture.views:
        if int(view.rgb.max()) - int(view.rgb.min()) < 4:
            found.append(_remark(view, "image_blank", "the image is one plain colour", "Send the photograph again."))
        else:
            values[view.name] = sharpness(view.rgb)
    median = float(np.median(list(values.values()))) if len(values) >= 3 else 0.0
    by_name = {view.name: view for view in capture.views}
    for name, value in values.items():
        if value < BLURRY * median:
            text = f"the image is blurry ({value / median:.0%} of the others' sharpness)"
            found.append(_remark(by_name[name], "blurry", text, "Take it again, in focus and from a tripod."))
    return found


def _duplicates(capture: Capture) -> list[Finding]:
    found = []
    thumbnails = [grey_thumbnail(view.rgb) for view in capture.views]
    for (i, a), (j, b) in itertools.combinations(enumerate(capture.views), 2):
        same_file = bool(a.files and b.files) and a.files[0].sha256 == b.files[0].sha256
        plain = thumbnails[i].std() < 1.0
        if same_file or (not plain and likeness(thumbnails[i], thumbnails[j]) < DUPLICATE):
            found.append(_remark(b, "duplicate_image", f"the image is the same as that of {a.name}",
                                 f"Send the right image for {b.name}, or leave the view out."))  # fmt: skip
    return found
