"""Laws of the differentiable texture look-up: it is `rendering.sampling`'s, its gradients are the right ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meshwright.errors import InputError  # noqa: E402
from meshwright.geometry.mesh import TexturedMesh  # noqa: E402
from meshwright.rendering.differentiable.fragments import Fragments  # noqa: E402
from meshwright.rendering.differentiable.pyramid import (  # noqa: E402
    TexturePyramid,
    build_texture_pyramid,
    pyramid_texels,
)
from meshwright.rendering.differentiable.texture import sample_texture, texture_lod  # noqa: E402
from meshwright.rendering.differentiable.texture_reference import look_up, mip_levels  # noqa: E402
from meshwright.rendering.paint import paint_of, texel_densities  # noqa: E402
from meshwright.rendering.raster import project_vertices, rasterize  # noqa: E402
from meshwright.rendering.render_reference import sample_trilinear  # noqa: E402
from meshwright.rendering.sampling import build_pyramid, sample_bilinear  # noqa: E402
from rendering.scenes import card, colored_ball, front_camera, three_cameras  # noqa: E402

SHAPES = [(16, 16), (13, 29), (1, 9), (1, 1), (64, 8)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)


def wild(count: int, seed: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 3, (count, 2)), rng.uniform(-2, 8, count)


def real(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_look_up_is_that_of_the_renderer(shape: tuple[int, int]) -> None:
    """Texel centres, wrapping, rounded-up levels: the same pyramid read by both gives the same values."""
    pyramid = build_pyramid(noise(*shape))
    ours = TexturePyramid(real(pyramid.texels), tuple(map(tuple, pyramid.levels[:, 1:].tolist())))
    uv, lod = wild(400)
    expected = sample_trilinear(pyramid, uv, lod)
    np.testing.assert_allclose(sample_texture(ours, real(uv), real(lod)), expected, atol=1e-9)
    np.testing.assert_allclose(look_up(ours, real(uv), real(lod)), expected, atol=1e-9)
    flat = sample_texture(real(pyramid.level(0)), real(uv))
    np.testing.assert_allclose(flat, sample_bilinear(pyramid.level(0), uv), atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("masked", [False, True])
def test_pyramid_is_that_of_the_renderer(shape: tuple[int, int], masked: bool) -> None:
    image = noise(*shape)
    covered = np.random.default_rng(2).random(shape) < 0.3 if masked else None
    expected = build_pyramid(image, covered)
    mask = None if covered is None else torch.tensor(covered)
    ours = build_texture_pyramid(torch.tensor(image).float(), mask)
    assert ours.sizes == tuple(map(tuple, expected.levels[:, 1:].tolist()))
    np.testing.assert_allclose(ours.texels, expected.texels, atol=0.5 + 1e-3)  # theirs are rounded
    if mask is None or bool(mask.any()):
        np.testing.assert_allclose(pyramid_texels(torch.tensor(image).float(), mask), ours.texels, atol=1e-3)


def test_constant_texture_is_constant_everywhere() -> None:
    uv, lod = wild(100)
    found = sample_texture(torch.full((37, 50, 2), 0.3), real(uv).float(), real(lod).float())
    np.testing.assert_allclose(found, 0.3, atol=1e-6)


def test_coordinates_that_are_not_finite_show_nothing_and_pass_no_gradient() -> None:
    texture = torch.rand(8, 8, 3, requires_grad=True)
    uv = torch.tensor([[np.nan, 0.5], [0.5, np.inf], [-np.inf, 0.2], [0.5, 0.5]], requires_grad=True)
    found = sample_texture(texture, uv, torch.tensor([0.0, np.nan, 1.0, np.nan]))
    to_texture, to_uv = torch.autograd.grad(found.sum(), (texture, uv))
    assert (found[:3] == 0).all()
    assert (found[3] > 0).all()
    assert (to_uv[:3] == 0).all()
    assert to_uv.isfinite().all()
    assert float(to_texture.sum()) == pytest.approx(3)


def fragments_of(mesh: TexturedMesh, camera: object) -> tuple[Fragments, np.ndarray]:
    """What `rasterize` sees, in the differentiable renderer's terms."""
    seen = rasterize(mesh.vertices, mesh.faces, camera)
    local = mesh.vertices @ camera.w2c[:3, :3].T + camera.w2c[:3, 3]
    screen = local @ camera.K.T
    perspective = camera.projection == "perspective"
    if not perspective:
        screen = np.column_stack([local[:, :2] @ camera.K[:2, :2].T + camera.K[:2, 2], local[:, 2]])
    ids = torch.tensor(seen.face_id)[None]
    return Fragments(torch.tensor(screen[None]).float(), torch.tensor(mesh.faces), ids, perspective), seen.depth


@pytest.mark.parametrize("name", list(three_cameras()))
def test_mip_level_is_that_of_the_renderer(name: str) -> None:
    camera, mesh = three_cameras()[name], colored_ball(16)
    mesh = replace(mesh, uv=mesh.vertices[:, :2] * 0.45 + 0.5, texture=noise(64, 96), colors=None)
    fragments, depth = fragments_of(mesh, camera)
    density = texel_densities(paint_of(mesh), mesh.faces, project_vertices(mesh.vertices, camera))
    hit = fragments.face_id[0].numpy() >= 0
    expected = density[fragments.face_id[0].numpy()] * (depth.astype(float) ** 3 if fragments.perspective else 1)
    uv = real(mesh.uv).float()
    lod = texture_lod(fragments, uv, 64, 96)[0].numpy()
    np.testing.assert_allclose(lod[hit], 0.5 * np.log2(expected[hit]), atol=2e-2)
    assert (lod[~hit] == 0).all()
    parts = (fragments.screen, fragments.faces, fragments.face_id)
    twin = mip_levels(*parts, uv, 64 * 96, fragments.perspective)
    np.testing.assert_allclose(lod, twin[0], atol=1e-4)


def test_a_texture_seen_at_a_quarter_reads_level_two() -> None:
    """Known answer: a 64 x 64 texture on 16 x 16 pixels; each pixel is then the mean of its 4 x 4 texels."""
    image = noise(64, 64)
    fragments, _ = fragments_of(card(image), front_camera(16, 16))
    uv = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float32)
    lod = texture_lod(fragments, uv, 64, 64)
    np.testing.assert_allclose(lod, 2.0, atol=1e-4)
    centres = (torch.arange(16) + 0.5) / 16
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)[None]
    means = image.reshape(16, 4, 16, 4, 3).astype(float).mean((1, 3))
    found = sample_texture(torch.tensor(image).float(), grid, torch.full_like(lod, 2.0))
    np.testing.assert_allclose(found[0], means, atol=1e-3)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_texture_and_uv_are_those_of_finite_differences(masked: bool) -> None:
    rng = np.random.default_rng(1)
    texture = real(rng.random((5, 7, 2))).requires_grad_()
    uv = real((rng.integers(0, 28, (12, 2)) + rng.uniform(0.2, 0.8, (12, 2))) / [28, 20] + 0.013).requires_grad_()
    covered = torch.tensor(rng.random((5, 7)) < 0.6) if masked else None
    lod, seen = real(rng.uniform(0, 2, 12)), torch.tensor(rng.random(12) < 0.8)

    def look(texture: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        return sample_texture(build_texture_pyramid(texture, covered), uv, lod, seen)

    assert torch.autograd.gradcheck(look, (texture, uv))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_the_twin(dtype: torch.dtype) -> None:
    uv, lod = (torch.tensor(part, dtype=dtype) for part in wild(5000))
    uv.requires_grad_()
    texture = torch.tensor(noise(33, 47) / 255, dtype=dtype, requires_grad=True)
    covered = torch.tensor(np.random.default_rng(2).random((33, 47)) < 0.5)
    weight = torch.tensor(np.random.default_rng(3).random((5000, 3)), dtype=dtype)
    fast = (sample_texture(build_texture_pyramid(texture, covered), uv, lod) * weight).sum()
    texels = TexturePyramid(pyramid_texels(texture, covered), build_texture_pyramid(texture).sizes)
    slow = (look_up(texels, uv, lod) * weight).sum()
    near = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=0.0)
    for found, expected in zip(*(torch.autograd.grad(total, (texture, uv)) for total in (fast, slow)), strict=True):
        torch.testing.assert_close(found, expected, rtol=near, atol=near * float(expected.abs().max()))


def test_what_is_masked_is_zero_and_gets_no_gradient() -> None:
    texture = torch.rand(8, 8, 3, requires_grad=True)
    uv = torch.rand(5, 4, 2, requires_grad=True)
    mask = torch.rand(5, 4) < 0.5
    found = sample_texture(texture, uv, mask=mask)
    assert (found[~mask] == 0).all()
    found.sum().backward()
    assert (uv.grad[~mask] == 0).all()
    assert texture.grad.sum() == pytest.approx(3 * int(mask.sum()), rel=1e-4)


def test_runs_repeat_bit_by_bit() -> None:
    uv, lod = (torch.tensor(part).float() for part in wild(4000))
    texture = torch.rand(40, 40, 3, requires_grad=True)
    runs = [torch.autograd.grad(sample_texture(texture, uv, lod).square().sum(), texture)[0] for _ in range(2)]
    assert torch.equal(*runs)


def test_no_pixels_is_fine() -> None:
    texture = torch.rand(4, 4, 3, requires_grad=True)
    sample_texture(texture, torch.zeros(0, 2, requires_grad=True), torch.zeros(0)).sum().backward()
    assert (texture.grad == 0).all()


@pytest.mark.parametrize(
    ("texture", "uv", "lod", "reason"),
    [
        (torch.zeros(4, 4), torch.zeros(2, 2), None, "bad_texture"),
        (torch.zeros(0, 4, 3), torch.zeros(2, 2), None, "bad_texture"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), torch.zeros(2, 2), None, "bad_texture"),
        (torch.zeros(4, 4, 3), torch.zeros(2, 3), None, "bad_uv"),
        (torch.zeros(4, 4, 3), torch.zeros(2, 2), torch.zeros(3), "bad_uv"),
        (torch.zeros(4, 4, 3), torch.zeros(2, 2).double(), None, "bad_uv"),
    ],
)
def test_wrong_shapes_are_typed_errors(
    texture: torch.Tensor, uv: torch.Tensor, lod: torch.Tensor | None, reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        sample_texture(texture, uv, lod)
    assert caught.value.reason == reason


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_cuda_gives_what_the_twin_gives(channels: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    rng = np.random.default_rng(5)
    uv, lod = (torch.tensor(part) for part in wild(20_000))
    uv[::97, 0], uv[::89, 1] = np.nan, np.inf
    texture, weight = torch.tensor(rng.random((97, 130, channels))), torch.tensor(rng.random((20_000, channels)))
    mask, covered = torch.tensor(rng.random(20_000) < 0.7), torch.tensor(rng.random((97, 130)) < 0.5)

    def run(device: str, dtype: torch.dtype) -> list[torch.Tensor]:
        image, places = (part.to(device, dtype).requires_grad_() for part in (texture, uv))
        pyramid = build_texture_pyramid(image, covered.to(device))
        found = sample_texture(pyramid, places, lod.to(device, dtype), mask.to(device))
        gradients = torch.autograd.grad((found * weight.to(found)).sum(), (image, places))
        return [part.detach().cpu().double() for part in (found, *gradients)]

    for found, expected in zip(run("cuda", torch.float32), run("cpu", torch.float64), strict=True):
        assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4
    for found, expected in zip(run("cuda", torch.float64), run("cpu", torch.float64), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(three_cameras()))
def test_mip_levels_on_cuda_are_those_of_the_twin(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    mesh = colored_ball(16)
    seen, _ = fragments_of(mesh, three_cameras()[name])
    parts, uv = (seen.screen, seen.faces, seen.face_id), torch.tensor(mesh.vertices[:, :2] * 0.45 + 0.5).float()
    there = Fragments(*(part.cuda() for part in parts), seen.perspective)
    expected = mip_levels(*parts, uv, 64 * 96, seen.perspective)
    torch.testing.assert_close(texture_lod(there, uv.cuda(), 64, 96).cpu(), expected, atol=1e-4, rtol=1e-4)
