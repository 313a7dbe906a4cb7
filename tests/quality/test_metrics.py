"""Known answers of the metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.quality.metrics import depth_errors, mask_iou, psnr, ssim, ssim_map


def noise(seed: int, size: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("offset", "db"), [(1, 48.1308), (16, 24.0484), (255, 0.0)])
def test_psnr_of_a_constant_offset_is_known(offset: int, db: float):
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr(black + np.uint8(offset), black).value == pytest.approx(db, abs=1e-3)


def test_psnr_of_identical_images_is_null_with_a_reason():
    score = psnr(noise(0), noise(0))
    assert score.value is None
    assert score.kind == "unbounded"
    assert "identical" in score.reason


def test_psnr_over_a_mask_ignores_what_lies_outside():
    a, mask = noise(0), np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    b = np.where(mask[..., None], a, 255 - a)
    assert psnr(a, b, mask).kind == "unbounded"
    assert psnr(a, b).value < 10


def test_metrics_of_an_empty_mask_are_undefined():
    a, empty = noise(0), np.zeros((40, 40), bool)
    assert psnr(a, a, empty).kind == ssim(a, a, empty).kind == mask_iou(empty, empty).kind == "undefined"


def ssim_by_the_paper(a: np.ndarray, b: np.ndarray, row: int, column: int) -> float:
    """Equation 13 of Wang et al. 2004 at one pixel, written out with an 11 x 11 Gaussian."""
    offset = np.arange(-5, 6)
    weight = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    x = a[row - 5 : row + 6, column - 5 : column + 6].astype(float)
    y = b[row - 5 : row + 6, column - 5 : column + 6].astype(float)
    mx, my = (weight * x).sum(), (weight * y).sum()
    vx, vy, vxy = (weight * x * x).sum() - mx**2, (weight * y * y).sum() - my**2, (weight * x * y).sum() - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def test_ssim_map_is_the_papers_equation():
    a, b = noise(1), noise(2) // 2 + noise(1) // 2
    expected = np.mean([ssim_by_the_paper(a[..., c], b[..., c], 17, 22) for c in range(3)])
    assert ssim_map(a, b)[17, 22] == pytest.approx(expected, abs=1e-6)


def test_ssim_of_two_flat_images_is_known():
    low, high = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20, 3), 200, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(low, high).value == pytest.approx((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1), abs=1e-6)


def test_ssim_over_a_mask_is_the_mean_of_the_whole_map_there():
    a, b, mask = noise(3), noise(4), np.zeros((40, 40), bool)
    mask[12:19, 3:30] = True
    assert ssim(a, b, mask).value == pytest.approx(ssim_map(a, b)[mask].mean(), abs=1e-12)


def test_ssim_of_images_smaller_than_its_window_is_finite():
    assert ssim(noise(0, 6), noise(0, 6)).value == pytest.approx(1.0)


def test_mask_iou_is_known():
    a, b = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    a[:, :6], b[:, 4:] = True, True
    assert mask_iou(a, b).value == pytest.approx(0.2)
    assert mask_iou(a, a).value == 1.0
    assert mask_iou(a, ~a).value == 0.0


def test_depth_errors_are_fractions_of_the_diagonal():
    reference = np.full((4, 4), 2.0, np.float32)
    depth = reference + np.array([0.1, -0.3] * 8, np.float32).reshape(4, 4)
    scores = depth_errors(depth, reference, diagonal=4.0)
    assert scores.mae.value == pytest.approx(0.05, abs=1e-6)
    assert scores.rmse.value == pytest.approx(np.sqrt(0.05) / 4, abs=1e-6)
    assert scores.overlap.value == 1.0


def test_depth_without_overlap_is_undefined_and_without_input_absent():
    zero, one = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    assert depth_errors(zero, one, 1.0).mae.kind == "undefined"
    assert depth_errors(zero, one, 1.0).overlap.value == 0.0
    assert depth_errors(one, zero, 1.0).mae.kind == "absent"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 60))
def test_more_error_never_scores_higher(seed: int, error: int, more: int):
    reference = np.full((16, 16, 3), 100, np.uint8)
    sign = np.random.default_rng(seed).choice([-1, 1], (16, 16, 3))
    near, far = ((reference + sign * e).clip(0, 255).astype(np.uint8) for e in (error, error + more))
    assert psnr(far, reference).value < psnr(near, reference).value
