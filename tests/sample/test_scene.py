"""A sample's views see its object: depth lies on the surface, namings trade sides, encodings keep their laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from meshwright.errors import Cancelled, InputError
from meshwright.geometry.camera import pixel_grid
from meshwright.progress import Context
from meshwright.sample.encoding import encode_steps, encode_view_max
from meshwright.sample.rig import canonical_stations, ring_stations, sphere_stations
from meshwright.sample.scene import Sample, SampleOptions, make_sample

SMALL = dict(cells=32, texture_size=128, rgb_size=32, depth_size=64, novel=0)


def test_depth_lies_on_the_surface(robot_sample: Sample) -> None:
    tree = cKDTree(robot_sample.mesh.vertices)
    for shot in robot_sample.shots:
        camera = shot.camera.resized(*shot.depth.shape[::-1])
        seen = shot.depth > 0
        points = camera.unproject(pixel_grid(camera.width, camera.height)[seen], shot.depth[seen])
        assert seen.mean() > 0.05
        assert tree.query(points)[0].max() < 0.03


def test_reference_form_withholds_cameras_and_scales(robot_sample: Sample) -> None:
    capture = robot_sample.capture()
    assert not capture.has_cameras
    for view in capture.views:
        assert view.depth is not None
        assert view.depth.bits == 8
        assert view.depth.unit_scale is None
        assert view.depth.values.max() == 255
    steps = [robot_sample.stored_depth(shot)[1] for shot in robot_sample.shots]
    assert len({round(step, 6) for step in steps}) > 1


def test_truth_undoes_the_encoding(robot_sample: Sample) -> None:
    for stored, exact in zip(robot_sample.truth().views, robot_sample.truth(exact_depth=True).views, strict=True):
        assert stored.depth is not None
        assert exact.depth is not None
        assert np.abs(stored.depth - exact.depth).max() <= stored.depth_step / 2 + 1e-6


def test_object_naming_trades_left_and_right() -> None:
    viewer = {s.name: s.camera for s in canonical_stations(50, 1.2, 8)}
    own = {s.name: s.camera for s in canonical_stations(50, 1.2, 8, "object")}
    assert viewer["right"].center[0] == pytest.approx(1.2)
    np.testing.assert_allclose(own["left"].c2w, viewer["right"].c2w)
    np.testing.assert_allclose(own["top"].c2w, viewer["top"].c2w)


def test_all_cameras_look_at_the_origin_upright() -> None:
    for station in [*ring_stations(5, 20, 50, 2.0, 8), *sphere_stations(9, 50, 2.0, 8)]:
        camera = station.camera
        np.testing.assert_allclose(camera.forward, -camera.center / 2, atol=1e-9)
        assert camera.c2w[1, 1] < 0  # image-down is downwards
        assert np.linalg.det(camera.c2w[:3, :3]) == pytest.approx(1)


def test_metric_form_is_in_metres() -> None:
    sample = make_sample(SampleOptions(**SMALL, format="metric", diagonal_m=0.4, views=3))
    capture = sample.capture()
    assert capture.unit == "metre"
    assert np.linalg.norm(np.ptp(sample.mesh.vertices, axis=0)) == pytest.approx(0.4)
    shot, view = sample.shots[0], capture.views[0]
    assert view.depth is not None
    assert view.camera is shot.camera
    np.testing.assert_allclose(view.depth.values * 1e-3, shot.depth, atol=5.01e-4)


def test_encodings_keep_background_and_saturate() -> None:
    depth = np.array([[0.0, 1e-6, 0.5, 2.0]])
    values, step = encode_view_max(depth)
    assert values.dtype == np.uint8
    assert values.tolist() == [[0, 1, 64, 255]]
    assert step == pytest.approx(2 / 255)
    assert encode_steps(depth, 1e-5).tolist() == [[0, 1, 50000, 65535]]


@pytest.mark.parametrize(
    "bad", [dict(views=0), dict(views=8, layout="canonical"), dict(fov_deg=0.0), dict(distance=0.1), dict(rgb_size=8)]
)
def test_impossible_options_are_refused(bad: dict) -> None:
    with pytest.raises(InputError) as caught:
        SampleOptions(**bad)
    assert caught.value.suggestion


def test_making_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        make_sample(SampleOptions(**SMALL), Context(is_cancelled=lambda: True))
