"""Laws of the z-buffer: equal to the exact twin, watertight, deterministic, safe on bad input."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.errors import InputError
from meshwright.rendering.visibility import visibility
from meshwright.rendering.visibility_reference import cover, visibility_reference


def soup(rng: np.random.Generator, n_faces: int, size: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    centre = rng.uniform(-0.3, 1.3, (n_faces, 1, 2)) * size
    xy = centre + rng.normal(0, spread, (n_faces, 3, 2))
    key = rng.uniform(0.2, 2.0, (n_faces, 3, 1))
    return np.concatenate([xy, key], -1).reshape(-1, 3), np.arange(3 * n_faces, dtype=np.int32).reshape(-1, 3)


@pytest.mark.parametrize("spread", [0.4, 3.0, 25.0])
@pytest.mark.parametrize("shape", [(24, 40), (33, 17)])
def test_random_soup_equals_exact_twin(spread: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    views, faces = zip(*(soup(rng, 120, max(shape), spread) for _ in range(2)), strict=True)
    screen = np.stack(views)
    got = visibility(screen, faces[0], *shape)
    assert got.dtype == np.int32
    assert (got >= 0).any()
    np.testing.assert_array_equal(got, visibility_reference(screen, faces[0], *shape))


def test_half_pixel_lattice_equals_exact_twin() -> None:
    """Corners and edges that run exactly through pixel centres: every sample on them is a tie."""
    rng = np.random.default_rng(3)
    xy = rng.integers(0, 24, (240, 2)) / 2
    screen = np.column_stack([xy, rng.integers(1, 4, 240).astype(float)])[None]
    faces = rng.integers(0, 240, (150, 3)).astype(np.int32)
    np.testing.assert_array_equal(visibility(screen, faces, 12, 12), visibility_reference(screen, faces, 12, 12))


def fan_of_triangles() -> tuple[np.ndarray, np.ndarray]:
    """A 12 x 12 square cut into triangles with corners on pixel centres, all round inner vertices of any degree."""
    rng = np.random.default_rng(11)
    x, y = np.meshgrid(np.arange(7) * 2.0, np.arange(7) * 2.0)
    xy = np.stack([x, y], -1).reshape(-1, 2) + 0.5
    inner = (xy > 1).all(1) & (xy < 12).all(1)
    xy[inner] += rng.integers(-1, 2, (inner.sum(), 2)) * 0.5
    faces = []
    for j in range(6):
        for i in range(6):
            a = 7 * j + i
            faces += (
                [(a, a + 1, a + 8), (a, a + 8, a + 7)]
                if rng.random() < 0.5
                else [(a, a + 1, a + 7), (a + 1, a + 8, a + 7)]
            )
    return np.column_stack([xy, np.ones(len(xy))]), np.array(faces, np.int32)


def test_every_sample_of_a_tiling_belongs_to_exactly_one_face() -> None:
    points, faces = fan_of_triangles()
    hits = np.zeros((13, 13), int)
    single = np.zeros((13, 13), int)
    for face in faces:
        hits += cover(points[face], 13, 13)[0]
        single += visibility(points[None], face[None], 13, 13)[0] >= 0
    expected = np.zeros((13, 13), int)
    expected[:12, :12] = 1  # corners at 0.5 and 12.5: the right and the bottom border are not inside
    np.testing.assert_array_equal(hits, expected)
    np.testing.assert_array_equal(single, expected)


def test_closed_convex_mesh_is_hit_twice_or_never() -> None:
    from scipy.spatial import ConvexHull

    rng = np.random.default_rng(5)
    directions = rng.normal(size=(60, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = directions * 9.7 + np.array([10.3, 11.1, 20.0])
    hits = sum(
        (visibility(points[None], face[None].astype(np.int32), 22, 21)[0] >= 0).astype(int)
        for face in ConvexHull(points).simplices
    )
    assert set(np.unique(hits)) == {0, 2}


def test_equal_keys_go_to_the_lowest_id_in_any_corner_order() -> None:
    rng = np.random.default_rng(2)
    points = np.column_stack([rng.uniform(0, 30, (3, 2)), [0.7, 0.31, 1.3]])[None]
    first = visibility(points, np.array([[0, 1, 2]], np.int32), 30, 30)
    assert (first == 0).sum() > 10
    for order in ([0, 1, 2], [1, 2, 0], [2, 1, 0], [0, 2, 1]):
        np.testing.assert_array_equal(
            visibility(points, np.array([order, [2, 0, 1], [1, 0, 2]], np.int32), 30, 30), first
        )


def test_nearer_key_wins_whatever_the_order() -> None:
    square = np.array([[0, 0], [9, 0], [0, 9.0]])
    points = np.concatenate([np.column_stack([square, np.full(3, key)]) for key in (0.5, 2.0, 1.0)])[None]
    ids = visibility(points, np.arange(9, dtype=np.int32).reshape(3, 3), 8, 8)
    assert set(np.unique(ids)) == {-1, 1}


def test_bands_and_views_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, faces = soup(np.random.default_rng(1), 200, 40, 8)
    results = []
    for workers in (1, 2, 5, 64):
        monkeypatch.setattr("meshwright.rendering.visibility.worker_count", lambda n=workers: n)
        results.append(visibility(np.stack([screen, screen[::-1]]), faces, 37, 41))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_nothing_to_draw_is_empty() -> None:
    none = np.zeros((0, 3), np.int32)
    assert (visibility(np.ones((2, 5, 3)), none, 4, 6) == -1).all()
    assert (visibility(np.zeros((2, 0, 3)), none, 4, 6) == -1).all()
    assert visibility(np.zeros((0, 5, 3)), none, 4, 6).shape == (0, 4, 6)
    assert visibility(np.zeros((1, 5, 3)), none, 0, 0).shape == (1, 0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_face_with_an_unusable_vertex_is_dropped_alone(bad: float) -> None:
    square = np.array([[0, 0, 1], [9, 0, 1], [0, 9, 1], [0, 0, 2], [9, 0, bad], [0, 9, 2.0]])
    ids = visibility(square[None], np.arange(6, dtype=np.int32).reshape(2, 3), 8, 8)
    assert set(np.unique(ids)) == {-1, 0}


def test_huge_coordinates_neither_crash_nor_hang() -> None:
    points = np.array([[-1e300, -1e300, 1], [1e300, 0, 1], [0, 1e300, 1], [-2e4, -1e4, 1], [3e4, 0, 1], [0, 3e4, 1.0]])
    ids = visibility(points[None], np.arange(6, dtype=np.int32).reshape(2, 3), 20, 20)
    assert (ids >= 0).all()


@pytest.mark.parametrize("index", [-1, 3, 2**31 - 1])
def test_face_index_out_of_range_is_a_typed_error(index: int) -> None:
    with pytest.raises(InputError) as caught:
        visibility(np.ones((1, 3, 3)), np.array([[0, 1, index]]), 4, 4)
    assert caught.value.reason == "face_index_out_of_range"
