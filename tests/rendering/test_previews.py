"""Laws of previews: the twelve names, the whole object in the picture, the shadow under it, fixed bytes."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.geometry.mesh import TexturedMesh
from meshwright.geometry.rotations import rotation_angle_deg
from meshwright.rendering.orbit import FILL, ground_shadow, orbit_cameras, upright
from meshwright.rendering.previews import (
    ANGLES_DEG,
    BACKGROUND,
    contact_sheet,
    preview_cameras,
    render_previews,
    turntable_cameras,
    turntable_frame,
)
from meshwright.rendering.render import render
from rendering.scenes import colored_ball

NAMES = [f"{kind}_{n:02d}" for kind in ("textured", "wireframe") for n in range(6)]


def stretched_ball() -> TexturedMesh:
    return _scaled(colored_ball(12), (1.0, 0.4, 2.0))


def _scaled(mesh: TexturedMesh, scale: tuple[float, float, float]) -> TexturedMesh:
    return TexturedMesh(mesh.vertices * scale + [5.0, -3.0, 1.0], mesh.faces, mesh.normals, colors=mesh.colors)


def test_names_sizes_and_background() -> None:
    pictures = render_previews(stretched_ball(), 64)
    assert list(pictures) == NAMES
    for picture in pictures.values():
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert (picture[[0, 0, -1, -1], [0, -1, 0, -1]] == BACKGROUND).all()
        assert (picture != BACKGROUND).any()


def test_previews_are_the_same_bytes_twice() -> None:
    first, again = (render_previews(stretched_ball(), 48) for _ in range(2))
    for name in NAMES:
        np.testing.assert_array_equal(first[name], again[name])


def test_object_is_whole_and_in_the_middle_of_every_view() -> None:
    mesh = stretched_ball()
    widest = []
    for camera in preview_cameras(mesh, 100):
        uv, z = camera.project(mesh.vertices)
        assert (z > 0).all()
        assert np.linalg.det(camera.c2w[:3, :3]) == pytest.approx(1)
        np.testing.assert_allclose((uv.min(0) + uv.max(0)) / 2, 50, atol=0.1)
        widest.append((uv.max(0) - uv.min(0)).max() / 100)
    assert max(widest) == pytest.approx(FILL, abs=0.01)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "towards"),
    [(0, 0, (0, 0, 1)), (90, 0, (1, 0, 0)), (0, 90, (0, 1, 0)), (0, -90, (0, -1, 0))],
)
def test_angles_mean_what_they_say(azimuth: float, elevation: float, towards: tuple[float, float, float]) -> None:
    camera = orbit_cameras(np.eye(3) - 1 / 3, np.array([[azimuth, elevation]], float), 32)[0]
    np.testing.assert_allclose(-camera.forward, towards, atol=1e-9)
    down = camera.c2w[:3, 1]
    assert down[1] == pytest.approx(-1) if elevation == 0 else abs(down[1]) < 1e-9


def test_six_angles_are_distinct_and_see_all_sides() -> None:
    cameras = preview_cameras(stretched_ball(), 32)
    poses = [camera.c2w[:3, :3] for camera in cameras]
    assert all(rotation_angle_deg(a.T @ b) > 30 for n, a in enumerate(poses) for b in poses[:n])
    assert min(angle[1] for angle in ANGLES_DEG) < 0 < max(angle[1] for angle in ANGLES_DEG)


def test_up_axis_turns_the_whole_scene() -> None:
    """A Z-up mesh with up = +Z gives the pictures of the same mesh stood upright."""
    mesh = colored_ball(10)
    mesh = TexturedMesh(mesh.vertices * [1.0, 0.5, 1.6], mesh.faces, mesh.normals, colors=mesh.colors)
    turn = np.eye(4)
    turn[:3, :3] = upright(np.array([0, 0, 1.0]))
    straight, lying = render_previews(mesh, 40), render_previews(mesh.transformed(turn), 40, up=(0, 0, 1.0))
    for name in NAMES:
        assert np.abs(straight[name].astype(float) - lying[name]).mean() < 1.0


def test_shadow_lies_under_the_object_and_only_there() -> None:
    mesh = stretched_ball()
    above, below = preview_cameras(mesh, 64)[0], preview_cameras(mesh, 64)[5]
    shadow = ground_shadow(mesh, above)
    assert 0.2 < shadow.max() <= 1
    assert shadow.min() >= 0
    assert shadow[:8].max() < 0.02
    assert not ground_shadow(mesh, below).any()
    rows = np.nonzero(shadow > 0.5 * shadow.max())[0]
    assert rows.mean() > np.nonzero(render(mesh, above).coverage > 0.5)[0].mean()


def test_shadow_lies_where_the_feet_are() -> None:
    foot = _scaled(colored_ball(8), (0.3, 0.3, 0.3))
    other = foot.vertices + np.array([3.0, 0, 2.0])
    mesh = TexturedMesh(
        np.concatenate([foot.vertices, other]), np.concatenate([foot.faces, foot.faces + len(other)]), np.zeros((0, 3))
    )
    for camera in preview_cameras(mesh, 96)[:5]:
        shadow = ground_shadow(mesh, camera)
        feet = np.array([[5.0, -3.3, 1.0], [8.0, -3.3, 3.0]])
        elsewhere = np.array([[8.0, -3.3, 1.0], [5.0, -3.3, 3.0]])
        dark, light = ([shadow[int(y), int(x)] for x, y in camera.project(points)[0]] for points in (feet, elsewhere))
        assert min(dark) > 0.3
        assert max(light) < 0.1


def test_empty_mesh_gives_twelve_blank_pictures() -> None:
    empty = TexturedMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)))
    pictures = render_previews(empty, 16)
    assert list(pictures) == NAMES
    assert all((picture == BACKGROUND).all() for picture in pictures.values())


def test_flat_and_one_point_meshes_do_not_fail() -> None:
    flat = _scaled(colored_ball(8), (1.0, 0.0, 1.0))
    point = _scaled(colored_ball(8), (0.0, 0.0, 0.0))
    assert (render_previews(flat, 24)["textured_04"] != BACKGROUND).any()
    assert len(render_previews(point, 24)) == 12


def test_contact_sheet_keeps_every_picture() -> None:
    images = [np.full((4, 5, 3), n, np.uint8) for n in range(5)]
    sheet = contact_sheet(images, columns=3, gap=1)
    assert sheet.shape == (9, 17, 3)
    assert [(sheet == n).all(-1).sum() for n in range(5)] == [20] * 5


def test_turntable_goes_once_round() -> None:
    mesh = stretched_ball()
    cameras = turntable_cameras(mesh, 4, 32)
    directions = np.array([-camera.forward for camera in cameras])
    np.testing.assert_allclose(directions[:, [0, 2]].sum(0), 0, atol=1e-9)
    assert turntable_frame(mesh, cameras[0]).shape == (32, 32, 3)
