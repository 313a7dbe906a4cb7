"""Laws of dequantisation: inside the bounds, nearer to the truth, nothing smoothed across a jump."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from meshwright.surface.dequantise import dequantise, measure_noise, slopes
from surface.solids import box, cameras, sphere, torus, trace, union

SOLIDS = {"sphere": sphere(0.4), "torus": torus(0.3, 0.12), "box": box((0.3, 0.2, 0.25))}
PIXEL = 0.009


def quantised(solid, size=128):
    truth = trace(solid, cameras(size)["front"])
    step = truth.max() / 255
    return truth, np.rint(truth / step) * step, step


@pytest.mark.parametrize("name", SOLIDS)
def test_stays_inside_the_bounds(name):
    _, stored, step = quantised(SOLIDS[name])
    smooth = dequantise(stored, step, PIXEL)
    off = np.abs(smooth.depth - stored)[smooth.valid]
    assert off.max() <= step / 2 * (1 + 1e-6)


@pytest.mark.parametrize("name", ["sphere", "torus"])
def test_recovers_smooth_surfaces_to_a_fraction_of_a_step(name):
    truth, stored, step = quantised(SOLIDS[name], size=256)
    smooth = dequantise(stored, step, PIXEL / 2)
    at = binary_erosion(smooth.valid, iterations=2)  # at the rim the depth has no slope to continue
    raw, ours = (np.sqrt(np.mean((z - truth)[at] ** 2)) / step for z in (stored, smooth.depth))
    assert raw > 0.25
    assert ours < 0.12


def test_tilted_plane_loses_its_terraces():
    rows, columns = np.mgrid[0:96, 0:96]
    truth = 1.0 + 3e-4 * columns + 1e-4 * rows
    step = 1.1 / 255
    smooth = dequantise(np.rint(truth / step) * step, step, 1e-3)
    slope_x, slope_y = slopes(smooth.depth, smooth.link_x, smooth.link_y)
    inner = np.s_[16:-16, 16:-16]
    assert np.abs(slope_x[inner] - 3e-4).max() < 1e-4
    assert np.abs(slope_y[inner] - 1e-4).max() < 1e-4


def test_depth_jump_stays_sharp():
    solid = union(sphere(0.2), box((0.4, 0.4, 0.001)))
    _, stored, step = quantised(solid)
    stored[:, 64:] += 0.2 * (stored[:, 64:] > 0)
    smooth = dequantise(stored, step, PIXEL)
    assert not smooth.link_x[:, 63].any()
    assert np.abs(smooth.depth - stored)[smooth.valid].max() <= step / 2 * (1 + 1e-6)


def test_strays_and_flying_pixels_go():
    _, stored, step = quantised(SOLIDS["sphere"])
    stored[5, 5] = 0.9
    stored[64, 64] = 0.5
    smooth = dequantise(stored, step, PIXEL)
    assert smooth.depth[5, 5] == 0
    assert smooth.depth[64, 64] == 0


def test_exact_depth_is_left_alone():
    truth, _, _ = quantised(SOLIDS["sphere"])
    smooth = dequantise(truth, 0.0, PIXEL)
    assert np.array_equal(smooth.depth[smooth.valid], truth[smooth.valid])


def test_noise_is_measured_and_reduced():
    truth, _, _ = quantised(SOLIDS["sphere"], size=256)
    rng = np.random.default_rng(0)
    sigma = 0.004
    noisy = np.where(truth > 0, truth + rng.normal(0, sigma, truth.shape), 0)
    assert measure_noise(noisy) == pytest.approx(sigma, rel=0.25)
    smooth = dequantise(noisy, 0.0, PIXEL / 2)
    at = smooth.valid & (truth > 0)
    assert at.sum() > 0.9 * (truth > 0).sum()
    inner = binary_erosion(at, iterations=4)
    assert np.sqrt(np.mean((smooth.depth - truth)[inner] ** 2)) < 0.3 * sigma


def test_no_depth_gives_no_depth():
    smooth = dequantise(np.zeros((20, 30)), 0.01, PIXEL)
    assert not smooth.valid.any()
