"""Laws of signed distances: known answers, slope one, blends stay below the plain union."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.sample import distance as sd

POINTS = np.random.default_rng(0).uniform(-2, 2, (400, 3))
SOLIDS = {
    "sphere": lambda p: sd.sphere(p, (0.1, 0, 0), 0.7),
    "capsule": lambda p: sd.capsule(p, (-1, 0, 0), (1, 0.5, 0), 0.2),
    "box": lambda p: sd.rounded_box(p, (0, 0.2, 0), (0.5, 0.8, 0.3), 0.1),
    "cylinder": lambda p: sd.rounded_cylinder(p, (0, 0, 0.3), 1, 0.6, 0.9, 0.05),
    "torus": lambda p: sd.torus(p, (0, 0, 0), 2, 0.8, 0.2),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_gradient_has_length_one(name: str) -> None:
    solid, h = SOLIDS[name], 1e-5
    slope = np.stack([(solid(POINTS + h * e) - solid(POINTS - h * e)) / (2 * h) for e in np.eye(3)], 1)
    away_from_edges = np.abs(np.linalg.norm(slope, axis=1) - 1) < 1e-3
    assert away_from_edges.mean() > 0.97


def test_known_distances() -> None:
    at = np.array([[3.0, 0.0, 0.0]])
    assert sd.sphere(at, (0, 0, 0), 1.0) == pytest.approx(2.0)
    assert sd.capsule(at, (-1, 0, 0), (1, 0, 0), 0.5) == pytest.approx(1.5)
    assert sd.rounded_box(at, (0, 0, 0), (1, 1, 1), 0.2) == pytest.approx(2.0)
    assert sd.rounded_cylinder(at, (0, 0, 0), 0, 0.4, 1.0, 0.1) == pytest.approx(2.0)
    assert sd.torus(at, (0, 0, 0), 2, 1.0, 0.25) == pytest.approx(1.75)


def test_smooth_union_adds_a_fillet_and_nothing_far_away() -> None:
    a, b = SOLIDS["sphere"](POINTS), SOLIDS["box"](POINTS)
    blended, plain = sd.smooth_union(a, b, 0.2), np.minimum(a, b)
    assert np.all(blended <= plain)
    assert np.all(blended >= plain - 0.05 - 1e-12)
    far = np.abs(a - b) > 0.2
    np.testing.assert_array_equal(blended[far], plain[far])


def test_difference_is_outside_of_what_was_cut() -> None:
    a, b = SOLIDS["box"](POINTS), SOLIDS["sphere"](POINTS)
    assert np.all(sd.smooth_difference(a, b, 0.1) >= np.maximum(a, -b) - 1e-12)


def test_turned_goes_counter_clockwise() -> None:
    tip = sd.turned(np.array([[0.0, 1.0, 0.0]]), 90, 2)
    np.testing.assert_allclose(tip, [[1.0, 0.0, 0.0]], atol=1e-12)
