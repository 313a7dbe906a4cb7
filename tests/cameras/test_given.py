"""Given cameras: kept as given, scales found under them, the same in any world, and the wrong one is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cameras.scenes import SIZE, camera_errors, changed, sample, stored_as
from meshwright.cameras.calibrate import CalibrationOptions, calibrate
from meshwright.cameras.scales import FixedRig, hull_points
from meshwright.capture.capture import Capture, View
from meshwright.errors import InputError
from meshwright.geometry.rotations import exp_so3
from meshwright.sample.scene import Sample

NO_REGISTRATION = CalibrationOptions(register=False)


def with_cameras(truth: Sample, capture: Capture | None = None) -> Capture:
    """A capture without depth scales, with the true cameras."""
    views = (capture or truth.capture()).views
    return Capture(tuple(replace(v, camera=s.camera) for v, s in zip(views, truth.shots, strict=True)))


def turned(view: View, angle: float) -> View:
    """A view whose camera turned about its own vertical axis."""
    assert view.camera is not None
    c2w = view.camera.c2w.copy()
    c2w[:3, :3] = c2w[:3, :3] @ exp_so3(np.array([0.0, angle, 0.0]))
    return replace(view, camera=replace(view.camera, c2w=c2w))


def codes(found) -> dict[str, str | None]:
    return {f.code: f.view for f in found.findings if f.severity != "info"}


def test_given_cameras_with_declared_scale_are_left_untouched() -> None:
    truth = sample(format="metric")
    found = calibrate(truth.capture(), NO_REGISTRATION)
    assert found.given_frame
    assert found.scale == "metric"
    assert found.report.source == "given"
    assert found.report.hypothesis["depth_scale"] == "given"
    for view, exact in zip(found.views, truth.truth().views, strict=True):
        np.testing.assert_array_equal(view.camera.c2w, exact.camera.c2w)
        np.testing.assert_allclose(view.camera.K, exact.camera.K, rtol=1e-12)
        assert exact.depth is not None
        assert view.depth is not None
        kept = view.depth > 0  # crumbs of a few pixels are dropped
        assert kept.sum() > 0.99 * (exact.depth > 0).sum()
        np.testing.assert_allclose(view.depth[kept], exact.depth[kept], rtol=1e-6)
    assert found.report.residual_pct is not None
    assert found.report.residual_pct < 0.05
    assert "camera_contradiction" not in codes(found)


@pytest.mark.parametrize("views", [6, 8], ids=["canonical", "ring"])
def test_unknown_scales_are_found_under_given_cameras(views: int) -> None:
    truth = sample(views=views)
    found = calibrate(with_cameras(truth), NO_REGISTRATION)
    assert found.report.hypothesis["depth_scale"] == "estimated"
    assert found.scale == "relative"
    assert camera_errors(found, truth.truth())[2] < 5e-3
    assert found.diagonal == pytest.approx(truth.truth().diagonal, rel=0.02)
    assert "camera_contradiction" not in codes(found)


def test_inverse_depth_is_found_under_given_cameras() -> None:
    truth = sample()
    capture = with_cameras(truth, stored_as(truth, lambda z: 255 * z.min() / z))
    found = calibrate(capture, NO_REGISTRATION)
    assert found.report.hypothesis["depth_encoding"] == "inverse"
    assert camera_errors(found, truth.truth())[2] < 5e-3


def test_a_turn_and_scale_of_the_world_turns_and_scales_the_result() -> None:
    capture = with_cameras(sample())
    move = np.eye(4)
    move[:3, :3] = 3 * exp_so3(np.array([0.4, -1.0, 0.7]))
    move[:3, 3] = 5, -2, 1
    views = [replace(v, camera=v.camera.transformed(move)) for v in capture.views if v.camera]
    here, there = (calibrate(c, NO_REGISTRATION) for c in (capture, Capture(tuple(views))))
    for a, b in zip(here.views, there.views, strict=True):
        assert a.depth_scale is not None
        assert b.depth_scale == pytest.approx(3 * a.depth_scale, rel=1e-4)
    assert there.report.residual_pct == pytest.approx(here.report.residual_pct, rel=0.05)


@pytest.mark.parametrize("name", ["left", "top"])
def test_a_wrong_pose_is_reported_with_the_name_of_its_view(name: str) -> None:
    capture = changed(sample(format="metric").capture(), name, lambda v: turned(v, 0.15))
    assert codes(calibrate(capture, NO_REGISTRATION))["camera_contradiction"] == name


def test_a_wrong_pose_is_named_although_free_scales_hide_it() -> None:
    capture = changed(with_cameras(sample()), "left", lambda v: turned(v, 0.15))
    found = calibrate(capture, NO_REGISTRATION)
    assert [f.view for f in found.findings if f.code == "camera_contradiction"] == ["left"]
    np.testing.assert_array_equal(found.views[2].camera.c2w, capture.views[2].camera.c2w)  # still used as given


def test_the_hull_holds_the_object() -> None:
    truth = sample()
    capture = with_cameras(truth)
    depths = [v.depth for v in capture.views if v.depth]
    rig = FixedRig.of(capture.names, depths, [s.camera.resized(SIZE, SIZE) for s in truth.shots])
    hull = hull_points(rig) * rig.size
    low, high = truth.mesh.vertices.min(0), truth.mesh.vertices.max(0)
    spacing = 2 * 0.9 / 43 * rig.size
    assert (hull.min(0) < low + spacing).all()
    assert (hull.max(0) > high - spacing).all()
    assert rig.size == pytest.approx(1, rel=0.4)  # the sample's diagonal is 1


def test_one_view_with_depth_needs_no_agreement() -> None:
    capture = sample(format="metric").capture()
    views = [v if k == 0 else replace(v, depth=None) for k, v in enumerate(capture.views)]
    found = calibrate(replace(capture, views=tuple(views)), NO_REGISTRATION)
    assert found.report.residual_pct is None
    assert [v.depth is None for v in found.views] == [False] + [True] * 5


def test_rig_given_without_cameras_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        calibrate(sample().capture(), CalibrationOptions(rig="given"))
    assert caught.value.reason == "cameras_missing"


def test_given_cameras_can_be_withheld() -> None:
    truth = sample()
    found = calibrate(with_cameras(truth), CalibrationOptions(rig="viewer,top=0,bottom=0,mirror=none,law=linear"))
    assert found.report.source == "estimated"
    assert found.report.fov_deg == pytest.approx(49.1, abs=0.5)
