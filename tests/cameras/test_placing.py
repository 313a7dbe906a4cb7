"""Stored values become depth, depth becomes a box, and the world moves as one."""

from __future__ import annotations

import numpy as np
import pytest

from cameras.scenes import sample
from meshwright.cameras.model import DepthLaw
from meshwright.cameras.placing import (
    decode_depth,
    depth_step,
    moved_view,
    normalising_similarity,
    object_bounds,
    view_points,
)
from meshwright.capture.masks import drop_specks
from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.rotations import exp_so3

LAWS = [
    DepthLaw(inverse=i, offset=o, near_bright=n, ray=r)
    for i, o, n in ((0, 0, 0), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 1, 0))
    for r in (False, True)
]


def bowl() -> tuple[Camera, np.ndarray]:
    """A camera and z-depths with holes."""
    camera = Camera.from_fov(70, np.eye(4), 24, 18)
    u, v = np.moveaxis(pixel_grid(24, 18), -1, 0)
    return camera, np.where((u - 12) ** 2 + (v - 9) ** 2 < 70, 1.5 + 0.03 * u + 0.02 * v, 0.0)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_decoding_undoes_the_encoding(law: DepthLaw) -> None:
    camera, z = bowl()
    slopes = (pixel_grid(camera.width, camera.height) - camera.K[:2, 2]) / camera.K[0, 0]
    stored = z * np.sqrt(1 + (slopes**2).sum(-1)) if law.ray else z
    a, b = (-0.02, 6.0) if law.near_bright else (0.004, 0.03 if law.offset else 0.0)
    with np.errstate(divide="ignore"):
        values = np.where(z > 0, ((1 / stored if law.inverse else stored) - b) / a, 0.0)
    assert (values[z > 0] > 0).all()
    np.testing.assert_allclose(decode_depth(values, camera, law, a, b), z, rtol=1e-6)


def test_what_is_not_a_depth_becomes_none() -> None:
    camera, _ = bowl()
    values = np.full((18, 24), 100.0)
    assert (decode_depth(values, camera, DepthLaw(), -1.0, 50.0) == 0).all()
    assert (decode_depth(values, camera, DepthLaw(inverse=True), 1.0, -100.0) == 0).all()


@pytest.mark.parametrize("law", [DepthLaw(), DepthLaw(inverse=True)], ids=str)
def test_the_step_is_the_depth_between_two_neighbouring_levels(law: DepthLaw) -> None:
    camera, _ = bowl()
    values = np.full((18, 24), 150.0)
    two = [decode_depth(values + d, camera, law, 0.01, 0.2)[9, 12] for d in (-0.5, 0.5)]
    assert depth_step(values, law, 0.01, 0.2, integer=True) == pytest.approx(abs(two[1] - two[0]), rel=1e-3)
    assert depth_step(values, law, 0.01, 0.2, integer=False) == 0


def test_specks_go_and_a_picture_of_specks_stays() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    specked = mask.copy()
    specked[2:4, 2:4] = specked[36, 1:6] = True
    np.testing.assert_array_equal(drop_specks(specked), mask)
    np.testing.assert_array_equal(drop_specks(specked & ~mask), specked & ~mask)


def test_the_box_of_the_depth_is_the_box_of_the_object() -> None:
    truth = sample().truth(exact_depth=True)
    np.testing.assert_allclose(object_bounds(truth.views), truth.bounds, atol=0.02 * truth.diagonal)


def test_a_moved_view_shows_the_moved_points() -> None:
    view = sample().truth().views[1]
    move = np.eye(4)
    move[:3, :3] = 2.5 * exp_so3(np.array([0.3, -0.2, 0.9]))
    move[:3, 3] = 1, 2, 3
    moved = moved_view(view, move)
    expected = view_points(view, 7) @ move[:3, :3].T + move[:3, 3]
    np.testing.assert_allclose(view_points(moved, 7), expected, atol=1e-5)
    assert moved.depth_step == pytest.approx(2.5 * view.depth_step)
    assert moved.depth_scale == pytest.approx(2.5 * view.depth_scale)


def test_normalising_centres_the_box_and_makes_its_diagonal_one() -> None:
    bounds = np.array([[1.0, 2.0, 3.0], [4.0, 6.0, 15.0]])
    similarity = normalising_similarity(bounds)
    low, high = bounds @ similarity[:3, :3].T + similarity[:3, 3]
    np.testing.assert_allclose(low + high, 0, atol=1e-12)
    assert np.linalg.norm(high - low) == pytest.approx(1)
