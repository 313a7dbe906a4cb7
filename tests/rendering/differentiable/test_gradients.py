"""Gradients of vertices, attributes and cameras equal float64 autograd, and float64 autograd is right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from meshwright.rendering.differentiable import (
    CameraBatch,
    Fragments,
    barycentrics,
    depth,
    edge_gradient,
    interpolate,
    normals,
    rasterize,
    reference,
)
from meshwright.rendering.differentiable.topology import face_neighbours
from rendering.differentiable.soups import relative
from rendering.scenes import bumpy_ball, three_cameras

TOLERANCE = 1e-3
Leaves = tuple[Tensor, Tensor, Tensor, Tensor]


def leaves(name: str, dtype: torch.dtype) -> tuple[Leaves, Tensor, CameraBatch]:
    """Vertices, colours, K and w2c as leaves, faces, and the batch of two cameras that holds the leaves."""
    camera = three_cameras()[name]
    vertices, faces = bumpy_ball(900)
    start = CameraBatch.of([camera, camera])
    K, w2c = start.K.clone(), start.w2c.clone()
    K[1, 0, 2] += 3.3
    w2c[1, :3, 3] += torch.tensor([0.1, 0.05, 0.2])
    colors = torch.rand(len(vertices), 3, generator=torch.Generator().manual_seed(1))
    made = (torch.tensor(vertices, dtype=dtype), colors.to(dtype), K, w2c)
    for leaf in made:
        leaf.requires_grad_()
    return made, torch.tensor(faces), CameraBatch(K, w2c, camera.height, camera.width, start.perspective)


def wanted(n: int, height: int, width: int, channels: int) -> Tensor:
    return torch.randn(n, height, width, channels, generator=torch.Generator().manual_seed(2))


def gradients(made: Leaves, *losses: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(sum(losses), made)  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.parametrize("name", list(three_cameras()))
def test_vertices_colors_and_cameras_against_float64_autograd(name: str) -> None:
    made, faces, batch = leaves(name, torch.float32)
    seen = rasterize(batch.project(made[0]), faces, batch.height, batch.width, batch.perspective)
    weight = wanted(2, batch.height, batch.width, 4)
    loss = (interpolate(seen, made[1]) * weight[..., :3]).sum(), (depth(seen) * weight[..., 3]).sum()
    found = gradients(made, *loss)

    made, faces, batch = leaves(name, torch.float64)
    screen = batch.project(made[0])
    together = torch.cat([made[1].expand(2, -1, -1), screen[..., 2:]], -1)
    image = reference.interpolate(screen, seen.faces, seen.face_id, together, batch.perspective)
    truth = gradients(made, (image * weight.double()).sum())
    for one, other in zip(found, truth, strict=True):
        assert other.abs().max() > 0
        assert relative(one, other) < TOLERANCE


@pytest.mark.parametrize("name", list(three_cameras()))
def test_edge_gradients_of_vertices_and_cameras_against_float64(name: str) -> None:
    made, faces, batch = leaves(name, torch.float32)
    seen = rasterize(batch.project(made[0]), faces, batch.height, batch.width, batch.perspective)
    flat = interpolate(seen, made[1].detach()).detach()
    weight = wanted(2, batch.height, batch.width, 3)
    shape = made[0], made[2], made[3]
    found = torch.autograd.grad((edge_gradient(flat, seen) * weight).sum(), shape)

    made, faces, batch = leaves(name, torch.float64)
    screen = batch.project(made[0])
    rest = face_neighbours(faces), seen.face_id, flat.double(), weight.double(), batch.perspective
    to_screen = reference.edge_backward(screen.detach(), faces, *rest)
    truth = torch.autograd.grad(screen, (made[0], made[2], made[3]), to_screen)
    for one, other in zip(found, truth, strict=True):
        assert other.abs().max() > 0
        assert relative(one, other) < TOLERANCE


@pytest.mark.parametrize("perspective", [True, False])
def test_the_float64_twin_equals_its_finite_differences(perspective: bool) -> None:
    random = torch.Generator().manual_seed(4)
    screen = torch.tensor([[[1.0, 1, 1], [9, 2, 1], [4, 8, 1], [10, 9, 1]]], dtype=torch.float64)
    z = torch.tensor([1.0, 2, 1.5, 1.2], dtype=torch.float64)
    screen = torch.cat([screen[..., :2] * (z[:, None] if perspective else 1), z[None, :, None]], -1).requires_grad_()
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]], dtype=torch.int32)
    ids = reference.visibility(screen, faces, 10, 11, perspective)
    attributes = torch.rand(1, 4, 2, generator=random, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *given: reference.interpolate(given[0], faces, ids, given[1], perspective), (screen, attributes)
    )


@pytest.mark.parametrize("name", list(three_cameras()))
def test_weights_at_a_pixel_lead_back_to_it(name: str) -> None:
    made, faces, batch = leaves(name, torch.float32)
    screen = batch.project(made[0])
    seen = rasterize(screen, faces, batch.height, batch.width, batch.perspective)
    hit = seen.face_id >= 0
    weights = barycentrics(seen)
    torch.testing.assert_close(weights[hit].sum(-1), torch.ones(int(hit.sum())))
    assert (weights[~hit] == 0).all()
    point = interpolate(seen, screen)
    x = point[..., 0] / (point[..., 2] if batch.perspective else 1)
    columns = (torch.arange(batch.width) + 0.5).expand_as(x)
    torch.testing.assert_close(x[hit], columns[hit], rtol=0, atol=2e-3)
    torch.testing.assert_close(depth(seen)[hit], point[..., 2][hit])


def test_gradients_of_barycentrics_are_those_of_interpolation() -> None:
    made, faces, batch = leaves("off_centre", torch.float32)
    weight = wanted(2, batch.height, batch.width, 3)

    def gradient(by_weights: bool) -> Tensor:
        screen = batch.project(made[0])
        seen = rasterize(screen, faces, batch.height, batch.width)
        corners = made[1].detach()[seen.faces[seen.face_id.clamp(min=0).long()].long()]
        image = (barycentrics(seen)[..., None] * corners).sum(-2) if by_weights else interpolate(seen, made[1])
        return torch.autograd.grad((image * weight).sum(), made[0])[0]

    assert relative(gradient(True), gradient(False)) < 1e-5


def test_normals_of_a_ball_point_outwards() -> None:
    vertices, faces = bumpy_ball(900, 0.0)
    points = torch.tensor(vertices, dtype=torch.float32, requires_grad=True)
    batch = CameraBatch.of([three_cameras()["perspective"]])
    seen = rasterize(batch.project(points), torch.tensor(faces), batch.height, batch.width)
    hit = seen.face_id >= 0
    found = normals(seen, points)
    outwards = torch.nn.functional.normalize(interpolate(seen, points), dim=-1)
    assert ((found * outwards).sum(-1)[hit] > 0.99).all()
    assert (found[~hit] == 0).all()
    found[..., 1].sum().backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_a_view_may_have_attributes_of_its_own() -> None:
    made, faces, batch = leaves("perspective", torch.float32)
    seen = rasterize(batch.project(made[0]).detach(), faces, batch.height, batch.width)
    own = torch.stack([made[1], 2 * made[1]])
    assert torch.allclose(interpolate(seen, own)[1], 2 * interpolate(seen, made[1])[1])


def test_edge_gradient_is_the_identity_and_leaves_the_images_gradient_alone() -> None:
    made, faces, batch = leaves("perspective", torch.float32)
    seen = rasterize(batch.project(made[0]), faces, batch.height, batch.width)
    image = interpolate(seen, made[1])
    passed = edge_gradient(image, seen)
    assert torch.equal(passed, image)
    weight = wanted(2, batch.height, batch.width, 3)
    (gradient,) = torch.autograd.grad((passed * weight).sum(), image)
    assert torch.equal(gradient, weight)


def test_without_a_need_for_gradients_none_is_made() -> None:
    made, faces, batch = leaves("perspective", torch.float32)
    seen = rasterize(batch.project(made[0].detach()).detach(), faces, batch.height, batch.width)
    assert isinstance(seen, Fragments)
    assert not edge_gradient(interpolate(seen, made[1].detach()), seen).requires_grad
