"""Every kernel of the CPU backend equals its readable twin in float64."""

from __future__ import annotations

import pytest
import torch

from meshwright.rendering.differentiable import numba_backend, reference
from rendering.differentiable.soups import SCENES, Soup, relative


@pytest.fixture(params=list(SCENES))
def scene(request: pytest.FixtureRequest) -> Soup:
    return SCENES[request.param]


def values(scene: Soup, shared: bool, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Random attributes and image gradients."""
    random = torch.Generator().manual_seed(0)
    n, n_vertices = scene.screen.shape[:2]
    attributes = torch.rand((1 if shared else n), n_vertices, channels, generator=random)
    return attributes, torch.randn(n, scene.height, scene.width, channels, generator=random)


@pytest.mark.parametrize("shared", [True, False])
def test_interpolate(scene: Soup, shared: bool) -> None:
    attributes, _ = values(scene, shared)
    ids = scene.ids()
    got = numba_backend.interpolate(scene.screen, scene.faces, ids, attributes, scene.perspective)
    truth = reference.interpolate(scene.screen.double(), scene.faces, ids, attributes.double(), scene.perspective)
    torch.testing.assert_close(got.double(), truth, rtol=1e-6, atol=1e-6)
    assert (got[ids < 0] == 0).all()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("need", [(True, True), (True, False), (False, True)])
def test_interpolate_backward(scene: Soup, shared: bool, need: tuple[bool, bool]) -> None:
    attributes, grad = values(scene, shared)
    ids = scene.ids()
    got = numba_backend.interpolate_backward(scene.screen, scene.faces, ids, attributes, grad, scene.perspective, *need)
    truth = reference.interpolate_backward(
        scene.screen.double(), scene.faces, ids, attributes.double(), grad.double(), scene.perspective, *need
    )
    for one, other, needed in zip(got, truth, need, strict=True):
        assert (one is not None) == (other is not None) == needed
        if one is not None and other is not None:
            assert one.shape == other.shape
            assert relative(one, other) < 1e-6


def test_edge_backward(scene: Soup) -> None:
    attributes, grad = values(scene, True)
    ids = scene.ids()
    image = numba_backend.interpolate(scene.screen, scene.faces, ids, attributes, scene.perspective)
    rest = ids, image, grad, scene.perspective
    got = numba_backend.edge_backward(scene.screen, scene.faces, scene.neighbours, *rest)
    rest = ids, image.double(), grad.double(), scene.perspective
    truth = reference.edge_backward(scene.screen.double(), scene.faces, scene.neighbours, *rest)
    assert truth.abs().max() > 0
    assert relative(got, truth) < 1e-6


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 6])
def test_any_number_of_channels(channels: int) -> None:
    scene = SCENES["mesh"]
    attributes, grad = values(scene, False, channels)
    ids = scene.ids()
    got = numba_backend.interpolate(scene.screen, scene.faces, ids, attributes, True)
    truth = reference.interpolate(scene.screen.double(), scene.faces, ids, attributes.double(), True)
    torch.testing.assert_close(got.double(), truth, rtol=1e-6, atol=1e-6)
    back = numba_backend.interpolate_backward(scene.screen, scene.faces, ids, attributes, grad, True, True, True)
    doubles = scene.screen.double(), scene.faces, ids, attributes.double(), grad.double()
    for one, other in zip(back, reference.interpolate_backward(*doubles, True, True, True), strict=True):
        assert one is not None
        assert other is not None
        assert relative(one, other) < 1e-6
