"""Counts of mesh health on meshes whose faults are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.geometry.mesh import TexturedMesh, vertex_normals
from meshwright.quality.health import mesh_health, signed_volume

CORNERS = np.array([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)])
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
CUBE = np.array([[q[0], q[i], q[i + 1]] for q in QUADS for i in (1, 2)], np.int32)


def textured(vertices: np.ndarray, faces: np.ndarray) -> TexturedMesh:
    return TexturedMesh(vertices, faces, vertex_normals(vertices, faces))


def test_a_cube_is_sound():
    health = mesh_health(textured(CORNERS, CUBE))
    assert (health.watertight, health.winding_consistent, health.outward) == (True, True, True)
    assert (health.components, health.boundary_edges, health.non_manifold_edges) == (1, 0, 0)
    assert health.complaints == []
    assert signed_volume(CORNERS, CUBE) == pytest.approx(1.0)


def test_splitting_along_seams_changes_nothing_but_the_vertex_count():
    split = textured(CORNERS[CUBE].reshape(-1, 3), np.arange(36, dtype=np.int32).reshape(-1, 3))
    whole = mesh_health(textured(CORNERS, CUBE))
    assert mesh_health(split) == replace(whole, vertices=36)


def test_a_missing_face_opens_three_edges():
    health = mesh_health(textured(CORNERS, CUBE[1:]))
    assert (health.watertight, health.boundary_edges, health.outward) == (False, 3, None)
    assert "open" in health.complaints[0]


def test_a_flipped_face_breaks_the_winding_only():
    faces = CUBE.copy()
    faces[3] = faces[3][::-1]
    health = mesh_health(textured(CORNERS, faces))
    assert (health.watertight, health.winding_consistent) == (True, False)


def test_an_inside_out_cube_is_named():
    assert mesh_health(textured(CORNERS, CUBE[:, ::-1])).complaints == ["the mesh is inside out"]


def test_two_cubes_on_one_edge_are_not_manifold():
    both = np.concatenate([CORNERS, CORNERS + np.array([1, 1, 0])])
    health = mesh_health(textured(both, np.concatenate([CUBE, CUBE + 8])))
    assert (health.non_manifold_edges, health.components) == (1, 1)


def test_a_fin_makes_its_edge_one_of_three_faces():
    fin = np.concatenate([CORNERS, [[2.0, 2, 2]]])
    health = mesh_health(textured(fin, np.concatenate([CUBE, np.array([[1, 3, 8]], np.int32)])))
    assert (health.non_manifold_edges, health.boundary_edges, health.watertight) == (1, 2, False)


def test_apart_cubes_are_two_components_and_degenerate_faces_are_counted_apart():
    both = np.concatenate([CORNERS, CORNERS + 5.0])
    faces = np.concatenate([CUBE, CUBE + 8, np.array([[0, 1, 1], [0, 0, 0]], np.int32)])
    health = mesh_health(textured(both, faces))
    assert (health.components, health.degenerate_faces, health.watertight) == (2, 2, True)


def test_an_empty_mesh_has_a_health():
    health = mesh_health(textured(np.zeros((0, 3)), np.zeros((0, 3), np.int32)))
    assert (health.faces, health.components, health.watertight) == (0, 0, False)
