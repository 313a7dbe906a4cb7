"""Laws of texture look-up: texel centres are exact, constants stay constant, charts do not bleed, twins agree."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.rendering.render_reference import sample_trilinear
from meshwright.rendering.sampling import build_pyramid, chart_mask, mix_trilinear, sample_bilinear


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)


def fast_lookup(pyramid: object, uv: np.ndarray, lod: np.ndarray) -> np.ndarray:
    out = np.zeros((len(uv), 3))
    for n in range(len(uv)):
        mix_trilinear(pyramid.texels, pyramid.levels, uv[n, 0], uv[n, 1], lod[n], 1.0, out[n])
    return out


def test_texel_centres_return_the_texels() -> None:
    image = noise(5, 7)
    rows, cols = np.mgrid[0:5, 0:7]
    uv = np.stack([(cols + 0.5) / 7, (rows + 0.5) / 5], -1)
    np.testing.assert_allclose(sample_bilinear(image, uv), image, atol=1e-9)
    np.testing.assert_allclose(
        fast_lookup(build_pyramid(image), uv.reshape(-1, 2), np.zeros(35)), image.reshape(-1, 3), atol=1e-9
    )


@pytest.mark.parametrize("shape", [(16, 16), (13, 29), (1, 9), (1, 1), (64, 8)])
def test_fast_lookup_equals_twin(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(9)
    pyramid = build_pyramid(noise(*shape))
    uv, lod = rng.uniform(-2, 3, (300, 2)), rng.uniform(-2, 8, 300)
    np.testing.assert_allclose(fast_lookup(pyramid, uv, lod), sample_trilinear(pyramid, uv, lod), atol=1e-6)


def test_constant_texture_is_constant_at_every_level() -> None:
    pyramid = build_pyramid(np.full((37, 50, 3), 77, np.uint8))
    assert (pyramid.texels == 77).all()


def test_level_is_the_mean_of_its_texels() -> None:
    image = noise(16, 32)
    pyramid = build_pyramid(image)
    np.testing.assert_array_equal(pyramid.level(0), image)
    mean = image.reshape(4, 4, 8, 4, 3).astype(float).mean((1, 3))
    assert np.abs(pyramid.level(2) - mean).max() <= 0.5 + 1e-4


def test_ramp_keeps_its_place_when_sizes_are_odd() -> None:
    """Rounded-up levels must not shift the picture."""
    ramp = np.repeat(np.rint(np.arange(101) * 2.5).astype(np.uint8)[None, :, None], 3, 2).repeat(9, 0)
    pyramid = build_pyramid(ramp)
    uv = np.column_stack([np.linspace(0.2, 0.8, 40), np.full(40, 0.5)])
    for lod in range(3):
        np.testing.assert_allclose(
            sample_trilinear(pyramid, uv, np.full(40, float(lod)))[:, 0], (uv[:, 0] * 101 - 0.5) * 2.5, atol=1.2
        )


def test_gaps_between_charts_do_not_bleed() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    covered = np.zeros((64, 64), bool)
    covered[5:30, 7:60] = True
    image[covered] = (200, 100, 50)
    pyramid = build_pyramid(image, covered)
    for k in range(1, len(pyramid.levels)):
        np.testing.assert_array_equal(np.unique(pyramid.level(k).reshape(-1, 3), axis=0), [[200, 100, 50]])


def test_chart_mask_holds_the_charts_and_their_rim() -> None:
    uv = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
    mask = chart_mask(uv, np.array([[0, 1, 2], [1, 3, 2]], np.int32), 16, 32)
    expected = np.zeros((16, 32), bool)
    expected[3:13, 7:25] = True
    np.testing.assert_array_equal(mask, expected)
    assert chart_mask(uv * 3, np.array([[0, 1, 2]], np.int32), 16, 16) is None
