"""Cameras come back: a view that was turned, a wrong depth scale, a wrong focal length; right ones stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import marching_cubes

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.engines.nvdiffrec.registration import Freedom, register
from meshwright.engines.nvdiffrec.strays import gather_strays
from meshwright.geometry.mesh import Mesh
from meshwright.geometry.rotations import exp_so3, rotation_angle_deg
from meshwright.progress import Context
from surface.solids import box, capture_of, sphere, torus, union

SIZE = 192


def solid(p: np.ndarray) -> np.ndarray:
    """A box with a ball and a ring: no symmetry."""
    ball, ring = p - np.array([0.18, 0.12, 0.1]), p + np.array([0.25, 0.05, 0.0])
    return union(box((0.25, 0.15, 0.2)), lambda _: sphere(0.16)(ball), lambda _: torus(0.13, 0.04)(ring))(p)


@pytest.fixture(scope="module")
def capture() -> CalibratedCapture:
    return capture_of(solid, 1.0, SIZE)


@pytest.fixture(scope="module")
def truth() -> Mesh:
    axis = np.linspace(-0.5, 0.5, 120)
    field = solid(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1))
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(axis[1] - axis[0],) * 3)
    return Mesh(vertices - 0.5, faces.astype(np.int32))


def turned(capture: CalibratedCapture, index: int, degrees: float, axis: tuple[float, ...]) -> CalibratedCapture:
    motion = np.eye(4)
    motion[:3, :3] = exp_so3(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis))
    view = capture.views[index]
    view = replace(view, camera=replace(view.camera, c2w=motion @ view.camera.c2w))
    return replace(capture, views=(*capture.views[:index], view, *capture.views[index + 1 :]))


def apart(one: CalibratedCapture, two: CalibratedCapture) -> list[float]:
    pairs = zip(one.views, two.views, strict=True)
    return [rotation_angle_deg(a.camera.c2w[:3, :3] @ b.camera.c2w[:3, :3].T) for a, b in pairs]


@pytest.mark.parametrize(("index", "axis"), [(0, (0, 1, 0)), (2, (1, 0.3, 0)), (4, (0.2, 1, 1))])
def test_a_view_that_was_turned_comes_back(
    capture: CalibratedCapture, truth: Mesh, index: int, axis: tuple[float, ...]
) -> None:
    spoilt = turned(capture, index, 2.0, axis)
    assert max(apart(spoilt, capture)) > 1.9
    found = register(spoilt, truth, Freedom(), SIZE, anchored=False)
    assert max(apart(found.capture, capture)) < 0.3
    assert found.outline_px[1] < found.outline_px[0]


def test_right_cameras_stay(capture: CalibratedCapture, truth: Mesh) -> None:
    found = register(capture, truth, Freedom(), SIZE)
    assert max(apart(found.capture, capture)) < 0.28  # a pixel
    assert found.scale_pct < 1  # two steps of the depth


def test_what_is_held_does_not_move(capture: CalibratedCapture, truth: Mesh) -> None:
    found = register(turned(capture, 0, 2.0, (0, 1, 0)), truth, Freedom(0, 0, 0, 0), SIZE)
    assert found.motion_px < 1e-3
    assert found.scale_pct < 1e-3


def test_a_wrong_scale_and_a_wrong_focal_length_come_back(capture: CalibratedCapture, truth: Mesh) -> None:
    def spoilt(k: int, view):
        K = view.camera.K * np.array([[1.01], [1.01], [1.0]])
        K[:2, 2] = view.camera.K[:2, 2]
        factor = np.float32(1.02 if k == 1 else 1.0)
        return replace(view, camera=replace(view.camera, K=K), depth=view.depth * factor)

    views = tuple(spoilt(k, view) for k, view in enumerate(capture.views))
    found = register(replace(capture, views=views), truth, Freedom(rotation=0, shift=0, scale=0.03), SIZE)
    mask = capture.views[1].mask
    focal = found.capture.views[0].camera.K[0, 0] / capture.views[0].camera.K[0, 0]
    factor = np.median(found.capture.views[1].depth[mask] / capture.views[1].depth[mask])
    assert focal == pytest.approx(1, abs=5e-3)  # half a pixel at the outline
    assert factor == pytest.approx(1, abs=5e-3)


def test_the_stray_is_found_and_brought_back_without_knowing_the_object(capture: CalibratedCapture) -> None:
    spoilt = turned(capture, 2, 2.0, (1, 0.3, 0))
    found = gather_strays(spoilt, Context(), size=SIZE, resolution=64)
    assert len(found.notes) == 1
    assert "left" in found.notes[0]
    assert apart(found.capture, capture)[2] < 0.6  # by surfaces of 64 voxels
    assert all(
        a.camera is b.camera for k, (a, b) in enumerate(zip(found.capture.views, spoilt.views, strict=True)) if k != 2
    )


def test_views_that_agree_are_left_alone(capture: CalibratedCapture) -> None:
    assert gather_strays(capture, Context(), size=SIZE, resolution=64).notes == ()
