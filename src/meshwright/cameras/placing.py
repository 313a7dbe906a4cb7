"""From fitted numbers to calibrated views: depth in world units, cameras at full resolution, the object's box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8

from meshwright.cameras.model import DepthLaw
from meshwright.cameras.registration import Registration, register_silhouettes
from meshwright.capture.calibrated import CalibratedView
from meshwright.capture.capture import View
from meshwright.capture.masks import drop_specks, fill_pinholes, mask_with_source
from meshwright.capture.shadows import without_contact_shadow
from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.rotations import axes_meeting_point
from meshwright.geometry.similarity import Similarity2d

DOUBTFUL_IOU = 0.98  # below this, a mask that was found by its background may hold a contact shadow


@dataclass(frozen=True, eq=False)
class ViewImages:
    """A view's images as the solver will use them, un-mirrored."""

    name: str
    rgb: UInt8[np.ndarray, "H W 3"]
    rgb_mask: Bool[np.ndarray, "H W"]
    values: Float[np.ndarray, "h w"] | None
    integer: bool
    mask_is_found: bool = False


def view_images(view: View, mirrored: bool = False) -> ViewImages:
    """Images of a view; a mirrored one is flipped back."""
    rgb, (rgb_mask, source) = view.rgb, mask_with_source(view)
    values = None if view.depth is None else np.where(drop_specks(view.depth.valid), view.depth.values, 0.0)
    integer = view.depth is not None and view.depth.bits <= 16
    if mirrored:
        rgb, rgb_mask = np.ascontiguousarray(rgb[:, ::-1]), np.ascontiguousarray(rgb_mask[:, ::-1])
        values = None if values is None else np.ascontiguousarray(values[:, ::-1])
    return ViewImages(view.name, rgb, rgb_mask, values, integer, source == "background")


def decode_depth(
    values: Float[np.ndarray, "h w"], camera: Camera, law: DepthLaw, a: float, b: float
) -> Float[np.ndarray, "h w"]:
    """z-depth of stored values under a law ``z (or 1 / z) = a v + b``; 0 where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = a * values + b
        if law.inverse:
            z = 1.0 / z
    if law.ray and camera.projection == "perspective":
        slopes = (pixel_grid(camera.width, camera.height) - camera.K[:2, 2]) / np.diag(camera.K)[:2]
        z = z / np.sqrt(1.0 + (slopes**2).sum(-1))
    return np.where((values > 0) & np.isfinite(z) & (z > 0), z, 0.0).astype(np.float32)


def depth_step(values: Float[np.ndarray, "h w"], law: DepthLaw, a: float, b: float, integer: bool) -> float:
    """Size of one stored level in world units (the median over the image for an inverse law)."""
    if not integer:
        return 0.0
    if not law.inverse:
        return abs(a)
    middle = float(np.median(values[values > 0])) if (values > 0).any() else 1.0
    return abs(a) / max(a * middle + b, 1e-12) ** 2


def place_view(
    images: ViewImages, camera: Camera, law: DepthLaw, a: float, b: float, register: bool
) -> tuple[CalibratedView, Registration | None]:
    """One calibrated view. ``camera`` has the depth map's resolution (the RGB's where there is no depth)."""
    if images.values is None:
        return CalibratedView(images.name, camera, images.rgb_mask, None, images.rgb, rgb_mask=images.rgb_mask), None
    depth = decode_depth(images.values, camera, law, a, b)
    mask = fill_pinholes(depth > 0)
    found, rgb_mask = _registered(mask, images) if register else (None, images.rgb_mask)
    view = CalibratedView(
        images.name,
        camera,
        mask,
        depth,
        images.rgb,
        registration=found.similarity if found else Similarity2d(),
        rgb_mask=rgb_mask,
        rgb_mask_found=images.mask_is_found,
        depth_step=depth_step(images.values, law, a, b, images.integer),
        depth_scale=abs(a),
    )
    return view, found


def _registered(mask: Bool[np.ndarray, "h w"], images: ViewImages) -> tuple[Registration, Bool[np.ndarray, "H W"]]:
    """The photo's registration and its mask: without a contact shadow, where the depth's silhouette agrees to that.

    A shadow that counts as object pulls the whole photo up and makes it look larger than the surface.
    """
    found = register_silhouettes(mask, images.rgb_mask)
    if not images.mask_is_found or found.iou >= DOUBTFUL_IOU:
        return found, images.rgb_mask
    thinner = without_contact_shadow(images.rgb, images.rgb_mask)
    if thinner is images.rgb_mask:
        return found, images.rgb_mask
    again = register_silhouettes(mask, thinner)
    return (again, thinner) if again.iou > found.iou else (found, images.rgb_mask)


def object_bounds(views: tuple[CalibratedView, ...]) -> Float[np.ndarray, "2 3"]:
    """Box of all depth points but the outermost 0.02 % of each view; of the masks' cones where there is no depth."""
    boxes = [
        np.percentile(view_points(v, 5), [0.02, 99.98], axis=0) for v in views if v.depth is not None and v.mask.any()
    ]
    if not boxes:
        return _bounds_of_masks(views)
    return np.stack([np.min([b[0] for b in boxes], 0), np.max([b[1] for b in boxes], 0)])


def view_points(view: CalibratedView, stride: int = 1) -> Float[np.ndarray, "n 3"]:
    """World points of a view's depth map."""
    assert view.depth is not None
    ys, xs = np.nonzero(view.depth)
    ys, xs = ys[::stride], xs[::stride]
    return view.camera.unproject(np.stack([xs + 0.5, ys + 0.5], -1), view.depth[ys, xs])


def _bounds_of_masks(views: tuple[CalibratedView, ...]) -> Float[np.ndarray, "2 3"]:
    """Box of the silhouettes' cones about the point nearest to all optical axes."""
    centres = np.array([v.camera.center for v in views])
    forward = np.array([v.camera.forward for v in views])
    target = axes_meeting_point(centres, forward)
    corners = []
    for v in views:
        ys, xs = np.nonzero(v.mask)
        edge = np.array([[x, y] for x in (xs.min(), xs.max() + 1.0) for y in (ys.min(), ys.max() + 1.0)])
        z = float((target - v.camera.center) @ v.camera.forward)
        corners.append(v.camera.unproject(edge, np.full(4, max(z, 1e-6))))
    points = np.concatenate(corners)
    return np.stack([points.min(0), points.max(0)])


def moved_view(view: CalibratedView, similarity: Float[np.ndarray, "4 4"]) -> CalibratedView:
    """The view after the world is moved by a similarity."""
    scale = float(np.cbrt(np.linalg.det(similarity[:3, :3])))
    return replace(
        view,
        camera=view.camera.transformed(similarity),
        depth=None if view.depth is None else (view.depth * np.float32(scale)),
        depth_step=view.depth_step * scale,
        depth_scale=None if view.depth_scale is None else view.depth_scale * scale,
    )


def normalising_similarity(bounds: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "4 4"]:
    """Moves the box's centre to the origin and scales its diagonal to 1."""
    scale = 1.0 / max(float(np.linalg.norm(bounds[1] - bounds[0])), 1e-12)
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = -scale * bounds.mean(0)
    return matrix
