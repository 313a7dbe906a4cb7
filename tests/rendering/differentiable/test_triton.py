"""The CUDA backend equals the CPU's: ids to the pixel, values and gradients to rounding. Needs a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import look_at
from meshwright.rendering.differentiable import CameraBatch, edge_gradient, interpolate, numba_backend, rasterize
from meshwright.rendering.differentiable.backend import backend_of
from meshwright.rendering.differentiable.topology import face_neighbours
from rendering.differentiable.soups import SCENES, Soup, relative, soup

pytestmark = pytest.mark.gpu

ALL_SCENES = SCENES | {"enormous": soup(11, 4000.0)}


@pytest.fixture(params=list(ALL_SCENES))
def scene(request: pytest.FixtureRequest) -> Soup:
    return ALL_SCENES[request.param]


def ball(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A closed, dented ball without doubled vertices: n rings of 2n, and two poles."""
    polar, turn = np.meshgrid(np.pi * np.arange(1, n) / n, np.pi * np.arange(2 * n) / n, indexing="ij")
    radius = 0.9 + 0.08 * np.sin(7 * turn) * np.sin(5 * polar)
    points = radius[..., None] * np.stack(
        [np.sin(polar) * np.cos(turn), np.cos(polar), np.sin(polar) * np.sin(turn)], -1
    )
    ids = np.arange((n - 1) * 2 * n).reshape(n - 1, 2 * n)
    a, b, c, d = ids[:-1], np.roll(ids[:-1], -1, 1), np.roll(ids[1:], -1, 1), ids[1:]
    top, bottom = ids.size, ids.size + 1
    caps = [
        np.stack([np.full(2 * n, top), np.roll(ids[0], -1), ids[0]], -1),
        np.stack([np.full(2 * n, bottom), ids[-1], np.roll(ids[-1], -1)], -1),
    ]
    quads = [np.stack(q, -1).reshape(-1, 3) for q in ((a, b, d), (b, c, d))]
    vertices = np.concatenate([points.reshape(-1, 3), [[0, 0.9, 0], [0, -0.9, 0]]])
    return torch.tensor(vertices, dtype=torch.float32), torch.tensor(np.concatenate(quads + caps), dtype=torch.int32)


def cameras(size: int, device: str = "cpu") -> CameraBatch:
    K = np.array([[1.39 * size, 0, 0.5 * size + 3], [0, 1.39 * size, 0.5 * size - 5], [0, 0, 1]])
    places = [(0.3, 0.2, 2.5), (-2.4, 0.4, 0.3), (0.2, 2.5, 0.1)]
    poses = [look_at(np.array(p), np.zeros(3), np.array([0, 0.3, 1.0])) for p in places]
    return CameraBatch.of([Camera(K, c2w, size + 16, size) for c2w in poses], device)


def on_gpu(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.cuda() for tensor in tensors]


def test_ids_are_the_cpus(scene: Soup) -> None:
    screen, faces = on_gpu(scene.screen, scene.faces)
    ids = backend_of(screen).visibility(screen, faces, scene.height, scene.width, scene.perspective)
    assert torch.equal(ids.cpu(), scene.ids())


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
@pytest.mark.parametrize("shared", [True, False])
def test_values_and_gradients_are_the_cpus(scene: Soup, shared: bool, channels: int) -> None:
    random = torch.Generator().manual_seed(0)
    n, n_vertices = scene.screen.shape[:2]
    attributes = torch.rand((1 if shared else n), n_vertices, channels, generator=random)
    grad = torch.randn(n, scene.height, scene.width, channels, generator=random)
    ids, modes = scene.ids(), (scene.perspective, True, True)
    image = numba_backend.interpolate(scene.screen, scene.faces, ids, attributes, scene.perspective)
    to_screen, to_attributes = numba_backend.interpolate_backward(
        scene.screen, scene.faces, ids, attributes, grad, *modes
    )
    edges = numba_backend.edge_backward(
        scene.screen, scene.faces, scene.neighbours, ids, image, grad, scene.perspective
    )
    device = on_gpu(scene.screen, scene.faces, scene.neighbours, ids, attributes, grad, image)
    screen, faces, neighbours, ids, attributes, grad, image_there = device
    backend = backend_of(screen)
    got = backend.interpolate(screen, faces, ids, attributes, scene.perspective)
    torch.testing.assert_close(got.cpu(), image, rtol=1e-4, atol=1e-4)
    got_screen, got_attributes = backend.interpolate_backward(screen, faces, ids, attributes, grad, *modes)
    assert got_screen is not None
    assert got_attributes is not None
    assert relative(got_screen.cpu(), to_screen) < 1e-4
    assert relative(got_attributes.cpu(), to_attributes) < 1e-4
    got_edges = backend.edge_backward(screen, faces, neighbours, ids, image_there, grad, scene.perspective)
    assert relative(got_edges.cpu(), edges) < 1e-4


@pytest.mark.parametrize(("n", "size"), [(16, 200), (50, 512), (160, 512), (160, 1024)])
def test_a_closed_mesh_has_the_same_step_on_both(n: int, size: int) -> None:
    """Projection, ids, interpolation, edges and loss: 2k, 10k and 100k faces, off-centre, not square."""
    vertices, faces = ball(n)
    colors = torch.rand(len(vertices), 3, generator=torch.Generator().manual_seed(1))
    found = {}
    for device in ("cpu", "cuda"):
        batch = cameras(size, device)
        batch = CameraBatch(batch.K.requires_grad_(), batch.w2c.requires_grad_(), batch.height, batch.width)
        points, tints = (t.to(device).detach().requires_grad_() for t in (vertices, colors))
        seen = rasterize(batch.project(points), faces.to(device), batch.height, batch.width)
        image = edge_gradient(interpolate(seen, tints), seen)
        mse_loss(image, 0.3 * torch.ones_like(image)).backward()
        found[device] = seen.face_id.cpu(), [g.grad.cpu() for g in (points, tints, batch.K, batch.w2c)]  # type: ignore[union-attr]
    same = (found["cpu"][0] == found["cuda"][0]).double().mean()
    assert same >= 0.99999
    for one, other in zip(found["cpu"][1], found["cuda"][1], strict=True):
        assert relative(other, one) < 1e-4


def test_a_step_can_be_captured_in_a_graph() -> None:
    vertices, faces = (t.cuda() for t in ball(20))
    batch, points = cameras(128, "cuda"), vertices.clone().requires_grad_()

    def step() -> None:
        points.grad = None
        seen = rasterize(batch.project(points), faces, batch.height, batch.width)
        image = edge_gradient(seen.mask[..., None], seen)
        (image * image.detach().cumsum(2)).sum().backward()

    step()
    assert points.grad is not None
    expected = points.grad.clone()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    points.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.replay()
    assert relative(points.grad, expected) < 1e-5


def test_two_million_faces_stay_within_six_gigabytes() -> None:
    vertices, faces = (t.cuda() for t in ball(700))
    assert len(faces) > 1.9e6
    batch = cameras(1024, "cuda")
    batch = CameraBatch(batch.K.repeat(2, 1, 1), batch.w2c.repeat(2, 1, 1), 1024, 1024)
    points, colors = vertices.requires_grad_(), torch.rand_like(vertices).requires_grad_()
    torch.cuda.reset_peak_memory_stats()
    seen = rasterize(batch.project(points), faces, 1024, 1024)
    edge_gradient(interpolate(seen, colors), seen).square().mean().backward()
    assert torch.cuda.max_memory_allocated() < 6e9


def test_what_cannot_be_seen_is_skipped() -> None:
    """Points that are not finite, behind or far away, faces without area, no faces, no views."""
    vertices, faces = ball(8)
    vertices[3], vertices[9, 2] = torch.nan, torch.inf
    vertices[20] = torch.tensor([0.0, 0.0, 900.0])
    faces[5] = faces[5, 0]
    points = vertices.cuda().requires_grad_()
    batch = cameras(64, "cuda")
    seen = rasterize(batch.project(points), faces.cuda(), 64, 80)
    expected = rasterize(cameras(64).project(vertices), faces, 64, 80)
    assert torch.equal(seen.face_id.cpu(), expected.face_id)
    edge_gradient(interpolate(seen, torch.rand(len(vertices), 3).cuda()), seen).sum().backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
    nothing = torch.zeros((0, 3), dtype=torch.int32).cuda()
    assert (rasterize(batch.project(points), nothing, 64, 80).face_id == -1).all()
    assert rasterize(torch.zeros(0, 5, 3).cuda(), faces[:0].cuda(), 64, 80).face_id.shape == (0, 64, 80)
    assert face_neighbours(nothing).shape == (0, 3)
