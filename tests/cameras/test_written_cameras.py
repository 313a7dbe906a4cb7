"""`cameras.json` says where every pixel looks, in nerfstudio's convention."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.cameras.nerfstudio import write_cameras
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import look_at
from meshwright.geometry.similarity import Similarity2d


@pytest.fixture
def view() -> CalibratedView:
    pose = look_at(np.array([1.0, 2.0, 3.0]), np.zeros(3), np.array([0.0, 1.0, 0.0]))
    camera = Camera.from_fov(50.0, pose, 32, 32)
    moved = Similarity2d(1.02, 0.01, 0.03, -0.02)
    rgb = np.zeros((64, 64, 3), np.uint8)
    return CalibratedView("front", camera, np.ones((32, 32), bool), None, rgb, moved, depth_scale=0.01)


def content(view: CalibratedView, **more: object) -> dict:
    bounds = np.array([[-1.0] * 3, [1.0] * 3])
    return write_cameras(CalibratedCapture((view,), CalibrationReport("estimated"), 2.0, bounds, **more))  # type: ignore[arg-type]


def test_a_point_projects_where_the_view_shows_it(view: CalibratedView) -> None:
    """By the file's own rule: into OpenGL camera space, then pixels with centres at +0.5 and y downwards."""
    frame = content(view)["frames"][0]
    point = np.array([0.1, -0.2, 0.3])
    x, y, z, _ = np.linalg.inv(np.array(frame["transform_matrix"])) @ [*point, 1.0]
    assert z < 0
    pixel = [frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z]
    expected, _ = view.rgb_camera.project(point)
    np.testing.assert_allclose(pixel, expected, atol=1e-9)


def test_names_sizes_and_registration_are_kept(view: CalibratedView) -> None:
    frame = content(view)["frames"][0]
    assert (frame["name"], frame["w"], frame["h"], frame["depth_scale"]) == ("front", 64, 64, 0.01)
    assert frame["registration"]["scale"] == 1.02
    assert frame["registration"]["angle_deg"] == pytest.approx(np.degrees(0.01))


@pytest.mark.parametrize(("given", "frame"), [(True, "given"), (False, "canonical")])
def test_the_frame_is_said(view: CalibratedView, given: bool, frame: str) -> None:
    assert content(view, given_frame=given)["frame"] == frame
