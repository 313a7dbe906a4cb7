"""Unusual captures: few views, cut-off objects, small objects, uneven images, missing depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.surface.clean import is_manifold, is_watertight
from meshwright.surface.extract import signed_volume
from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface
from surface.solids import capture_of, sphere

SMALL = SurfaceOptions(resolution=48, faces=3000)
VOLUME = 4 / 3 * np.pi * 0.3**3


@pytest.fixture(scope="module")
def ball():
    return capture_of(sphere(0.3), 0.9, size=96)


def cropped(view, rows, columns):
    K = view.camera.K.copy()
    K[:2, 2] -= columns.start, rows.start
    camera = replace(view.camera, K=K, width=columns.stop - columns.start, height=rows.stop - rows.start)
    at = (rows, columns)
    return replace(view, camera=camera, mask=view.mask[at], depth=view.depth[at], rgb=view.rgb[at])


def framed(view, border):
    K = view.camera.K.copy()
    K[:2, 2] += border
    size = view.camera.width + 2 * border
    camera = replace(view.camera, K=K, width=size, height=size)
    rgb = np.pad(view.rgb, ((border, border), (border, border), (0, 0)))
    return replace(view, camera=camera, mask=np.pad(view.mask, border), depth=np.pad(view.depth, border), rgb=rgb)


def surface_of(ball, views):
    surface = reconstruct_surface(replace(ball, views=tuple(views)), SMALL)
    assert is_watertight(surface.mesh)
    assert is_manifold(surface.mesh)
    assert np.isfinite(surface.mesh.vertices).all()
    return surface


def test_one_view_is_closed_behind(ball):
    surface = surface_of(ball, ball.views[:1])
    front = surface.mesh.vertices[~surface.invented]
    assert np.abs(np.linalg.norm(front, axis=1) - 0.3).max() < 0.02
    assert surface.invented.mean() > 0.4


def test_two_opposite_views(ball):
    assert signed_volume(surface_of(ball, ball.views[:2]).mesh) == pytest.approx(VOLUME, rel=0.05)


def test_images_need_not_be_square(ball):
    views = [cropped(view, slice(0, 96), slice(20, 80)) for view in ball.views]
    assert signed_volume(surface_of(ball, views).mesh) == pytest.approx(VOLUME, rel=0.05)


def test_what_lies_beyond_the_image_is_not_carved(ball):
    views = [cropped(view, slice(0, 96), slice(0, 60)) for view in ball.views]
    assert signed_volume(surface_of(ball, views).mesh) == pytest.approx(VOLUME, rel=0.05)


def test_a_view_that_is_all_object_carves_nothing(ball):
    inner = cropped(ball.views[0], slice(40, 56), slice(40, 56))
    assert inner.mask.all()
    assert signed_volume(surface_of(ball, [inner, *ball.views[1:]]).mesh) == pytest.approx(VOLUME, rel=0.05)


def test_small_object_in_a_large_frame(ball):
    assert signed_volume(surface_of(ball, [framed(view, 120) for view in ball.views]).mesh) == pytest.approx(
        VOLUME, rel=0.05
    )


def test_views_without_depth_among_views_with_depth(ball):
    views = [replace(view, depth=None) if k % 2 else view for k, view in enumerate(ball.views)]
    assert signed_volume(surface_of(ball, views).mesh) == pytest.approx(VOLUME, rel=0.05)


def test_a_view_that_shows_nothing_is_left_out(ball):
    blind = replace(ball.views[0], mask=np.zeros_like(ball.views[0].mask))
    assert signed_volume(surface_of(ball, [blind, *ball.views[1:]]).mesh) == pytest.approx(VOLUME, rel=0.05)
