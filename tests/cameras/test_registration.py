"""RGB on depth: a known similarity is found again, the identity is kept, and the bounds hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cameras.scenes import sample
from meshwright.cameras.registration import MAX_SCALE, MAX_SHIFT, MAX_TURN_DEG, bounded, register_silhouettes
from meshwright.geometry.similarity import Similarity2d


def silhouette(size: int = 400) -> np.ndarray:
    """The sample's front, enlarged."""
    coverage = sample().shots[0].coverage
    return ndimage.zoom(coverage, size / coverage.shape[1], order=1, grid_mode=True, mode="nearest") > 0.5


def photographed(mask: np.ndarray, similarity: Similarity2d, size: int) -> np.ndarray:
    """Where an image of another size shows the silhouette after a similarity."""
    ys, xs = np.mgrid[0:size, 0:size]
    points = np.stack([xs + 0.5, ys + 0.5], -1).reshape(-1, 2).astype(float)
    back = similarity.inverse().apply_pixels(points, size, size) * (mask.shape[1] / size)
    found = ndimage.map_coordinates(mask.astype(float), (back[:, 1] - 0.5, back[:, 0] - 0.5), order=1)
    return found.reshape(size, size) > 0.5


@pytest.mark.parametrize(
    "known",
    [
        Similarity2d(1.04, 0.0, 0.02, 0.0),
        Similarity2d(0.93, 0.0, -0.015, 0.02),
        Similarity2d(1.08, np.radians(1.5), 0.01, -0.03),
        Similarity2d(1.0, np.radians(-2.0), 0.0, 0.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [300, 700])
def test_a_known_similarity_is_found_again(known: Similarity2d, size: int) -> None:
    surface = silhouette()
    found = register_silhouettes(surface, photographed(surface, known, size))
    assert found.iou > 0.98
    assert found.iou >= found.iou_before
    ours, true = found.similarity, known
    assert ours.scale == pytest.approx(true.scale, rel=2e-3)
    assert np.degrees(ours.angle_rad) == pytest.approx(np.degrees(true.angle_rad), abs=0.2)
    assert ours.shift_x == pytest.approx(true.shift_x, abs=2e-3)
    assert ours.shift_y == pytest.approx(true.shift_y, abs=2e-3)


@pytest.mark.parametrize("size", [400, 800])
def test_agreeing_silhouettes_keep_the_identity(size: int) -> None:
    surface = silhouette()
    assert register_silhouettes(surface, photographed(surface, Similarity2d(), size)).similarity.is_identity


def test_nothing_is_registered_to_an_empty_picture() -> None:
    surface = silhouette(64)
    for a, b in ((surface, np.zeros_like(surface)), (np.zeros_like(surface), surface)):
        found = register_silhouettes(a, b)
        assert found.similarity.is_identity
        assert found.iou == 0


def test_a_shift_beyond_the_bounds_is_not_followed() -> None:
    surface = silhouette()
    found = register_silhouettes(surface, photographed(surface, Similarity2d(1.3, 0.0, 0.1, 0.0), 400)).similarity
    assert found == bounded(found)


@settings(max_examples=30)
@given(st.floats(0.3, 3), st.floats(-1, 1), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_bounds_hold_and_bounding_twice_changes_nothing(scale: float, angle: float, x: float, y: float) -> None:
    once = bounded(Similarity2d(scale, angle, x, y))
    assert 1 / (1 + MAX_SCALE) <= once.scale <= 1 + MAX_SCALE
    assert abs(np.degrees(once.angle_rad)) <= MAX_TURN_DEG + 1e-9
    assert max(abs(once.shift_x), abs(once.shift_y)) <= MAX_SHIFT
    assert bounded(once) == once
