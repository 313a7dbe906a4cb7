"""The ladder's own laws: a perturbed camera still explains its image, and the scorer knows right from wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from ladder.case import Case, TrueView, view_max
from ladder.evidence import Placement, evidence, true_placements, undecidable
from ladder.perturb import check_rig, ray_length, steps
from ladder.score import score
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.geometry.camera import pixel_grid
from meshwright.geometry.rotations import exp_so3
from meshwright.sample.scene import Sample, SampleOptions, make_sample


@pytest.fixture(scope="module")
def case() -> Case:
    sample: Sample = make_sample(SampleOptions(cells=56, texture_size=256, rgb_size=256, depth_size=256, novel=0))
    views = []
    for shot in sample.shots:
        camera, z = shot.camera.resized(256, 256), shot.depth.astype(float)
        views.append(TrueView(shot.name, shot.name, camera, shot.rgb, z, view_max(z)))
    return Case("robot", tuple(views), 1.0, sample.mesh)


def answer(case: Case, tie: bool = False) -> CalibratedCapture:
    """The truth as a solver would say it, in a world of its own."""
    world = np.eye(4)
    world[:3, :3] = 1.7 * exp_so3(np.array([0.3, -0.8, 0.1]))
    world[:3, 3] = 0.3, 0.1, -2.0
    views = tuple(
        CalibratedView(v.name, v.camera.transformed(world), v.z > 0, (1.7 * v.z).astype(np.float32), v.rgb)
        for v in case.views
    )
    placed = {v.name: {"slot": v.slot, "roll_deg": v.roll_deg, "mirrored": v.mirrored} for v in case.views}
    report = CalibrationReport("estimated", {**case.law, "views": placed}, tie=tie)
    return CalibratedCapture(views, report, 1.7, np.zeros((2, 3)))


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_each_rung_keeps_its_truth(case: Case, step) -> None:
    perturbed = step.apply(case)
    check_rig(perturbed)
    result = score(perturbed, step.name, step.group, answer(perturbed), 0.0)
    assert result.right
    assert result.centre_error_pct == pytest.approx(0, abs=1e-6)
    assert result.scale_error_pct == pytest.approx(0, abs=1e-3)
    for view in perturbed.capture().views:
        assert view.camera is None
        assert view.depth is not None
        assert view.depth.unit_scale is None


def test_rolled_view_sees_the_same_points(case: Case) -> None:
    turned = next(step for step in steps() if step.name == "top 90").apply(case)

    def cloud(view: TrueView) -> np.ndarray:
        seen = view.z > 0
        points = view.camera.unproject(pixel_grid(256, 256)[seen], view.z[seen])
        return points[np.lexsort(np.round(points, 9).T)]

    np.testing.assert_allclose(cloud(turned.views[4]), cloud(case.views[4]), atol=1e-9)


def test_ray_distance_is_the_distance(case: Case) -> None:
    view = case.views[2]
    seen = view.z > 0
    points = view.camera.unproject(pixel_grid(256, 256)[seen], view.z[seen])
    distance = np.linalg.norm(points - view.camera.center, axis=1)
    np.testing.assert_allclose((view.z * ray_length(view.camera))[seen], distance)


def test_wrong_answers_are_wrong(case: Case) -> None:
    for spoilt in (
        replace(case, views=(*case.views[:4], replace(case.views[4], mirrored=True), case.views[5])),
        case.changed(depth_law="ray"),
        next(step for step in steps() if step.name == "bottom 180").apply(case),
        next(step for step in steps() if step.name == "left/right swapped").apply(case),
    ):
        assert not score(case, "", "", answer(spoilt, tie=True), 0.0).counts


def test_robot_tells_every_arrangement_apart_and_a_turned_world_is_the_same(case: Case) -> None:
    truth = true_placements(case)
    assert undecidable(case, list(truth))
    for k, place in enumerate(truth):
        other = [*truth]
        other[k] = Placement(place.slot, 180, place.mirrored)
        assert not undecidable(case, other)
        other[k] = Placement(place.slot, 0, True)
        assert not undecidable(case, other)
    assert evidence(case, truth).geometry_pct < 0.2
