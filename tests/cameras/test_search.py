"""Solving the canonical rig from 8-bit depth of unknown scale: what happened to the views is found out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cameras.scenes import camera_errors, changed, mirrored, rolled, sample, stored_as, swapped
from meshwright.cameras.calibrate import CalibrationOptions, calibrate
from meshwright.capture.calibrated import CalibratedCapture
from meshwright.capture.capture import Capture, View
from meshwright.errors import InputError

KNOWN_RIG = "viewer,top=0,bottom=0,mirror=none"
KNOWN_LAW = "law=linear,ray=no,offset=no,projection=perspective"


def solved(capture: Capture, rig: str | None = None) -> CalibratedCapture:
    return calibrate(capture, CalibrationOptions(rig=rig, register=False))


def assert_recovered(found: CalibratedCapture, fov_deg: float = 0.5, scale: float = 5e-3) -> None:
    """Field of view, orientation, centres and scales as the sample's truth, whose views have their own names."""
    turn, centre, worst = camera_errors(found, sample().truth())
    assert found.report.fov_deg == pytest.approx(49.1, abs=fov_deg)
    assert turn < 0.5
    assert centre < 3e-3
    assert worst < scale


def specked(view: View) -> View:
    """Stray far pixels, as the reference's sample has some."""
    assert view.depth is not None
    values = view.depth.values.copy()
    values[2:4, 3:8] = values[150:152, 155:158] = 255
    return replace(view, depth=replace(view.depth, values=values))


def test_the_rig_is_found_unaided() -> None:
    found = solved(sample().capture())
    assert_recovered(found)
    assert found.report.source == "estimated"
    assert not found.report.tie
    assert found.report.residual_pct is not None
    assert found.report.residual_pct < 0.1
    assert found.report.margin is not None
    assert found.report.margin > 2
    assert not found.given_frame
    assert found.diagonal == pytest.approx(1)
    np.testing.assert_allclose(found.bounds.mean(0), 0, atol=1e-6)


def test_the_objects_own_naming_and_a_rolled_top_are_found() -> None:
    capture = rolled(swapped(sample().capture(), "left", "right"), "top", 90)
    hypothesis = solved(capture, KNOWN_LAW).report.hypothesis
    assert hypothesis["naming"] == "object"
    assert hypothesis["views"]["top"]["roll_deg"] == 90
    assert hypothesis["anomaly"] is None


def test_a_mirrored_view_is_found_and_undone() -> None:
    found = solved(mirrored(sample().capture(), "back"), KNOWN_LAW)
    assert found.report.hypothesis["anomaly"] == "back is mirrored"
    assert any(f.code == "view_anomaly" for f in found.findings)
    assert_recovered(found)


def test_stray_specks_change_nothing() -> None:
    capture = sample().capture()
    for name in ("front", "top"):
        capture = changed(capture, name, specked)
    assert_recovered(solved(capture, f"{KNOWN_RIG},{KNOWN_LAW}"))


def test_inverse_depth_is_told_from_linear() -> None:
    found = solved(stored_as(sample(), lambda z: 255 * z.min() / z), f"{KNOWN_RIG},offset=no,projection=perspective")
    assert found.report.hypothesis["depth_encoding"] == "inverse"
    assert_recovered(found)


def test_ray_distance_is_told_from_depth() -> None:
    rig = f"{KNOWN_RIG},law=linear,offset=no,projection=perspective"
    found = solved(stored_as(sample(), lambda z: z / z.max() * 255, ray=True), rig)
    assert found.report.hypothesis["depth_law"] == "ray"
    assert_recovered(found)


def test_near_bright_depth_is_solved() -> None:
    capture = stored_as(sample(), lambda z: 10 + (z.max() - z) / np.ptp(z) * 245)
    found = solved(capture, f"{KNOWN_RIG},law=near_bright,ray=no,projection=perspective")
    assert_recovered(found, fov_deg=1.5, scale=0.015)


def test_a_stated_field_of_view_is_kept() -> None:
    found = solved(sample().capture(), f"{KNOWN_RIG},{KNOWN_LAW},fov=47")
    assert found.report.fov_deg == pytest.approx(47)


def test_facts_that_no_arrangement_meets_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        solved(sample().capture(), "mirror=nobody")
    assert caught.value.reason == "rig_contradiction"


def test_photographs_alone_get_assumed_cameras_and_a_finding() -> None:
    capture = sample().capture()
    found = solved(replace(capture, views=tuple(replace(v, depth=None) for v in capture.views)))
    assert found.report.source == "assumed"
    assert any(f.code == "cameras_assumed" for f in found.findings)
