"""The reference image: exact averaging, exact registration, exact depth samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.mesh import TexturedMesh
from meshwright.geometry.similarity import Similarity2d
from meshwright.quality.compare import compare_view, depth_samples
from meshwright.quality.reference import comparison_size, reference_of


def view_of(rgb: np.ndarray, mask: np.ndarray, depth: np.ndarray | None = None) -> CalibratedView:
    camera = Camera.from_fov(45.0, np.eye(4), mask.shape[1], mask.shape[0])
    return CalibratedView("front", camera, mask, depth, rgb)


def test_without_registration_the_reference_is_the_area_mean():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (128, 256, 3), dtype=np.uint8)
    reference = reference_of(view_of(rgb, np.ones((128, 256), bool)), size=64)
    blocks = rgb.reshape(32, 4, 64, 4, 3).mean((1, 3))
    assert reference.camera.width, reference.camera.height == (64, 32)
    assert np.abs(reference.composited - blocks).max() <= 0.51


def test_outside_the_silhouette_the_reference_is_white():
    rgb, mask = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), bool)
    mask[:, :31] = True
    reference = reference_of(view_of(rgb, mask), size=32)
    assert np.all(reference.composited[:, :16] == 90), "one photo pixel of rim is kept"
    assert np.all(reference.composited[:, 16:] == 255)
    assert np.array_equal(reference.mask[0], np.arange(32) < 16), "half of a pixel is enough"


def test_a_small_photo_is_not_enlarged():
    view = view_of(np.zeros((30, 40, 3), np.uint8), np.ones((30, 40), bool))
    assert comparison_size(view) == (40, 30)
    tall = view_of(np.zeros((4000, 1000, 3), np.uint8), np.ones((4000, 1000), bool))
    assert comparison_size(tall) == (128, 512)


def shown_with(view: CalibratedView, registration: Similarity2d) -> CalibratedView:
    """The view with its photo and silhouette drawn as ``registration`` says (in plain numpy, bilinear)."""
    height, width = view.mask.shape
    source = registration.inverse().apply_pixels(pixel_grid(width, height), width, height) - 0.5
    base = np.floor(source).astype(int)
    part = source - base
    layers = np.dstack([view.rgb.astype(float), 255.0 * view.mask])
    fill = np.array([255.0, 255, 255, 0])
    total = np.zeros((height, width, 4))
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = base[..., 0] + dx, base[..., 1] + dy
        weight = np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1])
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        total += weight[..., None] * np.where(inside[..., None], layers[y * inside, x * inside], fill)
    drawn = np.rint(total).astype(np.uint8)
    return replace(view, rgb=drawn[..., :3], rgb_mask=drawn[..., 3] >= 128, registration=registration)


@pytest.mark.parametrize(
    "registration",
    [Similarity2d(1.08, 0.0, 0.03, -0.02), Similarity2d(0.93, np.radians(2.5), -0.02, 0.04)],
)
def test_a_photo_that_is_shifted_scaled_and_rolled_is_compared_in_the_surfaces_frame(
    capture: CalibratedCapture, body: TexturedMesh, registration: Similarity2d
):
    displaced = shown_with(capture.views[0], registration)
    as_registered = compare_view(displaced, body, capture.diagonal).metrics
    ignored = compare_view(replace(displaced, registration=Similarity2d()), body, capture.diagonal).metrics
    assert as_registered.psnr.value > 28
    assert as_registered.mask_iou.value > 0.985
    assert ignored.psnr.value < 15
    assert as_registered.depth_mae.value == 0.0, "depth is never registered"


def test_registration_moves_the_photo_to_the_surface_within_a_hundredth_of_a_pixel():
    """A bright dot's centre of mass, drawn where the registration shows the surface point, comes back to that point."""
    size, at = 200, np.array([120.3, 61.7])
    registration = Similarity2d(1.05, np.radians(2), 0.02, -0.03)
    x, y = registration.apply_pixels(at, size, size)
    grid = pixel_grid(size, size)
    dot = 255 * np.exp(-((grid - [x, y]) ** 2).sum(-1) / (2 * 4.0**2))
    rgb = np.rint(np.repeat(dot[..., None], 3, -1)).astype(np.uint8)
    view = replace(view_of(rgb, np.ones((size, size), bool)), registration=registration)
    photo = reference_of(view, size).composited[30:90, 90:150, 0].astype(float)
    centre = (photo[..., None] * pixel_grid(60, 60)).sum((0, 1)) / photo.sum() + [90, 30]
    assert centre == pytest.approx(at, abs=0.01)


@pytest.mark.parametrize(("size", "stride"), [(512, 1), (64, 2), (50, 3), (30, 4)])
def test_depth_samples_are_pixels_of_the_map_and_their_camera_sees_the_same_points(size: int, stride: int):
    rng = np.random.default_rng(3)
    depth = rng.uniform(1, 2, (90, 120)).astype(np.float32)
    view = view_of(np.zeros((90, 120, 3), np.uint8), depth > 0, depth)
    camera, chosen = depth_samples(view, size)
    assert (camera.height, camera.width) == chosen.shape
    points = camera.unproject(pixel_grid(camera.width, camera.height), chosen)
    uv, z = view.camera.project(points)
    column, row = np.rint(uv[..., 0] - 0.5).astype(int), np.rint(uv[..., 1] - 0.5).astype(int)
    assert np.abs(uv - 0.5 - np.stack([column, row], -1)).max() < 1e-9
    assert z == pytest.approx(depth[row, column])
    assert np.diff(column[0])[0] == stride


def test_the_photos_own_silhouette_goes_before_the_depths(capture: CalibratedCapture):
    view = capture.views[0]
    larger = np.asarray(Image.fromarray(view.mask).resize((320, 320), Image.Resampling.NEAREST))
    rgb = np.full((320, 320, 3), 50, np.uint8)
    from_depth = reference_of(replace(view, rgb=rgb))
    from_photo = reference_of(replace(view, rgb=rgb, rgb_mask=np.ones_like(larger)))
    assert np.count_nonzero(from_depth.mask) == pytest.approx(np.count_nonzero(larger), rel=0.02)
    assert from_photo.mask.all()
