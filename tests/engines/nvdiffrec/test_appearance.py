"""A texture comes nearer to what the photos show, where photos show it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.engines.nvdiffrec.appearance import refine_texture
from meshwright.geometry.camera import pixel_grid
from meshwright.geometry.mesh import Coverage, TexturedMesh
from meshwright.progress import Context
from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface
from meshwright.surface.texture import TextureOptions, texture_mesh
from surface.solids import capture_of, sphere

SIZE = 96


@pytest.fixture(scope="module")
def capture() -> CalibratedCapture:
    """A sphere in a pattern of stripes across all three axes."""
    plain = capture_of(sphere(0.35), 1.2, SIZE)
    return replace(plain, views=tuple(replace(view, rgb=striped(view)) for view in plain.views))


def striped(view: CalibratedView) -> np.ndarray:
    assert view.depth is not None
    points = view.camera.unproject(pixel_grid(SIZE, SIZE), np.where(view.mask, view.depth, 1.0))
    return (128 + 90 * np.sin(60 * points)).astype(np.uint8)


@pytest.fixture(scope="module")
def mesh(capture: CalibratedCapture) -> TexturedMesh:
    surface = reconstruct_surface(capture, SurfaceOptions(resolution=48, faces=1500))
    return texture_mesh(surface.mesh, capture, TextureOptions(size=256))


def misfit(mesh: TexturedMesh, capture: CalibratedCapture) -> float:
    from meshwright.quality.assess import assess

    psnr = assess(capture, mesh).metrics.psnr.value
    assert psnr is not None
    return -psnr


def test_a_blurred_texture_becomes_sharp_again(mesh: TexturedMesh, capture: CalibratedCapture) -> None:
    assert mesh.texture is not None
    blurred = replace(mesh, texture=gaussian_filter(mesh.texture, (3, 3, 0)))
    got = refine_texture(blurred, capture, SIZE, 6, "cpu", Context())
    assert misfit(got, capture) < misfit(blurred, capture) - 2.0


def test_what_no_view_saw_stays(mesh: TexturedMesh, capture: CalibratedCapture) -> None:
    got = refine_texture(mesh, capture, SIZE, 2, "cpu", Context())
    assert mesh.coverage is not None
    assert mesh.texture is not None
    assert got.texture is not None
    unseen = mesh.coverage < Coverage.GRAZING
    np.testing.assert_array_equal(got.texture[unseen], mesh.texture[unseen])


def test_the_same_twice(mesh: TexturedMesh, capture: CalibratedCapture) -> None:
    one, two = (refine_texture(mesh, capture, SIZE, 2, "cpu", Context()).texture for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_no_rounds_and_no_texture_change_nothing(mesh: TexturedMesh, capture: CalibratedCapture) -> None:
    bare = replace(mesh, uv=None, texture=None)
    assert refine_texture(mesh, capture, SIZE, 0, "cpu", Context()) is mesh
    assert refine_texture(bare, capture, SIZE, 3, "cpu", Context()) is bare
