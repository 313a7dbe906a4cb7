"""Bad input is a typed error or is skipped: never a crash, a hang, or a gradient that is not a number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshwright.errors import InputError
from meshwright.rendering.differentiable import (
    CameraBatch,
    depth,
    edge_gradient,
    interpolate,
    rasterize,
)
from meshwright.rendering.differentiable.backend import backend_of

wild = st.floats(allow_nan=True, allow_infinity=True, width=32)
tame = st.floats(-30, 30, width=32)
# Mostly plain numbers, so that some faces are seen, with a wild one here and there.
numbers = st.one_of(tame, tame, tame, tame, wild)


def render_and_differentiate(screen: torch.Tensor, faces: torch.Tensor, perspective: bool) -> list[torch.Tensor]:
    """Image and gradients of a random sum of mask, depth and colours."""
    points = screen.clone().requires_grad_()
    colors = torch.rand(screen.shape[1], 2).requires_grad_()
    seen = rasterize(points, faces, 9, 7, perspective)
    image = torch.cat([seen.mask[..., None], depth(seen)[..., None], interpolate(seen, colors)], -1)
    scaled = edge_gradient(image, seen) * torch.rand(image.shape)
    gradients = torch.autograd.grad(scaled.sum(), (points, colors))
    assert ((seen.face_id >= -1) & (seen.face_id < len(faces))).all()
    return [image.detach(), *gradients]


@given(
    points=arrays(np.float32, (2, 7, 3), elements=numbers),
    faces=arrays(np.int64, (6, 3), elements=st.integers(0, 6)),
    perspective=st.booleans(),
)
def test_any_points_and_faces_give_finite_images_and_gradients(
    points: np.ndarray, faces: np.ndarray, perspective: bool
) -> None:
    for result in render_and_differentiate(torch.tensor(points), torch.tensor(faces), perspective):
        assert torch.isfinite(result).all()


@given(
    vertices=arrays(np.float32, (7, 3), elements=numbers),
    faces=arrays(np.int64, (6, 3), elements=st.integers(0, 6)),
    K=arrays(np.float64, (1, 2, 3), elements=tame),
    w2c=arrays(np.float64, (1, 3, 4), elements=st.floats(-3, 3)),
)
def test_any_camera_even_a_singular_one_gives_finite_gradients(
    vertices: np.ndarray, faces: np.ndarray, K: np.ndarray, w2c: np.ndarray
) -> None:
    intrinsics = torch.cat([torch.tensor(K), torch.tensor([[[0.0, 0, 1]]])], 1).requires_grad_()
    pose = torch.cat([torch.tensor(w2c), torch.tensor([[[0.0, 0, 0, 1]]])], 1).requires_grad_()
    points = torch.tensor(vertices, requires_grad=True)
    for perspective in (True, False):
        batch = CameraBatch(intrinsics, pose, 9, 7, perspective)
        seen = rasterize(batch.project(points), torch.tensor(faces), 9, 7, perspective)
        image = torch.cat([seen.mask[..., None], depth(seen)[..., None]], -1)
        for gradient in torch.autograd.grad(edge_gradient(image, seen).sum(), (points, intrinsics, pose)):
            assert torch.isfinite(gradient).all()


@given(
    grid=arrays(np.int64, (2, 12, 2), elements=st.integers(-6, 24)),
    z=arrays(np.float32, (2, 12, 1), elements=st.sampled_from([0.0, 1e-30, 1.0, 1.5, 1e30, -1.0])),
    faces=arrays(np.int64, (14, 3), elements=st.integers(0, 11)),
)
def test_slivers_and_extreme_depths_give_finite_results(grid: np.ndarray, z: np.ndarray, faces: np.ndarray) -> None:
    """Corners on a half-pixel lattice, moved by less than the sub-pixel grid: faces without area to one of the two."""
    xy = grid / 2 + 1e-4 * (grid % 3 - 1)
    screen = torch.tensor(np.concatenate([xy * z, z], -1), dtype=torch.float32)
    for result in render_and_differentiate(screen, torch.tensor(faces), True):
        assert torch.isfinite(result).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-9])
def test_a_face_with_an_unusable_vertex_is_dropped_alone(bad: float) -> None:
    square = torch.tensor([[0.0, 0, 1], [9, 0, 1], [0, 9, 1], [0, 0, 0.5], [4.5, 0, 0.5], [0, 4.5, bad]])
    seen = rasterize(square[None], torch.tensor([[0, 1, 2], [3, 4, 5]]), 8, 8)
    assert set(seen.face_id.unique().tolist()) == {-1, 0}


@pytest.mark.parametrize("index", [-1, 3, 2**31 - 1, 2**40])
def test_a_face_index_out_of_range_is_a_typed_error(index: int) -> None:
    with pytest.raises(InputError) as caught:
        rasterize(torch.ones(1, 3, 3), torch.tensor([[0, 1, index]]), 4, 4)
    assert caught.value.reason == "face_index_out_of_range"


def test_faces_are_checked_again_when_they_or_the_vertices_change() -> None:
    faces = torch.tensor([[0, 1, 2]])
    rasterize(torch.ones(1, 3, 3), faces, 4, 4)
    with pytest.raises(InputError):
        rasterize(torch.ones(1, 2, 3), faces, 4, 4)
    faces[0, 0] = 9
    with pytest.raises(InputError):
        rasterize(torch.ones(1, 3, 3), faces, 4, 4)


@pytest.mark.parametrize("shape", [(4, 2), (3, 3, 2), (2, 4, 2), (3,)])
def test_attributes_that_do_not_fit_are_a_typed_error(shape: tuple[int, ...]) -> None:
    seen = rasterize(torch.ones(1, 3, 3), torch.tensor([[0, 1, 2]]), 4, 4)
    with pytest.raises(InputError) as caught:
        interpolate(seen, torch.ones(shape))
    assert caught.value.reason == "attributes_do_not_fit"


@pytest.mark.parametrize("shape", [(1, 4, 5, 1), (1, 4, 4), (2, 4, 4, 1)])
def test_an_image_of_another_size_is_a_typed_error(shape: tuple[int, ...]) -> None:
    seen = rasterize(torch.ones(1, 3, 3), torch.tensor([[0, 1, 2]]), 4, 4)
    with pytest.raises(InputError) as caught:
        edge_gradient(torch.ones(shape), seen)
    assert caught.value.reason == "image_does_not_fit"


def test_a_device_without_kernels_is_a_typed_error() -> None:
    with pytest.raises(InputError) as caught:
        backend_of(torch.empty(1, device="meta"))
    assert caught.value.reason == "device_not_supported"
