"""Laws of texturing: a known colour field comes back, background never does, gains are recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.errors import Cancelled, EngineError, InputError
from meshwright.geometry.mesh import Coverage, Mesh
from meshwright.geometry.similarity import Similarity2d
from meshwright.progress import Context
from meshwright.surface.inpaint import fill_outside
from meshwright.surface.texture import TextureOptions, texture_mesh
from surface.colored_sphere import RADIUS, color_field, sphere, sphere_capture, surface_samples

OPTIONS = TextureOptions(size=512)
BACKGROUND = (255, 0, 255)


@pytest.fixture(scope="module")
def textured():
    return texture_mesh(sphere(), sphere_capture(background=BACKGROUND), OPTIONS)


def rms(mesh, keep=None) -> float:
    points, colors, _ = surface_samples(mesh)
    error = colors - color_field(points * (RADIUS / np.linalg.norm(points, axis=1, keepdims=True)))
    return float(np.sqrt((error[keep(points)] ** 2 if keep else error**2).mean()))


def test_a_known_colour_field_comes_back(textured):
    assert rms(textured) < 1.5


def test_no_background_in_the_texture(textured):
    """Magenta behind the object is nowhere, neither in seen texels nor in the gutters."""
    red, green, blue = (textured.texture[..., k].astype(int) for k in range(3))
    assert not ((green < 40) & (red > 170) & (blue > 170)).any()


def test_six_views_see_the_whole_sphere(textured):
    kinds = textured.coverage[textured.coverage > 0]
    assert (kinds == Coverage.INVENTED).sum() == 0
    assert (kinds == Coverage.SEEN).mean() > 0.75  # the eight places between three axes are seen at 55 degrees or more
    assert not textured.invented.any()


def test_uv_normals_tangents_are_sound(textured):
    assert np.allclose(np.linalg.norm(textured.normals, axis=1), 1)
    tangent, sign = textured.tangents[:, :3], textured.tangents[:, 3]
    assert np.allclose(np.linalg.norm(tangent, axis=1), 1)
    assert np.abs((tangent * textured.normals).sum(1)).max() < 1e-6
    assert (sign == 1).all()  # no mirrored chart
    assert all(np.isfinite(a).all() for a in (textured.vertices, textured.normals, textured.uv, textured.tangents))


def test_hidden_side_is_filled_and_marked():
    mesh = texture_mesh(sphere(), sphere_capture(("front",), background=BACKGROUND), OPTIONS)
    points, colors, coverage = surface_samples(mesh)
    assert (coverage[points[:, 2] < -0.05] == Coverage.INVENTED).all()
    assert (coverage[points[:, 2] > 0.3] == Coverage.SEEN).all()
    assert mesh.invented[mesh.vertices[:, 2] < -0.1].all()
    field = color_field(points[points[:, 2] > 0])
    assert (colors >= field.min(0) - 12).all()  # harmonic: nothing outside of what was seen
    assert (colors <= field.max(0) + 12).all()


def test_grazing_places_are_marked():
    mesh = texture_mesh(sphere(), sphere_capture(("front",)), OPTIONS)
    points, _, coverage = surface_samples(mesh)
    to_camera = np.array([0, 0, 1.3]) - points
    cosine = (to_camera * points).sum(1) / np.linalg.norm(to_camera, axis=1) / np.linalg.norm(points, axis=1)
    assert (coverage[(cosine > 0.25) & (cosine < 0.45)] == Coverage.GRAZING).mean() > 0.95
    assert (coverage[cosine > 0.55] == Coverage.SEEN).all()


def test_view_gains_are_levelled():
    """Two views are 15 % brighter and darker: steps vanish and the field comes back up to a common factor."""
    capture = sphere_capture(gains={"front": 1.12, "right": 0.9})
    plain = texture_mesh(sphere(), capture, replace(OPTIONS, levelling=False))
    leveled = texture_mesh(sphere(), capture, OPTIONS)

    def spread(mesh):
        points, colors, _ = surface_samples(mesh)
        ratio = colors / color_field(points)
        return float((ratio / ratio.mean(0)).std())

    assert spread(leveled) < 0.35 * spread(plain)


def test_levelling_leaves_consistent_views_alone():
    capture = sphere_capture()
    one = texture_mesh(sphere(), capture, OPTIONS)
    two = texture_mesh(sphere(), capture, replace(OPTIONS, levelling=False))
    apart = np.abs(one.texture.astype(int) - two.texture.astype(int))[one.coverage > 0]
    assert apart.mean() < 0.25
    assert np.quantile(apart, 0.999) <= 2


def test_one_contaminated_view_is_outvoted():
    """A bright blot in one view, at a place that another view sees about as well, does not get through."""
    capture = sphere_capture()
    views = list(capture.views)
    rgb = views[0].rgb.copy()
    rgb[110:210, 250:270] = 255  # on the right-hand flank of the front view, 45 degrees round
    clean = texture_mesh(sphere(), capture, OPTIONS)
    capture = replace(capture, views=(replace(views[0], rgb=rgb), *views[1:]))
    blotted = texture_mesh(sphere(), capture, OPTIONS)
    assert rms(blotted, _flank) < rms(clean, _flank) + 1


def _flank(points):
    return points[:, 0] > 0.8 * RADIUS


def test_registration_is_followed():
    """The RGB is a larger, shifted picture of the object; its registration says so."""
    capture, size = sphere_capture(), 320
    moved = Similarity2d(1.06, 0.02, 0.015, -0.01)
    views = []
    for view in capture.views:
        from scipy.ndimage import map_coordinates

        y, x = np.mgrid[:size, :size] + 0.5
        source = moved.inverse().apply_pixels(np.stack([x, y], -1), size, size) - 0.5
        planes = [
            map_coordinates(view.rgb[..., c], [source[..., 1], source[..., 0]], order=1, mode="nearest")
            for c in range(3)
        ]
        views.append(replace(view, rgb=np.stack(planes, -1), registration=moved))
    assert rms(texture_mesh(sphere(), replace(capture, views=tuple(views)), OPTIONS)) < 2.5


def test_turning_the_world_turns_nothing_in_the_colours(textured):
    from meshwright.geometry.rotations import exp_so3

    turn = np.eye(4)
    turn[:3, :3] = exp_so3(np.array([0.2, 0.4, 0.6]))
    capture, ball = sphere_capture(background=BACKGROUND), sphere()
    views = tuple(replace(view, camera=view.camera.transformed(turn)) for view in capture.views)
    turned = texture_mesh(Mesh(ball.vertices @ turn[:3, :3].T, ball.faces), replace(capture, views=views), OPTIONS)
    back = turned.transformed(turn.T)
    assert abs(rms(back) - rms(textured)) < 0.3


def test_the_same_input_gives_the_same_bytes(textured):
    again = texture_mesh(sphere(), sphere_capture(background=BACKGROUND), OPTIONS)
    assert np.array_equal(again.texture, textured.texture)
    assert np.array_equal(again.uv, textured.uv)


def test_gutters_continue_the_charts():
    """Outside the charts the pyramid repeats colours from nearby, and covered texels stay as they are."""
    image, covered = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), bool)
    image[8:40, 8:40], covered[8:40, 8:40] = (10, 200, 30), True
    filled = fill_outside(image, covered)
    assert (filled == (10, 200, 30)).all()


def test_faults_are_coded():
    ball, capture = sphere(2), sphere_capture(("front",))
    far = Mesh(ball.vertices + np.array([50.0, 0, 0]), ball.faces)
    with pytest.raises(EngineError) as caught:
        texture_mesh(far, capture, OPTIONS)
    assert caught.value.reason == "no_view_sees_mesh"
    with pytest.raises(EngineError) as caught:
        texture_mesh(Mesh(ball.vertices, np.zeros((0, 3), np.int32)), capture, OPTIONS)
    assert caught.value.reason == "mesh_empty"
    with pytest.raises(InputError):
        TextureOptions(size=100)


def test_work_can_be_cancelled():
    calls = iter([False] * 4 + [True] * 1000)
    with pytest.raises(Cancelled):
        texture_mesh(sphere(2), sphere_capture(("front",)), OPTIONS, Context(is_cancelled=lambda: next(calls)))
