"""A batch of cameras projects as each camera does, and refuses what cannot be one batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from meshwright.errors import InputError
from meshwright.rendering.differentiable import CameraBatch
from rendering.scenes import three_cameras


@pytest.mark.parametrize("name", list(three_cameras()))
def test_pixels_and_depth_are_the_cameras_own(name: str) -> None:
    camera = three_cameras()[name]
    points = np.random.default_rng(0).normal(size=(50, 3))
    screen = CameraBatch.of([camera, camera]).project(torch.tensor(points))
    uv, z = camera.project(points)
    xy = screen[..., :2] / screen[..., 2:] if camera.projection == "perspective" else screen[..., :2]
    for view in range(2):
        np.testing.assert_allclose(xy[view], uv, rtol=1e-9)
        np.testing.assert_allclose(screen[view, :, 2], z, rtol=1e-9)


def test_each_view_may_have_points_of_its_own() -> None:
    batch = CameraBatch.of([three_cameras()["perspective"]] * 2)
    points = torch.rand(2, 5, 3)
    assert torch.equal(batch.project(points)[1], batch.project(points[1])[1])


def test_points_keep_their_dtype() -> None:
    batch = CameraBatch.of([three_cameras()["perspective"]])
    assert batch.project(torch.rand(4, 3)).dtype == torch.float32
    assert batch.project(torch.rand(4, 3).double()).dtype == torch.float64


def test_points_that_are_not_finite_pass_no_gradient() -> None:
    batch = CameraBatch.of([three_cameras()["perspective"]])
    w2c = batch.w2c.clone().requires_grad_()
    points = torch.tensor([[0.1, 0.2, 0.3], [float("nan"), 0, 0], [0, float("inf"), 0]], requires_grad=True)
    screen = dataclasses.replace(batch, w2c=w2c).project(points)
    assert screen.isnan().all(-1).tolist() == [[False, True, True]]
    gradients = torch.autograd.grad(screen[:, 0].sum(), (points, w2c))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_cameras_of_different_sizes_or_none_are_refused() -> None:
    cameras = list(three_cameras().values())
    for given in (cameras, []):
        with pytest.raises(InputError) as caught:
            CameraBatch.of(given)
        assert caught.value.reason == "cameras_differ"


@pytest.mark.parametrize("K", [np.zeros((3, 3)), np.diag([50.0, np.nan, 1]), np.diag([50.0, 0, 1])])
def test_a_singular_camera_is_refused(K: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        CameraBatch.of([dataclasses.replace(three_cameras()["perspective"], K=K)])
    assert caught.value.reason == "camera_singular"
