"""What one view says about space: its smooth depth with slopes, its silhouette and its depth jumps, ready to be asked.

A view claims that the space in front of its depth map and outside its silhouette is free. The border of that free space
is made of the seen surface, of the silhouette's cone, and of curtains that hang behind depth jumps. All three are kept
with sub-pixel precision: the surface as a depth with slopes per pixel, the other two as distances in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from meshwright.capture.calibrated import CalibratedView
from meshwright.geometry.camera import Camera
from meshwright.surface.dequantise import SmoothDepth, dequantise, slopes

MARGIN_PX = 12  # image border kept around the silhouette, so that distances to it are known outside too
CONTOUR_SIGMA_PX = 1.0  # a pixel staircase becomes a line; a circle of radius 10 px shrinks by 0.05 px
NO_DEPTH = 0.0
BEYOND = np.float32(1e30)
CHANNELS = 8  # depth, slope x, slope y, silhouette, jump to far side: distance, depth; to near side: distance, depth
DEPTH, SLOPE_X, SLOPE_Y, SILHOUETTE, FAR_PX, FAR_Z, NEAR_PX, NEAR_Z = range(CHANNELS)


@dataclass(frozen=True, eq=False)
class ViewEvidence:
    """One view's maps, cropped to its silhouette. ``maps`` is (h, w, `CHANNELS`), ``corner`` its (x, y) in the image.

    Depth is z-depth (0 = silhouette without depth, `BEYOND` = background), slopes are depth per pixel, distances are
    pixels; the silhouette's distance is positive inside.
    """

    camera: Camera
    maps: Float[np.ndarray, "h w 8"]
    corner: tuple[int, int]
    step: float

    @property
    def surface(self) -> Bool[np.ndarray, "h w"]:
        """Pixels with a depth."""
        depth = self.maps[..., DEPTH]
        return (depth > 0) & (depth < BEYOND)

    @property
    def leaves_image(self) -> bool:
        """Whether the silhouette touches the image's border: what lies beyond is not known to be free."""
        inside = self.maps[..., SILHOUETTE] > 0
        return bool(inside[[0, -1]].any() or inside[:, [0, -1]].any())

    def points(self, stride: int = 1) -> Float[np.ndarray, "n 3"]:
        """World points of every ``stride``-th surface pixel."""
        rows, columns = np.nonzero(self.surface[::stride, ::stride])
        rows, columns = rows * stride, columns * stride
        uv = np.stack([columns + self.corner[0] + 0.5, rows + self.corner[1] + 0.5], -1)
        return self.camera.unproject(uv, self.maps[rows, columns, DEPTH].astype(float))


def gather(view: CalibratedView) -> ViewEvidence | None:
    """Smooth a view's depth and measure its contours; None where the view shows nothing."""
    box = _crop(view.mask)
    if box is None:
        return None
    rows, columns = box
    mask = view.mask[rows, columns]
    maps = np.zeros((*mask.shape, CHANNELS), np.float32)
    maps[..., FAR_PX] = maps[..., NEAR_PX] = BEYOND
    if view.depth is not None and (view.depth[view.mask] > 0).any():
        typical = float(np.median(view.depth[view.mask & (view.depth > 0)]))
        pixel = float(view.camera.pixel_size(typical))
        smooth = dequantise(view.depth[rows, columns], view.depth_step, pixel, mask)
        maps[..., DEPTH] = smooth.depth
        maps[..., SLOPE_X], maps[..., SLOPE_Y] = slopes(smooth.depth, smooth.link_x, smooth.link_y)
        _measure_jumps(maps, smooth)
    maps[..., DEPTH][~mask] = BEYOND
    maps[..., SILHOUETTE] = silhouette_distance(mask)
    return ViewEvidence(view.camera, maps, (columns.start, rows.start), view.depth_step)


def silhouette_distance(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Signed distance in pixels from pixel centres to the mask's contour, positive inside, staircase smoothed away."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    if mask.all():
        return np.full(mask.shape, max(mask.shape), np.float32)
    padded = np.pad(mask, 1, mode="edge")
    inside = np.asarray(distance_transform_edt(padded)) - 0.5
    outside = np.asarray(distance_transform_edt(~padded)) - 0.5
    signed = np.where(padded, inside, -outside)[1:-1, 1:-1]
    return gaussian_filter(signed.astype(np.float32), CONTOUR_SIGMA_PX)


def _crop(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    return (
        slice(max(rows[0] - MARGIN_PX, 0), min(rows[-1] + 1 + MARGIN_PX, mask.shape[0])),
        slice(max(columns[0] - MARGIN_PX, 0), min(columns[-1] + 1 + MARGIN_PX, mask.shape[1])),
    )


def _measure_jumps(maps: Float[np.ndarray, "h w 8"], smooth: SmoothDepth) -> None:
    """Distance to, and depth of, the nearest pixel on the far and the near side of a depth jump."""
    from scipy.ndimage import distance_transform_edt

    near, far = jump_sides(smooth)
    for side, px, z in ((far, FAR_PX, FAR_Z), (near, NEAR_PX, NEAR_Z)):
        if side.any():
            distance, index = distance_transform_edt(~side, return_indices=True)
            maps[..., px] = distance - 0.5
            maps[..., z] = smooth.depth[index[0], index[1]]


def jump_sides(smooth: SmoothDepth) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Pixels on the near and on the far side of a jump between two valid neighbours."""
    near, far = np.zeros(smooth.depth.shape, bool), np.zeros(smooth.depth.shape, bool)
    for link, first, second in (
        (smooth.link_x, np.s_[:, :-1], np.s_[:, 1:]),
        (smooth.link_y, np.s_[:-1], np.s_[1:]),
    ):
        a, b = smooth.depth[first], smooth.depth[second]
        jump = ~link & (a > 0) & (b > 0)
        near[first] |= jump & (a < b)
        far[second] |= jump & (a < b)
        near[second] |= jump & (b < a)
        far[first] |= jump & (b < a)
    return near, far


@dataclass(frozen=True, eq=False)
class EvidencePack:
    """All views in flat arrays for the field's kernel.

    ``projection`` (v, 3, 4) takes world points to (u z, v z, z), for an orthographic camera to (u, v, z).
    ``layout`` (v, 6) is offset into ``maps``, height, width, corner x, corner y, perspective.
    """

    maps: Float[np.ndarray, "n 8"]
    projection: Float[np.ndarray, "v 3 4"]
    layout: Int[np.ndarray, "v 6"]


def pack(views: Sequence[ViewEvidence]) -> EvidencePack:
    """Views as flat arrays."""
    maps = np.concatenate([view.maps.reshape(-1, CHANNELS) for view in views])
    layout, projection, offset = [], [], 0
    for view in views:
        height, width = view.maps.shape[:2]
        perspective = view.camera.projection == "perspective"
        layout.append((offset, height, width, *view.corner, int(perspective)))
        projection.append(projection_matrix(view.camera))
        offset += height * width
    return EvidencePack(maps, np.array(projection), np.array(layout, np.int64))


def projection_matrix(camera: Camera) -> Float[np.ndarray, "3 4"]:
    """World point (homogeneous) to (u z, v z, z), or to (u, v, z) for an orthographic camera."""
    w2c = camera.w2c
    if camera.projection == "perspective":
        return camera.K @ w2c[:3]
    rows = np.vstack([camera.K[:2, :2] @ w2c[:2], w2c[2:3]])
    rows[:2, 3] += camera.K[:2, 2]
    return rows
