"""Laws of remeshing: closed, of the same genus, in the same place, with better triangles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import trimesh

from meshwright.engines.nvdiffrec.remesh import least_angles, remeshed
from meshwright.geometry.mesh import Mesh
from meshwright.surface.extract import signed_volume
from meshwright.surface.simplify import health, simplify
from surface.solids import box, sphere, torus

Distance = Callable[[np.ndarray], np.ndarray]


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, float), np.asarray(shape.faces, np.int32))


def jittered() -> Mesh:
    """A ball whose vertices lie anywhere on it, as long as no face turns over."""
    ball = mesh_of(trimesh.creation.icosphere(3, 0.35))
    moved = ball.vertices + np.random.default_rng(0).normal(scale=0.009, size=ball.vertices.shape)
    return Mesh(0.35 * moved / np.linalg.norm(moved, axis=1, keepdims=True), ball.faces)


def collapsed() -> Mesh:
    """A torus as quadric collapse leaves it, with slivers."""
    return simplify(mesh_of(trimesh.creation.torus(0.28, 0.1, 160, 80)), 3000)


CASES: dict[str, tuple[Mesh, Distance, float]] = {
    "jittered ball": (jittered(), sphere(0.35), 0.006),
    "poles of a ball": (mesh_of(trimesh.creation.uv_sphere(0.35)), sphere(0.35), 0.004),
    "long faces of a torus": (mesh_of(trimesh.creation.torus(0.28, 0.1, 80, 12)), torus(0.28, 0.1), 0.009),
    "collapsed torus": (collapsed(), torus(0.28, 0.1), 0.003),
    "box": (mesh_of(trimesh.creation.box((0.6, 0.4, 0.5)).subdivide_to_size(0.06)), box((0.3, 0.2, 0.25)), 1e-9),
}


@pytest.mark.parametrize("name", list(CASES))
def test_triangles_get_better_and_the_surface_stays(name: str) -> None:
    mesh, distance, bound = CASES[name]
    got = remeshed(mesh)
    found = health(got)
    assert (found["watertight"], found["manifold"]) == (True, True)
    assert found["euler"] == health(mesh)["euler"]
    assert least_angles(got).min() > 1.05 * least_angles(mesh).min()
    assert least_angles(got).min() > 20 or name == "collapsed torus"
    assert least_angles(got).mean() > least_angles(mesh).mean()
    assert np.abs(distance(got.vertices)).max() < np.abs(distance(mesh.vertices)).max() + bound
    assert signed_volume(got) == pytest.approx(signed_volume(mesh), rel=0.02)


def test_slivers_go() -> None:
    before, after = health(collapsed()), health(remeshed(collapsed()))
    assert before["slivers"] > 0
    assert after["slivers"] == 0


def test_edges_become_as_long_as_asked() -> None:
    mesh = mesh_of(trimesh.creation.icosphere(3, 0.35))
    for length in (0.03, 0.08):
        got = remeshed(mesh, length, rounds=6)
        corners = got.vertices[got.faces]
        sides = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2)
        assert np.median(sides) == pytest.approx(length, rel=0.25)
        assert sides.max() < 2 * length


def test_the_corners_and_edges_of_a_box_stay() -> None:
    mesh = CASES["box"][0]
    got = remeshed(mesh)
    corners = 0.5 * np.array(np.meshgrid([-0.6, 0.6], [-0.4, 0.4], [-0.5, 0.5])).reshape(3, -1).T
    assert np.linalg.norm(got.vertices[:, None] - corners, axis=2).min(0).max() < 1e-12
    assert signed_volume(got) == pytest.approx(0.12, rel=1e-9)


def test_the_same_mesh_comes_out_each_time() -> None:
    one, other = remeshed(jittered()), remeshed(jittered())
    assert np.array_equal(one.vertices, other.vertices)
    assert np.array_equal(one.faces, other.faces)


def test_a_mesh_without_faces_stays() -> None:
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    assert remeshed(empty) is empty
    assert len(remeshed(mesh_of(trimesh.creation.box((1, 1, 1))), 10.0).faces) >= 4
