"""What each view tells about points of a surface: visibility, how well they are seen, and their colours.

A point is seen by a view when nothing of the mesh lies in front of it there (depth test against the mesh's own
z-buffer), when the view's mask shows the object, and when the view's depth map does not show another surface. How well
it is seen is its weight: cosine of incidence to the fourth, times a falloff towards silhouettes and depth edges, where
a small error of camera, shape or registration would pick up the background or another part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from meshwright.capture.calibrated import CalibratedView
from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import Mesh
from meshwright.surface.sampling import gather_view

KEPT_VIEWS = 4  # per point, the best ones: bounds memory for many views
EDGE_PX = 5.0  # of a 1024 px wide image: weight grows from 0 to 1 over this distance from an edge
BLEED_PX = 1.5  # image pixels from an edge within which a bicubic sample still takes in what lies behind
MASK_ERROR = 0.2  # of the outlines' mismatch: so far inside its outline a photo may still show what is not the object
EDGE_SLOPES = 8.0  # a depth step of more than this many pixel sizes (83 degrees of incidence) is an edge
DEPTH_TOLERANCE = 0.01  # of the diagonal: the view's depth map shows another surface beyond this
RASTER_SIZE = 1536  # px, longer side of the visibility buffers at most
FINER_IMAGE = 1.4  # pixels per texel above which the image is averaged down first


@dataclass(frozen=True, eq=False)
class Sightings:
    """Up to `KEPT_VIEWS` sightings per point, best first.

    ``colors`` (n, k, 3) uint8 sRGB, ``weights`` (n, k) float32 (0 = none), ``views`` (n, k) uint8 view numbers,
    ``cosines`` (n,) the best cosine of incidence among the views that see the point, 0 where none does.
    """

    colors: UInt8[np.ndarray, "n k 3"]
    weights: Float[np.ndarray, "n k"]
    views: Int[np.ndarray, "n k"]
    cosines: Float[np.ndarray, "n"]

    @staticmethod
    def empty(count: int, kept: int = KEPT_VIEWS) -> Sightings:
        """No sighting of any point yet."""
        return Sightings(
            np.zeros((count, kept, 3), np.uint8),
            np.zeros((count, kept), np.float32),
            np.zeros((count, kept), np.uint8),
            np.zeros(count, np.float32),
        )


@dataclass(frozen=True, eq=False)
class Observer:
    """One view, made ready for looking points up.

    ``surface`` (3, 4) takes world points to (x, y) of the buffers and z; ``image`` (3, 4) to pixels of ``rgb``
    (divide by z for a perspective camera). ``depth`` is the mesh's z-buffer (0 = none), ``trust`` in 0..1 per pixel is
    zero where the view must not be used and falls off towards edges, ``own_depth`` the view's depth map (0 = unknown).
    ``rgb_trust`` is the same for the RGB image, from its mask.
    """

    surface: Float[np.ndarray, "3 4"]
    image: Float[np.ndarray, "3 4"]
    center: Float[np.ndarray, "3"]
    forward: Float[np.ndarray, "3"]
    perspective: bool
    depth: Float[np.ndarray, "h w"]
    own_depth: Float[np.ndarray, "h w"]
    trust: Float[np.ndarray, "h w"]
    rgb: UInt8[np.ndarray, "H W 3"]
    rgb_trust: Float[np.ndarray, "H W"]
    confidence: float
    depth_slack: float
    own_slack: float
    pixel_slope: float


def observe(
    mesh: Mesh, view: CalibratedView, diagonal: float, texels_per_unit: float, mismatch: float = 0.0
) -> Observer:
    """Prepare a view: mesh z-buffer, trust maps, image at about the texture's resolution.

    ``mismatch`` (share of the image width, `mismatch.contour_mismatch`) is how far the photo's outline lies from the
    surface's: by so much the falloff towards edges grows.
    """
    from meshwright.rendering.raster import rasterize

    camera = _buffer_camera(view.camera)
    depth = rasterize(mesh.vertices, mesh.faces, camera).depth
    own = resampled_nearest(view.depth, depth.shape) if view.depth is not None else np.zeros_like(depth)
    shown = resampled_nearest(view.mask, depth.shape)
    step = EDGE_SLOPES * np.asarray(camera.pixel_size(depth), np.float32)
    edge = _depth_edges(depth, step) | ~shown
    width = (EDGE_PX / 1024 + mismatch) * max(depth.shape)
    rgb, shrink = _image_for_texels(view, depth, texels_per_unit)
    return Observer(
        _projection(camera),
        np.diag([shrink[0], shrink[1], 1.0]) @ _image_projection(view),
        camera.center.copy(),
        camera.forward.copy(),
        camera.projection == "perspective",
        depth,
        np.ascontiguousarray(own, np.float32),
        _ramp(edge, BLEED_PX * max(1.0, depth.shape[1] / view.rgb.shape[1]), width),
        rgb,
        _rgb_trust(view, rgb.shape[:2], mismatch),
        float(view.confidence),
        2e-3 * diagonal,
        DEPTH_TOLERANCE * diagonal + view.depth_step,
        float(1.0 / camera.K[0, 0]),
    )


def sight(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    observers: Sequence[Observer],
    into: Sightings,
    numbers: Sequence[int] | None = None,
) -> None:
    """Look points up in all observers and keep the best sightings in ``into`` (in place)."""
    for number, o in enumerate(observers) if numbers is None else zip(numbers, observers, strict=True):
        gather_view(
            points, normals, o.surface, o.image, o.center, o.forward, o.perspective, o.depth, o.own_depth, o.trust,
            o.rgb, o.rgb_trust, o.confidence, o.depth_slack, o.own_slack, o.pixel_slope, number,
            into.colors, into.weights, into.views, into.cosines,
        )  # fmt: skip


def _buffer_camera(camera: Camera) -> Camera:
    """The camera at a resolution for visibility buffers: its own, up to `RASTER_SIZE`, at least half of that."""
    longer = max(camera.width, camera.height)
    scale = min(max(longer, RASTER_SIZE // 2), RASTER_SIZE) / longer
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


def _projection(camera: Camera) -> Float[np.ndarray, "3 4"]:
    """World to (x z, y z, z), or (x, y, z) for an orthographic camera."""
    w2c = camera.w2c[:3]
    if camera.projection == "perspective":
        return camera.K @ w2c
    matrix = np.vstack([camera.K[:2, :2] @ w2c[:2], w2c[2:]])
    matrix[:2, 3] += camera.K[:2, 2]
    return matrix


def _image_projection(view: CalibratedView) -> Float[np.ndarray, "3 4"]:
    """`_projection` to pixels of the RGB image, registration included."""
    camera, similarity = view.rgb_camera, view.registration.matrix()
    size = np.array([camera.width, camera.height], float)
    shift = similarity[:, 2] * size[0] + size / 2 - similarity[:, :2] @ (size / 2)
    matrix = _projection(camera)
    offset = matrix[2] if camera.projection == "perspective" else np.array([0.0, 0, 0, 1])
    moved = similarity[:, :2] @ matrix[:2] + shift[:, None] * offset
    return np.vstack([moved, matrix[2:]])


def resampled_nearest(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The image at another size: of each new pixel, the old one that its centre lies in."""
    if image.shape == shape:
        return image
    rows = ((np.arange(shape[0]) + 0.5) * image.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * image.shape[1] / shape[1]).astype(int)
    return np.ascontiguousarray(image[rows[:, None], columns])


def _depth_edges(depth: Float[np.ndarray, "h w"], step: Float[np.ndarray, "h w"]) -> np.ndarray:
    """Pixels with no depth, or that lie across a depth step from one of their four neighbours."""
    edge = depth <= 0
    for axis in (0, 1):
        one, two = (np.moveaxis(depth, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
        across = np.abs(one - two) > np.moveaxis(np.maximum(step, 0), axis, 0)[1:]
        target = np.moveaxis(edge, axis, 0)
        target[1:] |= across
        target[:-1] |= across
    return edge


def _ramp(blocked: np.ndarray, start: float, width: float) -> Float[np.ndarray, "h w"]:
    """0 up to ``start`` pixels from blocked ones, then smoothly up to 1 over ``width`` pixels."""
    from scipy.ndimage import distance_transform_cdt

    if not blocked.any():
        return np.ones(blocked.shape, np.float32)
    distance = np.asarray(distance_transform_cdt(~blocked, metric="chessboard"), np.float32)
    share = np.clip((distance - start) / max(width, 1.0), 0.0, 1.0)
    return share * share * (3 - 2 * share)


def _rgb_trust(view: CalibratedView, shape: tuple[int, int], mismatch: float) -> Float[np.ndarray, "H W"]:
    """Falloff towards the border of the RGB's own mask; a single one where there is no mask.

    Where outlines disagree, the mask's own error (soft light, a rest of shadow) is of about a fifth of that size.
    """
    if view.rgb_mask is None:
        return np.ones((1, 1), np.float32)
    start = BLEED_PX + MASK_ERROR * mismatch * max(shape)
    return _ramp(~resampled_nearest(view.rgb_mask, shape), start, EDGE_PX * max(shape) / 1024)


def _image_for_texels(view: CalibratedView, depth: Float[np.ndarray, "h w"], texels_per_unit: float):
    """The RGB averaged down to about one pixel per texel where it is finer, and the scale factors (x, y)."""
    from PIL import Image

    rgb = _read_only(np.ascontiguousarray(view.rgb))
    seen = depth[depth > 0]
    if not len(seen):
        return rgb, (1.0, 1.0)
    pixels_per_unit = 1.0 / float(view.rgb_camera.pixel_size(float(np.median(seen)))) * view.registration.scale
    ratio = pixels_per_unit / texels_per_unit
    if ratio < FINER_IMAGE:
        return rgb, (1.0, 1.0)
    size = (max(1, round(rgb.shape[1] / ratio)), max(1, round(rgb.shape[0] / ratio)))
    smaller = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))
    return _read_only(smaller), (size[0] / rgb.shape[1], size[1] / rgb.shape[0])


def _read_only(image: np.ndarray) -> np.ndarray:
    """A view that cannot be written: numba compiles a kernel anew for arrays that can."""
    shown = image.view()
    shown.flags.writeable = False
    return shown
