"""Photos that do not have the surface's shape: background stays out, regions hold together, agreement is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from meshwright.geometry.mesh import Coverage
from meshwright.geometry.similarity import Similarity2d
from meshwright.surface.bake import sight_texels
from meshwright.surface.coherence import averaged_weights, cohere
from meshwright.surface.mismatch import contour_mismatch
from meshwright.surface.sightings import observe
from meshwright.surface.texture import TextureOptions, texture_mesh
from meshwright.surface.unwrap import unwrap
from meshwright.surface.warp import GRID, resample, warped_capture
from surface.colored_sphere import sphere, sphere_capture

MAGENTA = (255, 0, 255)
OPTIONS = TextureOptions(size=256)


def stretched(view, factor: float):
    """The view whose photo shows a shape that is narrower by ``factor`` (its mask with it)."""

    def squeeze(image, fill):
        width = image.shape[1]
        columns = np.round((np.arange(width) + 0.5 - width / 2) / factor + width / 2 - 0.5).astype(int)
        inside = (columns >= 0) & (columns < width)
        out = image[:, np.clip(columns, 0, width - 1)].copy()
        out[:, ~inside] = fill
        return out

    mask = view.rgb_mask if view.rgb_mask is not None else resized(view)
    return replace(view, rgb=squeeze(view.rgb, MAGENTA), rgb_mask=squeeze(mask, False))


def resized(view):
    zoom = np.array(view.rgb.shape[:2]) / view.mask.shape
    return ndimage.zoom(view.mask.astype(np.uint8), zoom, order=0).astype(bool)


@pytest.fixture(scope="module")
def agreeing():
    capture = sphere_capture(background=MAGENTA)
    return replace(capture, views=tuple(replace(v, rgb_mask=resized(v)) for v in capture.views))


@pytest.fixture(scope="module")
def disagreeing(agreeing):
    return replace(agreeing, views=tuple(stretched(v, 0.97) for v in agreeing.views))


def magenta(texels) -> float:
    red, green, blue = (texels[..., k].astype(int) for k in range(3))
    return float(((green < 40) & (red > 170) & (blue > 170)).mean())


@pytest.mark.parametrize("warp", [False, True])
def test_background_never_enters_a_seen_texel_of_photos_three_percent_off(disagreeing, warp):
    mesh = texture_mesh(sphere(3), disagreeing, replace(OPTIONS, warp=warp))
    assert magenta(mesh.texture[mesh.coverage == Coverage.SEEN]) == 0
    assert magenta(mesh.texture) == 0


def test_mismatch_is_nothing_where_outlines_agree(agreeing):
    assert [contour_mismatch(v) for v in agreeing.views] == [0.0] * 6


def test_mismatch_measures_a_shape_that_is_off(disagreeing):
    for view in disagreeing.views:
        radius = np.sqrt(view.mask.sum() / np.pi) / view.mask.shape[1]
        assert 0.4 * 0.03 * radius < contour_mismatch(view) < 1.3 * 0.03 * radius + 1 / view.mask.shape[1]


def test_a_registered_photo_does_not_mismatch(agreeing):
    view = agreeing.views[0]
    moved = replace(view, rgb_mask=np.roll(view.rgb_mask, 7, 1), registration=Similarity2d(1, 0, 7 / view.rgb.shape[1]))
    assert contour_mismatch(moved) == 0.0


def test_where_outlines_agree_the_options_for_others_change_nothing(agreeing):
    one, two = (texture_mesh(sphere(2), agreeing, replace(OPTIONS, warp=warp)) for warp in (False, True))
    assert np.array_equal(one.texture, two.texture)


def test_the_warp_leaves_photos_that_agree_on_the_surface_where_they_are(agreeing):
    mesh = sphere(4)
    observers = [observe(mesh, v, agreeing.diagonal, 400.0) for v in agreeing.views]
    warped = warped_capture(mesh, agreeing, observers)
    for before, after in zip(agreeing.views, warped.views, strict=True):
        inside = ndimage.binary_erosion(before.rgb_mask, iterations=4)
        assert np.abs(before.rgb[inside].astype(int) - after.rgb[inside]).mean() < 1.5


def test_a_warp_of_a_constant_shift_moves_photo_and_mask():
    rng = np.random.default_rng(1)
    rgb, mask = rng.integers(0, 255, (40, 50, 3), np.uint8), rng.random((40, 50)) > 0.5
    shift = np.zeros((2, GRID + 1, GRID + 1))
    shift[0], shift[1] = 3.0, -2.0
    out, out_mask = np.empty_like(rgb), np.empty_like(mask)
    resample(rgb, mask, shift, out, out_mask)
    assert np.array_equal(out[5:-5, 5:-5], rgb[3:-7, 8:-2])
    assert np.array_equal(out_mask[5:-5, 5:-5], mask[3:-7, 8:-2])


def test_coherent_weights_keep_who_sees_what_and_vary_slowly(agreeing):
    mesh = sphere(3)
    atlas = unwrap(mesh, 256)
    observers = [observe(mesh, v, agreeing.diagonal, atlas.texels_per_unit) for v in agreeing.views]
    found = sight_texels(mesh, atlas.texels, observers)
    calm = cohere(mesh, atlas.texels, found, 6, agreeing.diagonal)
    assert np.array_equal(calm.weights > 0, found.weights > 0)
    assert np.isfinite(calm.weights).all()
    assert calm.weights.max() <= 1
    around = averaged_weights(mesh, atlas.texels, found, 6, 0.03 * agreeing.diagonal)
    assert around.shape == (len(mesh.vertices), 6)
    assert around.min() >= 0
    assert around.max() <= found.weights.max()
