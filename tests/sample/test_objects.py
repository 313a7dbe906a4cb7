"""The objects are closed, normalised, repeatable, and as asymmetric as they promise."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.errors import InputError
from meshwright.geometry.mesh import TexturedMesh, weld
from meshwright.sample import robot
from meshwright.sample.objects import SUMMARIES, sample_object
from meshwright.sample.scene import Sample

CELLS = {"robot": 56, "bottle": 48, "scissors": 200}
LOOPS = {"robot": 1, "bottle": 0, "scissors": 2}  # the handle; none; the two rings


@pytest.fixture(scope="module")
def meshes() -> dict[str, TexturedMesh]:
    return {name: sample_object(name, texture_size=256, cells=CELLS[name]) for name in SUMMARIES}


def edge_uses(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    return np.unique(edges, axis=0, return_counts=True)


@pytest.mark.parametrize("name", SUMMARIES)
def test_surface_is_closed_oriented_and_has_the_promised_loops(meshes: dict[str, TexturedMesh], name: str) -> None:
    solid = weld(meshes[name].vertices, meshes[name].faces)
    edges, counts = edge_uses(solid.faces)
    assert np.all(counts == 1)
    assert set(map(tuple, edges)) == set(map(tuple, edges[:, ::-1]))
    euler = len(solid.vertices) - len(edges) // 2 + len(solid.faces)
    assert euler == 2 - 2 * LOOPS[name]
    a, b, c = (solid.vertices[solid.faces[:, k]] for k in range(3))
    assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0


@pytest.mark.parametrize("name", SUMMARIES)
def test_box_is_centred_with_diagonal_one(meshes: dict[str, TexturedMesh], name: str) -> None:
    low, high = meshes[name].vertices.min(0), meshes[name].vertices.max(0)
    np.testing.assert_allclose(low + high, 0, atol=1e-9)
    assert np.linalg.norm(high - low) == pytest.approx(1)


def test_same_seed_same_bytes_other_seed_other_paint() -> None:
    one, two, other = (sample_object(texture_size=128, cells=40, seed=seed) for seed in (3, 3, 4))
    assert one.vertices.tobytes() == two.vertices.tobytes()
    assert one.texture is not None
    assert two.texture is not None
    assert other.texture is not None
    assert one.texture.tobytes() == two.texture.tobytes()
    assert one.texture.tobytes() != other.texture.tobytes()


def test_unknown_object_is_refused() -> None:
    with pytest.raises(InputError, match="teapot") as caught:
        sample_object("teapot")
    assert caught.value.reason == "unknown_object"


def test_bowl_is_hollow_and_antenna_thin() -> None:
    inside_bowl = np.array([[0.06, 0.5, 0.0], [0.06, -0.1, 0.0]])
    below_bowl = np.array([[0.06, -0.6, 0.0]])
    assert np.all(robot.distance(inside_bowl) > 0.15)
    assert np.all(robot.distance(below_bowl) < -0.1)
    across = np.linspace(-0.2, 0.2, 2001)
    line = np.array([-0.85, 1.24, -0.29]) + across[:, None] * np.array([0.0, 0.0, 1.0])
    width = np.ptp(across[robot.distance(line) < 0]) / 4.26  # the robot's diagonal
    assert 0.014 < width < 0.02


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_no_mirror_image_fits_the_robot(robot_sample: Sample, axis: int) -> None:
    from scipy.spatial import cKDTree

    points = robot_sample.mesh.vertices
    mirrored = points * np.where(np.arange(3) == axis, -1, 1)
    assert cKDTree(points).query(mirrored)[0].max() > 0.05
