"""Photos on the surface: a registration that is a little off comes back to where the photos agree, others stay."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from cameras.scenes import sample
from meshwright.cameras.calibrate import calibrate
from meshwright.cameras.consistency import MOST_IOU_LOST, agree
from meshwright.cameras.registration import Registration, bounded
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.geometry.similarity import Similarity2d

OFF = Similarity2d(1.004, 0.004, 0.003, -0.003)


@cache
def calibrated() -> CalibratedCapture:
    """The sample in colour, 320 px, its cameras solved; photos and depth fit, so all registrations are the identity."""
    return calibrate(sample(rgb_size=320, depth_size=320).capture())


def started(view: CalibratedView, similarity: Similarity2d) -> tuple[CalibratedView, Registration]:
    return replace(view, registration=similarity), Registration(similarity, 0.99, 0.99, 0.0)


def agreed(similarities: dict[str, Similarity2d]) -> tuple[list[CalibratedView], list[Registration | None]]:
    capture = calibrated()
    rows = [started(view, similarities.get(view.name, Similarity2d())) for view in capture.views]
    return agree([row[0] for row in rows], [row[1] for row in rows], capture.diagonal)


def error(similarity: Similarity2d) -> float:
    """Greatest shift of a point within the object, as a share of the width, from where the photo truly is."""
    corners = np.array([[0.3, 0.3], [0.7, 0.3], [0.3, 0.7], [0.7, 0.7]])
    return float(np.abs(similarity.apply_pixels(corners, 1, 1) - corners).max())


@pytest.mark.parametrize("name", ["front", "left", "top"])
def test_a_photo_that_is_off_comes_back_to_where_the_photos_agree(name: str) -> None:
    views, found = agreed({name: OFF})
    moved = next(view for view in views if view.name == name).registration
    assert error(moved) < 0.5 * error(OFF)
    assert found[[view.name for view in views].index(name)].similarity == moved


def test_photos_that_fit_stay_as_they_are() -> None:
    views, found = agreed({"front": OFF})
    for view, registration in zip(views, found, strict=True):
        if view.name != "front":
            assert view.registration.is_identity
            assert registration is not None
            assert registration.similarity.is_identity


def test_nothing_happens_where_all_fit_or_depth_is_missing() -> None:
    views, _ = agreed({})
    assert all(view.registration.is_identity for view in views)
    capture = calibrated()
    flat = [replace(view, depth=None, registration=OFF) for view in capture.views]
    kept, found = agree(flat, [Registration(OFF, 0.9, 0.9, 0.0)] * len(flat), capture.diagonal)
    assert all(view.registration == OFF for view in kept)
    assert len(found) == len(flat)


def test_outlines_and_bounds_are_kept() -> None:
    """Even if every photo is another object's: nothing leaves the bounds or loses its outline."""
    capture = calibrated()
    rng = np.random.default_rng(5)
    noisy = [replace(v, rgb=rng.integers(0, 256, v.rgb.shape, dtype=np.uint8), registration=OFF) for v in capture.views]
    views, found = agree(noisy, [Registration(OFF, 0.97, 0.97, 0.0)] * len(noisy), capture.diagonal)
    for view, registration in zip(views, found, strict=True):
        assert registration is not None
        assert bounded(view.registration) == view.registration
        assert registration.iou >= 0.97 - MOST_IOU_LOST
