"""Shading taken apart is shading: affine in the base colour, known answers, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meshwright.rendering.arrays import normalized
from meshwright.rendering.environment import light_of
from meshwright.rendering.material import Surface, under_light

torch = pytest.importorskip("torch")

from meshwright.rendering.differentiable.shading import Reflectance, ShadingPoints, affine_shading  # noqa: E402

COUNT = 60


def units(seed: int) -> np.ndarray:
    return normalized(np.random.default_rng(seed).normal(size=(COUNT, 3)))


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(normals, towards the viewer, environment)."""
    return units(0), normalized(units(1) + 1.2 * units(0)), np.random.default_rng(2).random((8, 16, 3))


def points() -> ShadingPoints:
    normals, towards, _ = scene()
    return ShadingPoints.of(torch.tensor(normals), torch.tensor(towards))


def columns(seed: int) -> tuple[Any, Any]:
    """Roughness and metalness."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.random((COUNT, 1))), torch.tensor(rng.random((COUNT, 1)))


def test_factor_and_offset_shade_as_the_renderer_does() -> None:
    normals, towards, image = scene()
    roughness, metallic = columns(3)
    factor, offset = affine_shading(points(), roughness, metallic, light_of(torch.tensor(image)))
    for color in (0.0, 0.3, 1.0):
        surface = Surface(np.full((COUNT, 3), color), metallic.numpy(), roughness.numpy())
        expected = under_light(surface, normals, towards, light_of(image))
        np.testing.assert_allclose((factor * color + offset).numpy(), expected, atol=1e-9)


def test_a_white_room_is_equal_light_and_gives_a_dielectric_back_what_it_gets() -> None:
    roughness, metallic = columns(4)
    factor, offset = affine_shading(points(), roughness, metallic, light_of(torch.ones(8, 16, 3).double()))
    known = Reflectance.of(points(), roughness, metallic).in_white_room
    np.testing.assert_allclose(factor.numpy(), known[0].expand(-1, 3).numpy(), atol=2e-3)
    np.testing.assert_allclose(offset.numpy(), known[1].expand(-1, 3).numpy(), atol=1e-6)
    white = Reflectance.of(points(), roughness, 0 * metallic).in_white_room
    np.testing.assert_allclose((white[0] + white[1]).numpy(), 1.0, atol=1e-9)


def test_gradients_are_those_of_finite_differences() -> None:
    normals, towards, _ = scene()
    some = ShadingPoints.of(torch.tensor(normals[:5]), torch.tensor(towards[:5]))
    rng = np.random.default_rng(5)
    shapes = [(5, 1), (5, 1), (3, 6, 3)]
    values = tuple(torch.tensor(rng.uniform(0.21, 0.79, shape), requires_grad=True) for shape in shapes)

    def shade(roughness: Any, metallic: Any, image: Any) -> Any:
        return torch.cat(affine_shading(some, roughness, metallic, light_of(image, levels=3)))

    assert torch.autograd.gradcheck(shade, values, fast_mode=True)
