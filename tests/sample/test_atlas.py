"""Laws of the box atlas: every face has texels of its own, inside the atlas, little stretched."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.geometry.mesh import Mesh
from meshwright.sample.atlas import Atlas, box_atlas, face_neighbours, shelves
from meshwright.sample.robot import robot
from meshwright.sample.solid import extract

SIZE = 512


@pytest.fixture(scope="module")
def unwrapped() -> tuple[Mesh, Atlas]:
    solid = robot()
    mesh = extract(solid.distance, np.array(solid.low), np.array(solid.high), 56)
    return mesh, box_atlas(mesh, SIZE)


def signed_areas(corner: np.ndarray) -> np.ndarray:
    a, b = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def test_charts_do_not_overlap(unwrapped: tuple[Mesh, Atlas]) -> None:
    from meshwright.geometry.camera import Camera
    from meshwright.rendering.raster import rasterize

    _, atlas = unwrapped
    flat = np.column_stack([atlas.texels, np.ones(len(atlas.texels))])
    ids = rasterize(flat, atlas.faces, Camera(np.eye(3), np.eye(4), SIZE, SIZE, "orthographic")).face_id
    drawn = np.count_nonzero(ids >= 0)
    total = np.abs(signed_areas(atlas.texels[atlas.faces])).sum()
    # two charts on one texel would be drawn once and counted twice
    assert drawn == pytest.approx(total, rel=0.01)


def test_charts_are_not_mirrored_and_little_stretched(unwrapped: tuple[Mesh, Atlas]) -> None:
    mesh, atlas = unwrapped
    areas = signed_areas(atlas.texels[atlas.faces])
    assert np.all(areas < 1e-9)  # v runs downwards
    true = (
        np.linalg.norm(
            np.cross(*(mesh.vertices[mesh.faces[:, k]] - mesh.vertices[mesh.faces[:, 0]] for k in (1, 2))), axis=1
        )
        / 2
    )
    stretch = -areas / np.maximum(true * atlas.texels_per_unit**2, 1e-12)
    assert stretch.min() > 0.29
    assert np.median(stretch) > 0.8


def test_texels_lie_inside_and_vertices_keep_their_place(unwrapped: tuple[Mesh, Atlas]) -> None:
    mesh, atlas = unwrapped
    assert atlas.texels.min() >= 0
    assert atlas.texels.max() <= SIZE
    np.testing.assert_array_equal(atlas.source[atlas.faces], mesh.faces)


def test_neighbours_are_mutual(unwrapped: tuple[Mesh, Atlas]) -> None:
    near = face_neighbours(unwrapped[0].faces)
    back = near[near]  # (m, 3, 3)
    assert np.all((back == np.arange(len(near))[:, None, None]).any(2))


def test_shelves_refuse_what_does_not_fit() -> None:
    boxes = np.array([[60.0, 60.0], [60.0, 30.0]])
    assert shelves(boxes, 100) is not None
    assert shelves(boxes, 80) is None
