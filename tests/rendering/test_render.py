"""Laws of pictures: equal to the numpy twin, texel-exact when seen one to one, right way up, no aliasing, no NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import PLAIN_GREY, Mesh, TexturedMesh
from meshwright.rendering.raster import rasterize
from meshwright.rendering.render import Wire, plain_paint, render, render_painted
from meshwright.rendering.render_reference import render_reference
from rendering.scenes import ball, card, colored_ball, front_camera, three_cameras


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)


def textured_ball() -> TexturedMesh:
    mesh = colored_ball(16)
    uv = mesh.vertices[:, :2] * 0.45 + 0.5
    return replace(mesh, uv=uv, texture=noise(64, 96), colors=None)


@pytest.mark.parametrize("camera", list(three_cameras()))
@pytest.mark.parametrize("shading", ["unlit", "lambert"])
@pytest.mark.parametrize("paint", ["texture", "colors"])
def test_picture_equals_twin(camera: str, shading: str, paint: str) -> None:
    mesh = textured_ball() if paint == "texture" else colored_ball(16)
    view = three_cameras()[camera]
    for supersample in (1, 2, 3):
        got = render(mesh, view, supersample=supersample, shading=shading, background=90)
        rgb, coverage = render_reference(mesh, view, supersample=supersample, shading=shading, background=90)
        assert np.abs(got.rgb - rgb).max() <= 0.5 + 1e-2
        np.testing.assert_allclose(got.coverage, coverage, atol=1e-6)


def test_card_seen_one_to_one_is_its_texture() -> None:
    """Orientation, texel centres and mip level 0 in one: every pixel is a texel, uv's origin is top left."""
    image = noise(24, 40)
    seen = render(card(image, 1.0, 0.6), front_camera(40, 24), supersample=1)
    np.testing.assert_array_equal(seen.rgb, image)
    assert (seen.coverage == 1).all()
    np.testing.assert_allclose(seen.depth, 3.0, rtol=1e-6)


def test_small_picture_of_a_fine_texture_does_not_alias() -> None:
    """A one-texel checkerboard seen at 1/16 must be its mean, not moire."""
    checker = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    seen = render(card(checker), front_camera(31, 31), supersample=2)
    inner = seen.rgb[2:-2, 2:-2].astype(float)
    assert np.abs(inner - 127.5).max() < 4


def test_coverage_is_the_area_and_composites_over_the_background() -> None:
    texture = np.full((4, 4, 3), 40, np.uint8)
    seen = render(card(texture, 0.525, 0.525), front_camera(20, 20), supersample=8, background=240)
    assert seen.coverage.mean() == pytest.approx(0.525**2, rel=2e-2)
    np.testing.assert_allclose(seen.rgb[..., 0], np.rint(40 * seen.coverage + 240 * (1 - seen.coverage)), atol=1)
    assert 0 < seen.coverage[:, 4].max() < 1


@pytest.mark.parametrize("supersample", [1, 2, 3])
def test_depth_is_taken_at_pixel_centres(supersample: int) -> None:
    mesh, camera = colored_ball(), three_cameras()["off_centre"]
    depth = render(mesh, camera, supersample=supersample).depth
    expected = rasterize(mesh.vertices, mesh.faces, camera).depth
    assert ((depth > 0) != (expected > 0)).sum() <= 1  # the sub-pixel grid is finer when supersampled
    both = (depth > 0) & (expected > 0)
    np.testing.assert_allclose(depth[both], expected[both], atol=2e-3)


def test_mesh_without_paint_is_plain_grey() -> None:
    vertices, faces = ball()
    seen = render(Mesh(vertices, faces), three_cameras()["perspective"])
    assert (seen.rgb[seen.coverage == 1] == PLAIN_GREY).all()
    assert (seen.rgb[seen.coverage == 0] == 255).all()


def test_light_comes_from_above() -> None:
    vertices, faces = ball()
    seen = render(Mesh(vertices, faces), front_camera(40, 40, 2.2), shading="lambert")
    assert seen.rgb[8, 20, 0] > seen.rgb[20, 20, 0] > seen.rgb[32, 20, 0]


def test_winding_and_normals_turned_inside_out_look_the_same() -> None:
    mesh, camera = colored_ball(), three_cameras()["perspective"]
    turned = replace(mesh, faces=np.ascontiguousarray(mesh.faces[:, ::-1]), normals=-mesh.normals)
    np.testing.assert_array_equal(
        render(mesh, camera, shading="lambert").rgb, render(turned, camera, shading="lambert").rgb
    )


def test_bad_values_are_skipped_or_neutral() -> None:
    mesh, camera = textured_ball(), three_cameras()["perspective"]
    vertices, uv, normals = mesh.vertices.copy(), mesh.uv.copy(), mesh.normals.copy()
    vertices[::17] = np.nan
    vertices[5::40] = np.inf
    uv[3::11] = [np.nan, np.inf]
    normals[1::7] = np.nan
    normals[2::7] = 0
    seen = render(replace(mesh, vertices=vertices, uv=uv, normals=normals), camera, shading="lambert")
    assert 0 < (seen.coverage == 1).mean() < (render(mesh, camera).coverage == 1).mean()
    assert np.isfinite(seen.coverage).all()
    assert np.isfinite(seen.depth).all()


def test_read_only_arrays_are_welcome() -> None:
    mesh = textured_ball()
    for array in (mesh.vertices, mesh.faces, mesh.uv, mesh.texture, mesh.normals):
        array.setflags(write=False)
    assert render(mesh, three_cameras()["perspective"], shading="lambert").coverage.any()


def test_nothing_to_see_is_background() -> None:
    away = Camera.from_fov(40, np.eye(4), 12, 9)
    seen = render(card(noise(4, 4)), away, background=17)
    assert seen.rgb.shape == (9, 12, 3)
    assert (seen.rgb == 17).all()
    assert not seen.coverage.any()
    empty = TexturedMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)))
    assert (render(empty, away).rgb == 255).all()


def test_the_same_input_gives_the_same_bytes() -> None:
    mesh, camera = textured_ball(), three_cameras()["perspective"]
    first = render(mesh, camera, shading="lambert")
    again = render(replace(mesh), camera, shading="lambert")
    np.testing.assert_array_equal(first.rgb, again.rgb)


def test_wire_is_drawn_on_edges_only() -> None:
    mesh = card(np.zeros((2, 2, 3), np.uint8))
    camera = front_camera(64, 64, 1.1)
    seen = render_painted(mesh, plain_paint(4, 200), camera, supersample=3, wire=Wire(0.0, 2.0, 0.5))
    uv, _ = camera.project(mesh.vertices)
    middle = uv.mean(0).astype(int)
    assert seen.rgb[middle[1], middle[0], 0] < 60  # on the diagonal
    assert (
        seen.rgb[middle[1] + 15, middle[0] - 14, 0] in range(195, 201)
        or seen.rgb[middle[1] - 15, middle[0] - 14, 0] == 200
    )
    assert (seen.rgb == 200).all(-1).mean() > 0.6
