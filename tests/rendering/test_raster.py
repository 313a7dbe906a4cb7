"""Laws of fragments: the surface point of a pixel projects back to its centre; cameras of every kind agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.rotations import look_at
from meshwright.rendering.raster import Fragments, rasterize
from rendering.scenes import ball, three_cameras


@pytest.mark.parametrize("name", list(three_cameras()))
def test_surface_point_projects_to_its_pixel_and_depth(name: str) -> None:
    camera = three_cameras()[name]
    vertices, faces = ball()
    seen = rasterize(vertices, faces, camera)
    hit = seen.face_id >= 0
    assert hit.sum() > 500
    points = seen.interpolate(faces, vertices)[hit]
    uv, z = camera.project(points.astype(float))
    np.testing.assert_allclose(uv, pixel_grid(camera.width, camera.height)[hit], atol=2e-3)
    np.testing.assert_allclose(seen.depth[hit], z, rtol=1e-5)
    assert (seen.depth[~hit] == 0).all()
    assert (seen.barycentrics[~hit] == 0).all()
    assert (seen.barycentrics >= 0).all()
    np.testing.assert_allclose(seen.barycentrics[hit].sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("name", list(three_cameras()))
def test_depth_of_a_sphere_is_the_analytic_one(name: str) -> None:
    camera = three_cameras()[name]
    seen = rasterize(*ball(60), camera)
    rows, cols = np.nonzero(seen.face_id >= 0)
    points = camera.unproject(np.stack([cols, rows], -1) + 0.5, seen.depth[rows, cols].astype(float))
    radius = np.linalg.norm(points, axis=1)
    assert np.median(np.abs(radius - 1)) < 2e-3
    facing = (points * camera.view_directions(points)).sum(-1)
    assert (facing > -0.05).all()  # the near side is what is seen


def test_plane_in_perspective_has_exact_uv() -> None:
    """Perspective correctness: attributes that are linear in the world stay linear in the world."""
    vertices = np.array([[-1, 0, -3], [1, 0, -3], [1, 0, 0.5], [-1, 0, 0.5]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    camera = Camera.from_fov(
        70, look_at(np.array([0, 0.7, 2.0]), np.array([0, 0, -0.5]), np.array([0, 1.0, 0])), 80, 60
    )
    seen = rasterize(vertices, faces, camera)
    hit = seen.face_id >= 0
    uv = seen.interpolate(faces, vertices[:, [0, 2]])[hit]
    points = camera.unproject(pixel_grid(80, 60)[hit], seen.depth[hit].astype(float))
    np.testing.assert_allclose(uv, points[:, [0, 2]], atol=2e-4)
    np.testing.assert_allclose(points[:, 1], 0, atol=1e-5)


def test_faces_at_or_behind_the_near_plane_are_dropped() -> None:
    camera = Camera.from_fov(60, np.eye(4), 16, 16)
    front = np.array([[-1, -1, 3], [1, -1, 3], [0, 1, 3.0]])
    for z in (0.0, -2.0, np.nan):
        crossing = front.copy()
        crossing[0, 2] = z
        both = np.concatenate([front, crossing])
        seen = rasterize(both, np.arange(6, dtype=np.int32).reshape(2, 3), camera)
        assert set(np.unique(seen.face_id)) == {-1, 0}
        assert np.isfinite(seen.depth).all()


def test_empty_mesh_gives_empty_fragments() -> None:
    seen = rasterize(np.zeros((0, 3)), np.zeros((0, 3), np.int32), three_cameras()["off_centre"])
    assert isinstance(seen, Fragments)
    assert seen.face_id.shape == (47, 61)
    assert (seen.face_id == -1).all()
    assert not seen.depth.any()


def test_turning_the_world_does_not_change_the_picture() -> None:
    vertices, faces = ball()
    camera = three_cameras()["perspective"]
    turn = look_at(np.array([0.3, -2.0, 1.0]), np.array([0.2, 0.1, 0]), np.array([0, 1.0, 0]))
    moved = rasterize(vertices @ turn[:3, :3].T + turn[:3, 3], faces, camera.transformed(turn))
    still = rasterize(vertices, faces, camera)
    assert (moved.face_id == still.face_id).mean() > 0.995
    same = moved.face_id == still.face_id
    np.testing.assert_allclose(moved.depth[same], still.depth[same], atol=2e-3)


numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(
    vertices=arrays(np.float64, (7, 3), elements=numbers),
    faces=arrays(np.int32, (5, 3), elements=st.integers(0, 6)),
    focal=st.floats(1e-3, 1e6),
    centre=st.floats(-1e4, 1e4),
)
def test_any_numbers_give_finite_fragments(
    vertices: np.ndarray, faces: np.ndarray, focal: float, centre: float
) -> None:
    K = np.array([[focal, 0, centre], [0, focal, 4.0], [0, 0, 1]])
    for projection in ("perspective", "orthographic"):
        seen = rasterize(vertices, faces, Camera(K, np.eye(4), 9, 7, projection))
        assert np.isfinite(seen.depth).all()
        assert np.isfinite(seen.barycentrics).all()
        assert ((seen.face_id >= -1) & (seen.face_id < 5)).all()
