"""Laws of edge gradients: equal to finite differences of supersampled pictures; none where the surface goes on."""

from __future__ import annotations

import pytest
import torch

from meshwright.rendering.differentiable import CameraBatch, edge_gradient, interpolate, rasterize
from rendering.differentiable.moving import (
    MOTIONS,
    alone,
    before_a_ball,
    by_finite_differences,
    by_gradients,
    front,
    painted,
)
from rendering.scenes import bumpy_ball

SIZE, FACES, TOLERANCE = 256, 5000, 0.03
SCENES = {"silhouette": alone(FACES), "inner edge": before_a_ball(FACES), "close": before_a_ball(FACES, 0.02)}


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("name", list(SCENES))
def test_moving_edges_change_the_picture_as_finite_differences_say(name: str, perspective: bool) -> None:
    camera = front(SIZE, perspective)
    found = by_gradients(SCENES[name], camera, MOTIONS)
    for motion in MOTIONS:
        truth = by_finite_differences(SCENES[name], camera, MOTIONS[motion], 4 / SIZE)
        assert found[motion] == pytest.approx(truth, rel=TOLERANCE), motion


def test_what_lies_between_edges_is_not_counted_twice() -> None:
    """A patterned surface before another: its edges and its inside together make up the whole change.

    Colours at an edge are taken at the pixel centres on its two sides: the pattern's change over half a pixel is the
    error, which halves with the pixel size.
    """
    camera = front(SIZE)
    scene = painted(FACES)
    found = by_gradients(scene, camera, MOTIONS)
    for motion in MOTIONS:
        truth = by_finite_differences(scene, camera, MOTIONS[motion], 4 / SIZE)
        assert found[motion] == pytest.approx(truth, rel=2.5 * TOLERANCE), motion


def test_the_nearer_object_owns_the_edge() -> None:
    """The ball behind gets no gradient from the edges of the object before it."""
    scene = SCENES["inner edge"]
    batch = CameraBatch.of([front(SIZE)])
    points = torch.tensor(scene.vertices, dtype=torch.float32, requires_grad=True)
    seen = rasterize(batch.project(points), torch.tensor(scene.faces), SIZE, SIZE)
    image = interpolate(seen, torch.tensor(scene.grey, dtype=torch.float32)[:, None]).detach()
    edge_gradient(image, seen)[:, 76:196, 48:198].sum().backward()  # the object and what is behind it alone
    assert points.grad is not None
    assert points.grad[: scene.moving].abs().max() > 0.1
    assert points.grad[scene.moving :].abs().max() == 0


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("n_faces", [300, 5000, 80_000])
def test_a_smooth_surface_has_no_edges_inside(n_faces: int, perspective: bool) -> None:
    """Whatever the pattern on a ball, it passes nothing but at its silhouette, however steep it is beside that."""
    vertices, faces = bumpy_ball(n_faces, 0.0)
    batch = CameraBatch.of([front(128, perspective)])
    points = torch.tensor(vertices * 0.7, dtype=torch.float32, requires_grad=True)
    seen = rasterize(batch.project(points), torch.tensor(faces), 128, 128, perspective)
    inside = -torch.nn.functional.max_pool2d(-seen.mask, 3, 1, 1)  # pixels with no background beside them
    image = torch.rand(1, 128, 128, 1, generator=torch.Generator().manual_seed(0))
    (edge_gradient(image, seen) * inside[..., None]).sum().backward()
    assert inside.sum() > 1000
    assert points.grad is not None
    assert points.grad.abs().max() == 0


def test_a_fold_gives_its_gradient_to_the_vertices_of_the_fold() -> None:
    """A roof seen from the side of one slope: the edge against the background is its ridge, which alone moves it."""
    roof = torch.tensor([[2.0, 9, 1], [14, 9, 1], [2.0, 3.3, 1.5], [14, 3.3, 1.5], [2, 8, 2], [14, 8, 2.0]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 5, 4]])
    screen = torch.cat([roof[:, :2] * roof[:, 2:], roof[:, 2:]], -1)[None].requires_grad_()
    seen = rasterize(screen, faces, 12, 16)
    edge_gradient(seen.mask[..., None], seen)[:, :6, 4:12].sum().backward()
    assert screen.grad is not None
    moved = screen.grad[0, :, 1] != 0
    assert moved.tolist() == [False, False, True, True, False, False]
    # The ridge is 8 pixels long in that window; moving it by one pixel uncovers 8 (Y = 1.5 y, and -y is up).
    assert float((screen.grad[0, 2:4, 1] * 1.5).sum()) == pytest.approx(-8)


def test_surfaces_that_pass_through_each_other_get_no_edge_there() -> None:
    corners = torch.tensor([[1.0, 1, 1], [15, 1, 2], [1, 11, 1], [1, 1.2, 2], [15, 1.2, 1], [15, 11, 1]])
    screen = torch.cat([corners[:, :2] * corners[:, 2:], corners[:, 2:]], -1)[None].requires_grad_()
    seen = rasterize(screen, torch.tensor([[0, 1, 2], [3, 4, 5]]), 12, 16)
    both = seen.face_id[0, 2:4, 4:12]
    assert set(both.unique().tolist()) == {0, 1}
    image = torch.rand(1, 12, 16, 1, generator=torch.Generator().manual_seed(0))
    edge_gradient(image, seen)[:, 2:4, 4:12].sum().backward()
    assert screen.grad is not None
    assert screen.grad.abs().max() == 0
