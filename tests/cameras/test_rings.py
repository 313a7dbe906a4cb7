"""Ring rigs without cameras: solved with elevation and direction, refused where no ring fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cameras.scenes import camera_errors, sample
from meshwright.cameras.calibrate import CalibrationOptions, calibrate
from meshwright.cameras.forced import ForcedRig, parse_rig
from meshwright.cameras.rigs import CANONICAL_NAMES, ring_rotation
from meshwright.cameras.rings import RingArrangement, is_ring
from meshwright.errors import InputError

NO_REGISTRATION = CalibrationOptions(register=False)


@pytest.mark.parametrize("count", [3, 8, 12, 64])
def test_any_names_in_order_are_a_ring(count: int) -> None:
    assert is_ring([f"view_{k:02d}" for k in range(count)], ForcedRig())


def test_six_views_are_a_ring_by_name_or_by_wish() -> None:
    assert is_ring([f"ring_{k:02d}" for k in range(6)], ForcedRig())
    assert not is_ring([f"view_{k:02d}" for k in range(6)], ForcedRig())
    assert not is_ring(CANONICAL_NAMES, ForcedRig())
    assert is_ring(CANONICAL_NAMES, parse_rig("ring"))
    assert parse_rig("elevation=20") == ForcedRig(ring=True, elevation_deg=20.0)


@pytest.mark.parametrize("names", [["a", "b"], ["front", "x", "y"], [f"v{k}" for k in range(65)]])
def test_too_few_too_many_or_named_views_are_no_ring(names: list[str]) -> None:
    assert not is_ring(names, ForcedRig())


def test_the_first_view_of_a_ring_is_the_front() -> None:
    for to_right, side in ((True, 90), (False, -90)):
        rotations = RingArrangement.of(4, to_right, 15).rotations()
        np.testing.assert_allclose(rotations[0], ring_rotation(0, 15), atol=1e-12)
        np.testing.assert_allclose(rotations[1], ring_rotation(side, 15), atol=1e-12)


def test_a_ring_is_recovered_in_either_direction() -> None:
    truth = sample(views=8)
    capture = truth.capture()
    reverse = replace(capture, views=(capture.views[0], *capture.views[:0:-1]))
    for views, naming in ((capture, "to_right"), (reverse, "to_left")):
        found = calibrate(views, NO_REGISTRATION)
        turn, centre, scale = camera_errors(found, truth.truth())
        assert found.report.source == "estimated"
        assert found.report.hypothesis["naming"] == naming
        assert found.report.hypothesis["elevation_deg"] == pytest.approx(20, abs=1.5)
        assert found.report.fov_deg == pytest.approx(49.1, abs=0.7)
        assert turn < 1.5
        assert centre < 0.01
        assert scale < 0.008
        assert found.report.margin is not None
        assert found.report.margin > 1


def test_views_in_disorder_are_refused() -> None:
    capture = sample(views=8).capture()
    order = [0, 5, 2, 7, 4, 1, 6, 3]
    with pytest.raises(InputError) as caught:
        calibrate(replace(capture, views=tuple(capture.views[k] for k in order)), NO_REGISTRATION)
    assert caught.value.reason == "cameras_unsolvable"


def test_a_ring_without_depth_is_refused() -> None:
    capture = sample(views=8).capture()
    with pytest.raises(InputError) as caught:
        calibrate(replace(capture, views=tuple(replace(v, depth=None) for v in capture.views)))
    assert caught.value.reason == "cameras_unsolvable"
