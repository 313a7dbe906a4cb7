"""Laws of the ids: equal to the exact twin and to the preview's z-buffer, watertight, independent of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from meshwright.rendering.differentiable import CameraBatch, numba_backend, rasterize
from meshwright.rendering.raster import project_vertices
from meshwright.rendering.visibility import visibility
from rendering.differentiable.soups import Soup, soup
from rendering.scenes import bumpy_ball, three_cameras

KINDS = [(spread, shared) for spread in (0.4, 3.0, 25.0) for shared in (False, True)]


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize(("spread", "shared"), KINDS)
def test_ids_of_a_soup_are_those_of_the_exact_twin(spread: float, shared: bool, perspective: bool) -> None:
    scene = soup(3, spread, shared=shared, perspective=perspective)
    ids = scene.ids()
    assert ids.dtype == torch.int32
    assert (ids >= 0).any()
    assert torch.equal(ids, scene.reference_ids())


def test_corners_on_pixel_centres_are_ties_decided_as_in_the_twin() -> None:
    rng = np.random.default_rng(3)
    xy, z = rng.integers(0, 24, (1, 200, 2)) / 2, rng.integers(1, 4, (1, 200, 1))
    screen = torch.tensor(np.concatenate([xy * z, z], -1), dtype=torch.float32)
    faces = torch.tensor(rng.integers(0, 200, (150, 3)), dtype=torch.int32)
    scene = Soup(screen, faces, 12, 12, True)
    assert torch.equal(scene.ids(), scene.reference_ids())


@pytest.mark.parametrize("name", list(three_cameras()))
def test_ids_are_those_of_the_previews(name: str) -> None:
    camera = three_cameras()[name]
    vertices, faces = bumpy_ball(600)
    batch = CameraBatch.of([camera])
    points = batch.project(torch.tensor(vertices))
    seen = rasterize(points, torch.tensor(faces), camera.height, camera.width, batch.perspective)
    expected = visibility(project_vertices(vertices, camera).points[None], faces, camera.height, camera.width)
    assert (seen.face_id.numpy() == expected).mean() > 0.998  # float32 against float64 vertices
    assert (expected >= 0).sum() > 500


def tiling() -> tuple[np.ndarray, np.ndarray]:
    """A triangulation of the square from 1 to 31, of random points, some of them on pixel centres."""
    rng = np.random.default_rng(5)
    corners = np.array([[1.0, 1], [31, 1], [1, 31], [31, 31]])
    xy = np.concatenate([corners, rng.uniform(2, 30, (60, 2)), rng.integers(2, 30, (60, 2)) + 0.5])
    return xy, Delaunay(xy).simplices.astype(np.int32)


@pytest.mark.parametrize("perspective", [True, False])
def test_every_sample_of_a_tiling_belongs_to_exactly_one_face(perspective: bool) -> None:
    xy, faces = tiling()
    z = np.random.default_rng(1).uniform(1, 3, (len(xy), 1))
    screen = torch.tensor(np.concatenate([xy * z if perspective else xy, z], -1), dtype=torch.float32)[None]
    hits = torch.zeros(32, 32)
    for face in faces:
        hits += numba_backend.visibility(screen, torch.tensor(face[None]), 32, 32, perspective)[0] >= 0
    assert hits[1:31, 1:31].eq(1).all()
    assert hits.sum() == 900


def test_a_closed_mesh_is_hit_an_even_number_of_times_everywhere() -> None:
    vertices, faces = bumpy_ball(200, 0.3)
    screen = CameraBatch.of([three_cameras()["off_centre"]]).project(torch.tensor(vertices, dtype=torch.float32))
    hits = torch.zeros(47, 61, dtype=torch.int64)
    for face in faces:
        hits += numba_backend.visibility(screen, torch.tensor(face[None]), 47, 61, True)[0] >= 0
    assert (hits % 2 == 0).all()
    assert hits.max() >= 2


def test_triangles_that_reach_far_out_of_the_image_stay_watertight() -> None:
    """Beyond 8192 px edge functions are rounded, but in the same way for both faces of an edge."""
    rng = np.random.default_rng(0)
    inner = np.array([[15.3, 16.2]])
    angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
    ring = inner + rng.uniform(1e5, 1e7, (40, 1)) * np.stack([np.cos(angles), np.sin(angles)], -1)
    xy = np.concatenate([inner, ring])
    screen = torch.tensor(np.column_stack([xy, np.ones(41)]), dtype=torch.float32)[None]
    hits = torch.zeros(32, 32)
    for k in range(40):
        face = np.roll([0, 1 + k, 1 + (k + 1) % 40], k).astype(np.int32)[None]
        hits += numba_backend.visibility(screen, torch.tensor(face), 32, 32, True)[0] >= 0
    assert hits.eq(1).all()


def test_equal_faces_go_to_the_lowest_id_in_any_corner_order() -> None:
    scene = soup(8, 9.0, n_faces=1, views=1)
    alone = scene.ids()
    faces = torch.tensor([[1, 2, 0], [2, 1, 0], [0, 1, 2], [0, 2, 1]], dtype=torch.int32)
    assert torch.equal(numba_backend.visibility(scene.screen, faces, 24, 40, True), alone)


@pytest.mark.parametrize("views", [0, 1, 3])
def test_threads_and_bands_do_not_change_ids_or_gradients(views: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = soup(1, 5.0, shared=True, views=views)
    attributes, grad = torch.rand(1, 60, 2), torch.rand(views, 24, 40, 2)
    results: list[tuple[torch.Tensor, ...]] = []
    for workers in (1, 2, 5):
        monkeypatch.setattr("meshwright.rendering.differentiable.numba_backend.worker_count", lambda n=workers: n)
        ids = scene.ids()
        given = scene.screen, scene.faces, ids
        image = numba_backend.interpolate(*given, attributes, True)
        to_screen, to_attributes = numba_backend.interpolate_backward(*given, attributes, grad, True, True, True)
        edges = numba_backend.edge_backward(scene.screen, scene.faces, scene.neighbours, ids, image, grad, True)
        assert to_screen is not None
        assert to_attributes is not None
        results.append((ids, image, to_screen, to_attributes, edges))
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("views", "n_faces"), [(0, 3), (2, 0), (0, 0)])
def test_nothing_to_draw_is_empty(views: int, n_faces: int) -> None:
    faces = torch.zeros((n_faces, 3), dtype=torch.int64)
    seen = rasterize(torch.ones(views, 4, 3), faces, 5, 7)
    assert seen.face_id.shape == (views, 5, 7)
    assert (seen.face_id == -1).all()
    assert seen.mask.sum() == 0
