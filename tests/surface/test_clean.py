"""Laws of mesh hygiene: pinches are split, doubled edges separated, closedness kept."""

from __future__ import annotations

import numpy as np

from meshwright.geometry.mesh import Mesh
from meshwright.surface.clean import cancel_opposites, drop_pieces, is_manifold, is_watertight, make_manifold
from meshwright.surface.extract import signed_volume
from meshwright.surface.simplify import simplify

CUBE_FACES = np.array(
    [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4],
     [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5]], np.int32
)  # fmt: skip


def cube(corner=(0, 0, 0), size=1.0):
    unit = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    return Mesh(unit * size + corner, CUBE_FACES)


def joined(*meshes):
    """All meshes as one, vertices of equal position merged."""
    vertices = np.concatenate([m.vertices for m in meshes])
    start = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = np.concatenate([m.faces + s for m, s in zip(meshes, start, strict=False)])
    unique, index = np.unique(vertices, axis=0, return_inverse=True)
    return Mesh(unique, index.reshape(-1)[faces].astype(np.int32))


def test_cube_is_a_watertight_manifold():
    assert is_watertight(cube())
    assert is_manifold(cube())
    assert signed_volume(cube()) == 1


def test_missing_or_turned_face_is_noticed():
    assert not is_watertight(Mesh(cube().vertices, CUBE_FACES[1:]))
    turned = CUBE_FACES.copy()
    turned[0] = turned[0, ::-1]
    assert not is_watertight(Mesh(cube().vertices, turned))


def test_cubes_that_share_a_corner_are_split():
    pinched = joined(cube(), cube((1, 1, 1)))
    assert is_watertight(pinched)
    assert not is_manifold(pinched)
    fixed = make_manifold(pinched)
    assert is_manifold(fixed)
    assert len(fixed.vertices) == 16


def test_cubes_that_share_an_edge_are_split():
    fixed = make_manifold(joined(cube(), cube((1, 1, 0))))
    assert is_watertight(fixed)
    assert is_manifold(fixed)
    assert signed_volume(fixed) == 2


def test_ring_of_cubes_with_a_doubled_edge():
    # Two cubes meet at an edge and are joined elsewhere, so no split of vertices alone can part the edge.
    cells = [(0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1)]
    fixed = make_manifold(joined(*(cube(c) for c in cells)))
    assert is_watertight(fixed)
    assert is_manifold(fixed)
    assert abs(signed_volume(fixed) - 5) < 1e-9


def test_opposite_faces_cancel():
    faces = np.array([[0, 1, 2], [2, 1, 0], [0, 1, 3]], np.int32)
    assert cancel_opposites(faces).tolist() == [[0, 1, 3]]


def test_specks_phantoms_and_cavities_go():
    speck = cube((5, 5, 5), 0.01)
    phantom = cube((3, 0, 0), 0.8)
    cavity = Mesh(cube((0.3, 0.3, 0.3), 0.4).vertices, CUBE_FACES[:, ::-1].copy())
    soup = joined(cube(), speck, phantom, cavity)
    seen = ~((soup.vertices[:, 0] >= 3) & (soup.vertices[:, 0] < 4))
    kept = drop_pieces(soup, seen)
    assert len(kept.vertices) == 8
    assert signed_volume(kept) == 1


def test_simplified_mesh_keeps_shape_and_health():
    n = 60
    u, v = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    a, b = 2 * np.pi * u / n, 2 * np.pi * v / n
    ring = np.stack([(2 + np.cos(b)) * np.cos(a), (2 + np.cos(b)) * np.sin(a), np.sin(b)], -1).reshape(-1, 3)
    at = lambda i, j: (i % n) * n + j % n  # noqa: E731
    quads = [(at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)) for i in range(n) for j in range(n)]
    faces = np.array([t for q in quads for t in ((q[0], q[1], q[2]), (q[0], q[2], q[3]))], np.int32)
    full = Mesh(ring, faces)
    small = simplify(full, 1200)
    assert len(small.faces) <= 1200
    assert is_watertight(small)
    assert is_manifold(small)
    assert abs(signed_volume(small) / signed_volume(full) - 1) < 0.02
