"""Laws of the fused field and of the surface that comes out of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.errors import Cancelled, EngineError
from meshwright.geometry.mesh import vertex_normals
from meshwright.geometry.rotations import exp_so3
from meshwright.progress import Context
from meshwright.surface.clean import is_manifold, is_watertight
from meshwright.surface.evidence import gather
from meshwright.surface.extract import signed_volume
from meshwright.surface.fuse import FreeSpace, classify_blocks, make_grid
from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface
from surface.field_twin import fused
from surface.solids import box, capture_of, sphere, torus, union

SMALL = SurfaceOptions(resolution=64, faces=4000)


@pytest.fixture(scope="module")
def ball():
    return capture_of(sphere(0.4), 0.8 * np.sqrt(3), size=128)


@pytest.fixture(scope="module")
def ball_surface(ball):
    return reconstruct_surface(ball, SMALL)


def healthy(mesh):
    return is_watertight(mesh) and is_manifold(mesh) and signed_volume(mesh) > 0


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_kernel_agrees_with_its_slow_twin(projection):
    solid = union(sphere(0.25), box((0.45, 0.05, 0.1)))
    capture = capture_of(solid, 1.0, size=60, projection=projection)
    views = [gather(view) for view in capture.views]
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1500, 3))
    space = FreeSpace(views, voxel=0.03)
    value, support = space.distance(points)
    slow_value, slow_support = fused(views, points, 0.03)
    # A point on a pixel's border may fall to either side by rounding.
    assert (np.abs(value - slow_value) < 1e-4).mean() > 0.99
    assert (np.abs(support - slow_support) < 1e-4).mean() > 0.99


def test_skipped_blocks_hold_no_surface(ball):
    views = [gather(view) for view in ball.views]
    grid = make_grid(*ball.bounds, 64)
    kind = classify_blocks(views, grid)
    space = FreeSpace(views, grid.voxel)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    value, _ = space.distance((grid.origin + grid.voxel * index).reshape(-1, 3))
    whole = kind.repeat(8, 0).repeat(8, 1).repeat(8, 2).ravel()
    assert (whole != 0).any()
    assert (value[whole == 1] > 0).all()
    assert (value[whole == -1] < 0).all()


def test_sphere_radius_is_right_to_a_tenth_of_a_voxel(ball_surface):
    voxel = 0.8 / 64
    radius = np.linalg.norm(ball_surface.mesh.vertices, axis=1)
    assert healthy(ball_surface.mesh)
    assert abs(np.mean(radius) - 0.4) < 0.1 * voxel
    assert np.sqrt(np.mean((radius - 0.4) ** 2)) < 0.2 * voxel
    normals = vertex_normals(ball_surface.mesh.vertices, ball_surface.mesh.faces)
    assert ((normals * ball_surface.mesh.vertices).sum(1) / radius).mean() > 0.99


def test_face_budget_is_kept(ball_surface):
    assert 0.8 * SMALL.faces < len(ball_surface.mesh.faces) <= SMALL.faces


def test_thin_plate_survives():
    half = 0.75 * 0.8 / 64
    plate = reconstruct_surface(capture_of(box((0.4, 0.3, half)), 1.0, size=160), SMALL)
    assert healthy(plate.mesh)
    assert signed_volume(plate.mesh) == pytest.approx(8 * 0.4 * 0.3 * half, rel=0.2)


def test_torus_keeps_its_hole():
    ring = reconstruct_surface(capture_of(torus(0.3, 0.1), 0.9, size=160), SMALL)
    assert healthy(ring.mesh)
    assert len(ring.mesh.vertices) - len(ring.mesh.faces) // 2 == 0
    assert signed_volume(ring.mesh) == pytest.approx(2 * np.pi**2 * 0.3 * 0.1**2, rel=0.03)


def test_hidden_region_is_closed_and_marked():
    names = ("front", "left", "right", "top")
    surface = reconstruct_surface(capture_of(sphere(0.3), 0.9, names=names), SMALL)
    direction = surface.mesh.vertices / np.linalg.norm(surface.mesh.vertices, axis=1, keepdims=True)
    seen = (direction[:, 2] > 0.8) | (direction[:, 1] > 0.8)
    unseen = (direction @ np.array([0, -1, -1]) / np.sqrt(2)) > 0.97
    assert healthy(surface.mesh)
    assert not surface.invented[seen].any()
    assert surface.invented[unseen].mean() > 0.9


def test_silhouettes_alone_give_the_visual_hull():
    hull = reconstruct_surface(capture_of(sphere(0.35), 0.8 * np.sqrt(3), with_depth=False), SMALL)
    assert healthy(hull.mesh)
    assert hull.invented.all()
    radius = np.linalg.norm(hull.mesh.vertices, axis=1)
    assert radius.min() > 0.34
    assert radius.max() < 0.35 * np.sqrt(3)


def test_orthographic_cameras():
    surface = reconstruct_surface(capture_of(sphere(0.4), 1.3, size=128, projection="orthographic"), SMALL)
    radius = np.linalg.norm(surface.mesh.vertices, axis=1)
    assert np.sqrt(np.mean((radius - 0.4) ** 2)) < 0.25 * 0.8 / 64


def test_world_similarity_moves_the_surface_along(ball, ball_surface):
    move = np.eye(4)
    move[:3, :3] = 250.0 * exp_so3(np.array([0.4, -0.9, 0.3]))
    move[:3, 3] = (1000.0, -300.0, 70.0)
    views = tuple(
        replace(v, camera=v.camera.transformed(move), depth=v.depth * 250, depth_step=v.depth_step * 250)
        for v in ball.views
    )
    bounds = np.array([move[:3, 3] - 110, move[:3, 3] + 110])
    moved = reconstruct_surface(replace(ball, views=views, diagonal=ball.diagonal * 250, bounds=bounds), SMALL)
    radius = np.linalg.norm(moved.mesh.vertices - move[:3, 3], axis=1) / 250
    assert healthy(moved.mesh)
    assert np.sqrt(np.mean((radius - 0.4) ** 2)) < 0.2 * 0.8 / 64


def test_same_input_same_surface(ball, ball_surface):
    again = reconstruct_surface(ball, SMALL)
    assert np.array_equal(again.mesh.vertices, ball_surface.mesh.vertices)
    assert np.array_equal(again.mesh.faces, ball_surface.mesh.faces)
    assert np.array_equal(again.invented, ball_surface.invented)


def test_noise_and_dropout_do_not_break_it(ball):
    rng = np.random.default_rng(1)
    views = []
    for view in ball.views:
        noisy = view.depth + rng.normal(0, 0.004, view.depth.shape) * (view.depth > 0)
        noisy[rng.random(noisy.shape) < 0.02] = 0
        views.append(replace(view, depth=noisy.astype(np.float32), depth_step=0.0))
    surface = reconstruct_surface(replace(ball, views=tuple(views)), SMALL)
    radius = np.linalg.norm(surface.mesh.vertices, axis=1)
    assert healthy(surface.mesh)
    assert np.sqrt(np.mean((radius - 0.4) ** 2)) < 0.006


def test_empty_masks_are_an_engine_error(ball):
    views = tuple(replace(v, mask=np.zeros_like(v.mask)) for v in ball.views)
    with pytest.raises(EngineError) as caught:
        reconstruct_surface(replace(ball, views=views), SMALL)
    assert caught.value.reason == "empty_masks"


def test_contradicting_views_are_an_engine_error(ball):
    aside = np.eye(4)
    aside[:3, 3] = 1.2 * ball.views[0].camera.c2w[:3, 0]
    views = (replace(ball.views[0], camera=ball.views[0].camera.transformed(aside)), *ball.views[1:])
    with pytest.raises(EngineError) as caught:
        reconstruct_surface(replace(ball, views=views), SMALL)
    assert caught.value.reason == "empty_surface"


def test_cancellation_is_noticed(ball):
    with pytest.raises(Cancelled):
        reconstruct_surface(ball, SMALL, Context(is_cancelled=lambda: True))
