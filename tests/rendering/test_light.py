"""Laws of light and reflection: known answers, energy, the split sum against brute force, numpy equal to torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meshwright.errors import InputError
from meshwright.rendering import harmonics
from meshwright.rendering.arrays import normalized
from meshwright.rendering.color import linear_to_srgb, srgb_to_linear
from meshwright.rendering.environment import (
    Light,
    coordinates,
    directions,
    harmonic_matrix,
    light_of,
    lobe,
    solid_angles,
)
from meshwright.rendering.material import Surface, brdf, bumped, under_light, under_lights
from meshwright.rendering.microfacet import distribution, hammersley, schlick, split_sum, visibility
from meshwright.rendering.shading import LAMBERT
from meshwright.rendering.softboxes import softbox_light

SIZE = (12, 24)
WHITE = np.ones((*SIZE, 3))


def units(count: int, seed: int = 0) -> np.ndarray:
    return normalized(np.random.default_rng(seed).normal(size=(count, 3)))


def above(count: int) -> tuple[np.ndarray, float]:
    """Directions of the upper hemisphere (+z), each standing for the same solid angle."""
    points = hammersley(count)
    turn, across = 2 * np.pi * points[:, 1], np.sqrt(1 - points[:, 0] ** 2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), points[:, 0]], -1), 2 * np.pi / count


def surface(count: int, color: float = 1.0, metallic: float = 0.0, roughness: float = 0.5) -> Surface:
    return Surface(np.full((count, 3), color), np.full((count, 1), metallic), np.full((count, 1), roughness))


def facing(cosine: float) -> np.ndarray:
    return np.array([[np.sqrt(1 - cosine**2), 0.0, cosine]])


# Colour.


def test_srgb_curve_has_its_known_values_and_inverse() -> None:
    values = np.linspace(0, 1, 300)
    np.testing.assert_allclose(srgb_to_linear(np.array([0, 0.02, 0.5, 1])), [0, 0.02 / 12.92, 0.2140411, 1], atol=1e-7)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7)
    assert linear_to_srgb(np.array([4.0])) > 1


# Harmonics.


def test_harmonics_are_orthonormal() -> None:
    height, width = 64, 128
    values = harmonics.basis(directions(height, width)).reshape(-1, 9)
    weights = np.repeat(solid_angles(height, width), width)
    np.testing.assert_allclose(values.T @ (values * weights[:, None]), np.eye(9), atol=2e-3)


def test_irradiance_of_equal_light_is_pi_times_its_radiance() -> None:
    light = light_of(WHITE * [0.5, 1.0, 2.0])
    np.testing.assert_allclose(light.irradiance(units(50)) / np.pi, np.tile([0.5, 1, 2], (50, 1)), rtol=1e-3)


def test_irradiance_of_a_gradient_is_two_thirds_of_it() -> None:
    """L = 1 + y has E = pi (1 + 2/3 n.y): the cosine lobe's second coefficient."""
    image = 1 + directions(32, 64)[..., 1:2]
    normals = units(50)
    np.testing.assert_allclose(light_of(image).irradiance(normals) / np.pi, 1 + normals[:, 1:2] * 2 / 3, atol=2e-3)


def test_irradiance_of_smooth_light_is_that_of_brute_force() -> None:
    image = np.exp(directions(32, 64) @ [0.3, 0.8, -0.5])[..., None]
    light, (samples, share) = light_of(image), above(4096)
    brute = share * (np.exp(samples @ [0.3, 0.8, -0.5]) * samples[:, 2]).sum()
    np.testing.assert_allclose(light.irradiance(np.array([[0, 0, 1.0]])), brute, rtol=1e-2)


# Environments.


def test_solid_angles_fill_the_sphere() -> None:
    assert solid_angles(*SIZE).sum() * SIZE[1] == pytest.approx(4 * np.pi)


def test_directions_and_coordinates_are_inverse() -> None:
    u, v = coordinates(directions(*SIZE))
    np.testing.assert_allclose(u, np.tile((np.arange(24) + 0.5) / 24, (12, 1)), atol=1e-12)
    np.testing.assert_allclose(v, np.tile((np.arange(12) + 0.5)[:, None] / 12, (1, 24)), atol=1e-12)


@pytest.mark.parametrize("roughness", [0.125, 0.3, 0.5, 1.0])
def test_weights_of_a_lobe_add_up_to_one_and_stay_round_it(roughness: float) -> None:
    weights = lobe(*SIZE, roughness)
    np.testing.assert_allclose(weights.sum((1, 2)), 1.0)
    assert (weights >= 0).all()
    behind = directions(*SIZE) @ directions(*SIZE)[3, 0] < -0.3
    assert weights[3][behind].max() < 1e-12


def test_prefilter_of_equal_light_is_equal() -> None:
    light = light_of(WHITE * 0.7)
    np.testing.assert_allclose(light.levels, 0.7, atol=1e-6)
    found = light.glossy(units(100), np.random.default_rng(1).random((100, 1)))
    np.testing.assert_allclose(found, 0.7, atol=1e-6)


def test_prefilter_is_the_matrix_of_its_lobes() -> None:
    """The fast way (Fourier along columns) equals the dense matrix, whose rows are shifted lobes."""
    image = np.random.default_rng(3).random((*SIZE, 2))
    light, weights = light_of(image, levels=3), lobe(*SIZE, 0.5)
    shifted = [np.roll(weights, column, axis=2) for column in range(SIZE[1])]  # (column, row, h, w)
    expected = np.einsum("xyhw,hwc->yxc", np.stack(shifted), image)
    np.testing.assert_allclose(light.levels[1], expected, atol=1e-6)
    np.testing.assert_array_equal(light.levels[0], image)


def test_light_is_the_same_across_seam_and_poles() -> None:
    light = light_of(np.exp(directions(32, 64) @ [0.4, 0.5, 0.6])[..., None])
    for axis in ([0, 1.0, 0], [0, -1.0, 0], [-1.0, 0, 0]):
        near = normalized(np.array(axis) + 0.01 * units(40))
        found = light.glossy(near, np.zeros((40, 1)))
        np.testing.assert_allclose(found[:, 0], np.exp(near @ [0.4, 0.5, 0.6]), rtol=1e-2)


def test_turning_the_light_and_the_scene_changes_nothing() -> None:
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    light = light_of(np.random.default_rng(3).random((*SIZE, 3)))
    normals, towards = units(20), units(20, 1)
    still = under_light(surface(20), normals, towards, light)
    moved = under_light(surface(20), normals @ turn.T, towards @ turn.T, light.turned(turn))
    np.testing.assert_allclose(moved, still, atol=1e-9)


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 8), (0, 8, 3)])
def test_environments_of_no_use_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        light_of(np.zeros(shape))
    assert caught.value.reason == "bad_environment"


def test_studio_overexposes_nothing_matt() -> None:
    brightest = softbox_light().irradiance(units(2000).astype(np.float32)).max() / np.pi
    assert 0.93 < brightest < 1.0
    front, back, below = softbox_light().irradiance(np.array([[-0.3, 0.5, 0.8], [0, 0, -1.0], [0, -1.0, 0]]))[:, 0]
    assert front > back > below > 0.2 * front


# Microfacets.


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0])
def test_microfacets_cover_the_surface_once(alpha: float) -> None:
    """The integral of D * n.h over the hemisphere is 1; the substitution n.h = cos(t), t = u^2 finds narrow lobes."""
    angle = (np.arange(20000) + 0.5) / 20000
    t = angle**2 * np.pi / 2
    weights = 2 * angle * np.pi / 2 / 20000 * np.sin(t) * 2 * np.pi
    assert (distribution(np.cos(t), np.array(alpha)) * np.cos(t) * weights).sum() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("roughness", [0.3, 0.55, 1.0])
@pytest.mark.parametrize("cosine", [0.15, 0.5, 0.95])
def test_split_sum_is_brute_force_under_equal_light(roughness: float, cosine: float) -> None:
    """glTF's specular BRDF times n.l, summed over the whole hemisphere, within 2 % of the table."""
    lights, share = above(200_000)
    view, alpha = facing(cosine), np.array(roughness**2)
    half = normalized(view + lights)
    lobes = distribution(half[:, 2], alpha) * visibility(lights[:, 2], np.array(cosine), alpha)
    weight, fresnel = share * lobes * lights[:, 2], schlick(half @ view[0])
    scale, bias = split_sum(np.array([[roughness]]), np.array([[cosine]]))
    assert float(scale[0, 0]) == pytest.approx((weight * (1 - fresnel)).sum(), rel=0.02)
    assert float((scale + bias)[0, 0]) == pytest.approx(weight.sum(), rel=0.02)


@pytest.mark.parametrize("roughness", [0.4, 0.7, 1.0])
def test_split_sum_is_brute_force_under_smooth_light(roughness: float) -> None:
    """Seen along the normal, where the prefiltered lobe is meant; 3 %."""

    def radiance(towards: np.ndarray) -> np.ndarray:
        return np.exp(towards @ [0.5, -0.3, 0.9])

    light = light_of(radiance(directions(32, 64))[..., None].repeat(3, -1))
    lights, share = above(100_000)
    metal, up = surface(1, 0.8, 1.0, roughness), np.array([[0, 0, 1.0]])
    same = Surface(*(np.repeat(part, len(lights), 0) for part in (metal.base_color, metal.metallic, metal.roughness)))
    reflected = brdf(same, np.repeat(up, len(lights), 0), np.repeat(up, len(lights), 0), lights)
    brute = share * (reflected[:, 0] * lights[:, 2] * radiance(lights)).sum()
    assert float(under_light(metal, up, up, light)[0, 0]) == pytest.approx(brute, rel=0.03)


# Materials.


@pytest.mark.parametrize("metallic", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("roughness", [0.0, 0.2, 0.6, 1.0])
def test_white_furnace(metallic: float, roughness: float) -> None:
    """A white surface in a white room returns at most what it gets: a dielectric all of it, a smooth metal over 97 %
    where n.v > 0.2 (a rough one loses what a second bounce between microfacets would bring back)."""
    cosines = np.linspace(0.02, 1, 30)
    towards = np.concatenate([facing(cosine) for cosine in cosines])
    up = np.tile([0, 0, 1.0], (30, 1))
    found = under_light(surface(30, 1.0, metallic, roughness), up, towards, light_of(WHITE))
    assert found.max() <= 1 + 1e-3
    if metallic == 0:
        np.testing.assert_allclose(found, 1, atol=2e-3)
    elif roughness <= 0.2:
        assert found[cosines > 0.2].min() > 0.97


def test_brdf_is_reciprocal() -> None:
    normals, towards, lights = (np.abs(units(200, seed)) for seed in (0, 1, 2))
    some = surface(200, 0.6, 0.3, 0.45)
    there, back = brdf(some, normals, towards, lights), brdf(some, normals, lights, towards)
    np.testing.assert_allclose(there, back, rtol=1e-9)
    assert (brdf(some, normals, towards, -lights) == 0).all()


def test_rough_dielectric_is_nearly_lambert_and_mirrors_show_the_room() -> None:
    up, lamps = np.tile([0, 0, 1.0], (3, 1)), np.array([[0, 0, 1.0, np.pi]])
    towards = np.concatenate([facing(cosine) for cosine in (1.0, 0.8, 0.6)])
    np.testing.assert_allclose(under_lights(surface(3, 0.5, 0.0, 1.0), up, towards, lamps), 0.5, atol=0.03)
    image = np.zeros((32, 64, 3))
    image[directions(32, 64) @ [0.6, 0.0, 0.8] > 0.95] = 1.0
    mirrored = under_light(surface(1, 1.0, 1.0, 0.0), up[:1], np.array([[-0.6, 0.0, 0.8]]), light_of(image))
    np.testing.assert_allclose(mirrored, 1.0, atol=0.01)


def test_normal_texture_turns_normals_as_gltf_says() -> None:
    normals, tangents = np.array([[0, 0, 1.0]]), np.array([[1.0, 0, 0, 1.0]])
    for texel, expected in [((0.5, 0.5, 1), (0, 0, 1)), ((1, 0.5, 0.5), (1, 0, 0)), ((0.5, 1, 0.5), (0, 1, 0))]:
        np.testing.assert_allclose(bumped(normals, tangents, np.array([texel], float)), [expected], atol=1e-12)
    mirrored = tangents * [1, 1, 1, -1]
    np.testing.assert_allclose(bumped(normals, mirrored, np.array([[0.5, 1, 0.5]])), [[0, -1, 0]], atol=1e-12)
    np.testing.assert_allclose(bumped(normals, tangents, np.array([[1, 0.5, 1]]), 0.0), [[0, 0, 1]], atol=1e-12)


# numpy and torch.

Maker = Callable[[Callable[[np.ndarray], Any]], list[Any]]


def everything(convert: Callable[[np.ndarray], Any]) -> list[Any]:
    """All generic functions on the same numbers, in the kind of array that ``convert`` makes."""
    rng = np.random.default_rng(8)
    some = Surface(*(convert(part) for part in (rng.random((40, 3)), rng.random((40, 1)), rng.random((40, 1)))))
    normals, towards, lights = (convert(units(40, seed)) for seed in range(3))
    tangents = convert(np.concatenate([units(40, 5), np.ones((40, 1))], 1))
    light = light_of(convert(rng.random((*SIZE, 3))), np.linalg.qr(rng.normal(size=(3, 3)))[0])
    lamps = convert(np.concatenate([units(2, 7), np.ones((2, 1))], 1))
    return [
        under_light(some, normals, towards, light),
        under_lights(some, normals, towards, lamps),
        brdf(some, normals, towards, lights),
        bumped(normals, tangents, some.base_color, 0.7),
        light.irradiance(normals),
        harmonics.radiance(light.harmonics, normals),
        linear_to_srgb(srgb_to_linear(some.base_color)),
        LAMBERT.light_on(normals),
    ]


def test_torch_gives_what_numpy_gives() -> None:
    torch = pytest.importorskip("torch")
    double = everything(np.asarray)
    for expected, found in zip(double, everything(torch.tensor), strict=True):
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found, expected, atol=1e-9)
    for expected, found in zip(double, everything(lambda part: part.astype(np.float32)), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_gradients_are_those_of_finite_differences() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)

    def shade(color: Any, metal: Any, rough: Any, normals: Any, image: Any) -> Any:
        some = Surface(color, metal, rough)
        unit, up = normalized(normals), torch.tensor([[0.0, 0.3, 0.9]], dtype=torch.float64).expand(4, 3)
        lamps = torch.tensor([[0.0, 0.6, 0.8, 1.0]], dtype=torch.float64)
        return under_light(some, unit, normalized(up), light_of(image, levels=3)) + under_lights(
            some, unit, normalized(up), lamps
        )

    shapes = [(4, 3), (4, 1), (4, 1), (4, 3), (3, 6, 3)]
    values = [torch.tensor(rng.uniform(0.21, 0.79, shape), requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(shade, tuple(values), fast_mode=True)


def test_gradients_are_finite_where_formulas_have_corners() -> None:
    torch = pytest.importorskip("torch")
    black = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    linear_to_srgb(srgb_to_linear(black)).sum().backward()
    pole = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    rough = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    light = light_of(torch.rand(*SIZE, 3, dtype=torch.float64))
    under_light(Surface(black, rough, rough), pole, pole, light).sum().backward()
    for part in (black, pole, rough):
        assert part.grad.isfinite().all()


def test_a_light_can_be_recovered_through_the_prefilter() -> None:
    """Gradients reach the environment: a rough metal ball's looks pull a wrong light to the right one."""
    torch = pytest.importorskip("torch")
    truth = torch.tensor(1 + directions(8, 16)[..., :1].clip(0).repeat(3, -1))
    normals = torch.tensor(units(300))
    some = Surface(*(torch.full((300, c), v, dtype=torch.float64) for c, v in ((3, 0.9), (1, 1.0), (1, 0.3))))
    seen = under_light(some, normals, normals, light_of(truth))
    image = torch.ones(8, 16, 3, dtype=torch.float64, requires_grad=True)
    before = float((image.detach() - truth).square().mean())
    optimiser = torch.optim.Adam([image], 0.1)
    for _ in range(20):
        optimiser.zero_grad()
        (under_light(some, normals, normals, light_of(image)) - seen).square().mean().backward()
        optimiser.step()
    assert float((image.detach() - truth).square().mean()) < 0.15 * before


def test_matrices_are_made_once() -> None:
    assert harmonic_matrix(*SIZE) is harmonic_matrix(*SIZE)
    assert isinstance(softbox_light(), Light)
    assert softbox_light() is softbox_light()
