"""Laws of the volume: shapes of any topology come back from a sphere, holes open, and the result is never empty."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.engines.nvdiffrec.observations import Observations, observe
from meshwright.engines.nvdiffrec.shape import Misfit, ShapeProblem
from meshwright.engines.nvdiffrec.volume import VolumeOptions, shape_from_volume
from meshwright.engines.nvdiffrec.volume_grid import BAND, VolumeGrid
from meshwright.engines.nvdiffrec.volume_level import coarsened
from meshwright.errors import Cancelled
from meshwright.geometry.mesh import Mesh
from meshwright.progress import Context
from meshwright.surface.extract import signed_volume
from meshwright.surface.simplify import health
from surface.solids import capture_of, sphere, torus

SIZE = 96
CPU = torch.device("cpu")
TORUS = torus(0.28, 0.1)
QUICK = VolumeOptions((20,), (8,))


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, float), np.asarray(shape.faces, np.int32))


@pytest.fixture(scope="module")
def ring() -> CalibratedCapture:
    return capture_of(TORUS, 1.0, SIZE)


@pytest.fixture(scope="module")
def seen(ring: CalibratedCapture) -> Observations:
    return observe(ring, SIZE)


def misfit(mesh: Mesh, seen: Observations) -> Misfit:
    return ShapeProblem(mesh, seen).data_terms(mesh.vertices)[2]


def assert_sound(mesh: Mesh, euler: int) -> None:
    found = health(mesh)
    assert (found["watertight"], found["manifold"], found["euler"]) == (True, True, euler)
    assert signed_volume(mesh) > 0


# The optimisation.


def test_a_torus_comes_from_a_sphere(ring: CalibratedCapture, seen: Observations) -> None:
    got = shape_from_volume(None, seen, ring.bounds, QUICK, Context())
    assert_sound(got, euler=0)
    assert np.abs(TORUS(got.vertices)).mean() < 0.004  # a tenth of a cube
    assert misfit(got, seen).mask_iou > 0.97


def test_the_same_mesh_comes_out_each_time(ring: CalibratedCapture, seen: Observations) -> None:
    options = VolumeOptions((12, 16), (2, 2))
    one, other = (shape_from_volume(None, seen, ring.bounds, options, Context()) for _ in range(2))
    assert np.array_equal(one.vertices, other.vertices)
    assert np.array_equal(one.faces, other.faces)


def test_a_hole_that_the_start_lacks_opens(ring: CalibratedCapture, seen: Observations) -> None:
    start = mesh_of(trimesh.creation.cylinder(0.37, 0.19, sections=48))
    assert health(start)["euler"] == 2
    assert_sound(shape_from_volume(start, seen, ring.bounds, QUICK, Context()), euler=0)


def test_outlines_alone_give_a_ball_where_their_hull_has_ridges() -> None:
    """The hull of six outlines of a ball has edges, up to 1.2 radii from its centre."""
    capture = capture_of(sphere(0.35), 1.0, SIZE, with_depth=False)
    views = observe(capture, SIZE)
    got = shape_from_volume(None, views, capture.bounds, VolumeOptions((20,), (20,)), Context())
    assert_sound(got, euler=2)
    assert misfit(got, views).mask_iou > 0.97
    assert np.abs(sphere(0.35)(got.vertices)).max() < 0.03


def test_a_start_that_explains_the_views_better_stays(ring: CalibratedCapture, seen: Observations) -> None:
    start = mesh_of(trimesh.creation.torus(0.28, 0.1, 60, 30))
    assert shape_from_volume(start, seen, ring.bounds, VolumeOptions((10,), (1,)), Context()) is start


def test_masks_that_no_solid_fits_still_give_a_mesh(ring: CalibratedCapture, seen: Observations) -> None:
    masks = torch.zeros_like(seen.masks)
    masks[::2, :20, :20] = 1
    masks[1::2, -20:, -20:] = 1
    spoilt = replace(seen, masks=masks, trust=torch.zeros_like(seen.trust))
    assert len(shape_from_volume(None, spoilt, ring.bounds, VolumeOptions((10,), (2,)), Context()).faces) > 0


def test_a_deadline_that_has_passed_leaves_one_step_or_the_start(ring: CalibratedCapture, seen: Observations) -> None:
    told: list[str] = []
    context = Context(on_progress=lambda event: told.append(event.message))
    past, many = time.monotonic() - 1, VolumeOptions((20, 64), (1000, 1000))
    assert len(shape_from_volume(None, seen, ring.bounds, many, context, past).faces) > 0
    assert len(told) == 2
    start = mesh_of(trimesh.creation.icosphere(2, 0.3))
    assert shape_from_volume(start, seen, ring.bounds, many, context, past) is start


def test_it_can_be_cancelled_and_tells_how_far_it_is(ring: CalibratedCapture, seen: Observations) -> None:
    told: list[float] = []
    context = Context(lambda event: told.append(event.fraction), lambda: len(told) > 4)
    before = torch.get_num_threads()
    with pytest.raises(Cancelled):
        shape_from_volume(None, seen, ring.bounds, QUICK, context)
    assert torch.get_num_threads() == before
    assert told == sorted(told)
    assert 0 < told[-1] < 1


# The grid.


def test_distances_to_a_mesh_are_those_to_the_solid() -> None:
    grid = VolumeGrid.around(np.array([[-0.5] * 3, [0.5] * 3]), 24, CPU)
    found = grid.distance(mesh_of(trimesh.creation.torus(0.28, 0.1, 90, 60))).numpy()
    cut = BAND * grid.cube
    assert np.abs(found - np.clip(TORUS(grid.points.numpy()), -cut, cut)).max() < 0.05 * grid.cube


def test_what_the_views_prove_free_is_free(ring: CalibratedCapture, seen: Observations) -> None:
    grid = VolumeGrid.around(np.asarray(ring.bounds), 24, CPU)
    free, truth = grid.free(seen).numpy(), TORUS(grid.points.numpy())
    pixel = 2 * np.tan(np.radians(25)) * 1.3 / SIZE
    assert truth[free > 0].min() > -pixel
    assert (free[truth > 0.1] > 0).all()  # six views leave little room here, and none in the hole
    outlines = replace(seen, trust=torch.zeros_like(seen.trust))
    assert (grid.free(outlines).numpy() - truth).max() < 1.5 * pixel  # the distance is a bound, too


def test_the_smooth_solve_solves() -> None:
    grid = VolumeGrid.around(np.array([[-0.5] * 3, [0.5, 0.3, 0.4]]), 8, CPU)
    random = torch.Generator().manual_seed(0)
    right, diagonal = (torch.rand(len(grid.points), dtype=torch.float64, generator=random) for _ in range(2))
    found = grid.smooth_solve(right, diagonal, 0.3, 200)
    again = grid.bent(found, 0.3) + diagonal * found
    assert float((again - right).norm()) < 2e-3 * float(right.norm())


def test_coarse_images_show_the_same_scene(seen: Observations) -> None:
    small = coarsened(seen, 0.1)
    assert small.masks.shape[1] < seen.masks.shape[1]
    assert float(small.masks.mean()) == pytest.approx(float(seen.masks.mean()), rel=1e-5)
    mesh = mesh_of(trimesh.creation.torus(0.28, 0.1, 60, 30))
    assert misfit(mesh, small).mask_iou > 0.93
    assert float((small.sigma - 0.05).abs().max()) < 1e-6
