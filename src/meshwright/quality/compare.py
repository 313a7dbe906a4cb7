"""One view against the mesh: render it, compare it, score it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8

from meshwright.capture.calibrated import CalibratedView
from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh
from meshwright.quality.metrics import DepthScores, Metrics, Score, depth_errors, mask_iou, psnr, ssim
from meshwright.quality.reference import COMPARISON_SIZE, WHITE, Reference, reference_of


@dataclass(frozen=True, eq=False)
class ViewComparison:
    """A view's reference, what the mesh shows in its place, and the scores."""

    name: str
    reference: Reference
    render: UInt8[np.ndarray, "h w 3"]
    render_mask: Bool[np.ndarray, "h w"]
    metrics: Metrics

    @property
    def union(self) -> Bool[np.ndarray, "h w"]:
        """Where the input or the render shows the object."""
        return self.reference.mask | self.render_mask


def compare_view(
    view: CalibratedView, mesh: TexturedMesh, diagonal: float, size: int = COMPARISON_SIZE
) -> ViewComparison:
    """Score ``mesh`` in one view, in the frame of its surface camera; the mesh may be empty."""
    reference = reference_of(view, size)
    image, mask = _rendered(mesh, reference.camera)
    union = mask | reference.mask
    depth = _depth_scores(view, mesh, diagonal, size)
    inside, expected = _on_white(image, union), _on_white(reference.composited, union)
    metrics = Metrics(
        psnr=psnr(inside, expected, union),
        ssim=ssim(inside, expected, union),
        mask_iou=mask_iou(mask, reference.mask),
        depth_mae=depth.mae,
        depth_rmse=depth.rmse,
        depth_overlap=depth.overlap,
        psnr_full=psnr(image, reference.composited),
        ssim_full=ssim(image, reference.composited),
    )
    return ViewComparison(view.name, reference, image, mask, metrics)


def depth_samples(view: CalibratedView, size: int = COMPARISON_SIZE) -> tuple[Camera, Float[np.ndarray, "h w"]]:
    """Every n-th pixel of the view's depth map, so that at most ``size`` remain on a side, and their camera.

    The camera's pixel centres are exactly the chosen pixels' centres: depth is never averaged across an edge.
    """
    camera, depth = view.camera, view.depth
    assert depth is not None
    stride = -(-max(depth.shape) // size)
    if stride == 1:
        return camera, depth
    first = stride // 2
    chosen = depth[first::stride, first::stride]
    K = camera.K.copy()
    K[:2] /= stride
    # pixel i of the chosen ones is pixel first + i * stride: u_chosen = (u - first - 0.5) / stride + 0.5
    K[:2, 2] = (camera.K[:2, 2] - first - 0.5) / stride + 0.5
    return replace(camera, K=K, width=chosen.shape[1], height=chosen.shape[0]), chosen


def _rendered(mesh: TexturedMesh, camera: Camera) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    if len(mesh.faces) == 0:
        shape = camera.height, camera.width
        return np.full((*shape, 3), WHITE, np.uint8), np.zeros(shape, bool)
    from meshwright.rendering.render import render

    rendering = render(mesh, camera, background=WHITE)
    return rendering.rgb, rendering.coverage >= 0.5


def _depth_scores(view: CalibratedView, mesh: TexturedMesh, diagonal: float, size: int) -> DepthScores:
    if view.depth is None:
        none = Score.absent("the view has no depth")
        return DepthScores(none, none, none)
    camera, given = depth_samples(view, size)
    return depth_errors(_mesh_depth(mesh, camera), given, diagonal)


def _mesh_depth(mesh: TexturedMesh, camera: Camera) -> Float[np.ndarray, "h w"]:
    if len(mesh.faces) == 0:
        return np.zeros((camera.height, camera.width), np.float32)
    from meshwright.rendering.raster import rasterize

    return rasterize(mesh.vertices, mesh.faces, camera).depth


def _on_white(image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The image inside ``mask``, white outside: an SSIM window at the rim must not see half-covered pixels."""
    return np.where(mask[..., None], image, np.uint8(WHITE))
