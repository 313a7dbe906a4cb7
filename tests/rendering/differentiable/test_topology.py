"""Laws of face neighbours: mutual, across the right edge, none at borders and where more than two faces meet."""

from __future__ import annotations

import numpy as np
import torch

from meshwright.rendering.differentiable.topology import face_neighbours, neighbours_of
from rendering.scenes import bumpy_ball


def test_neighbours_share_exactly_that_edge_and_know_each_other() -> None:
    _, faces = bumpy_ball(400)
    beside = face_neighbours(torch.tensor(faces)).numpy()
    assert beside.dtype == np.int32
    assert (beside >= 0).all()  # the ball is closed
    for f, row in enumerate(beside):
        for e, other in enumerate(row):
            edge = {faces[f, e], faces[f, (e + 1) % 3]}
            assert edge <= set(faces[other])
            assert f in beside[other]


def test_borders_and_edges_of_three_faces_have_no_neighbour() -> None:
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [4, 5, 6], [5, 4, 7], [4, 5, 8]])
    assert face_neighbours(faces).tolist() == [[-1, 1, -1], [0, -1, -1], [-1] * 3, [-1] * 3, [-1] * 3]


def test_a_face_that_names_a_vertex_twice_does_not_stand_between_others() -> None:
    faces = torch.tensor([[0, 1, 2], [1, 1, 2], [3, 2, 1]])
    assert face_neighbours(faces).tolist() == [[-1, 2, -1], [-1] * 3, [-1, 0, -1]]


def test_no_faces_have_no_neighbours() -> None:
    assert face_neighbours(torch.zeros(0, 3, dtype=torch.int32)).shape == (0, 3)


def test_neighbours_are_remembered_until_the_faces_change() -> None:
    faces = torch.tensor([[0, 1, 2], [2, 1, 3]])
    first = neighbours_of(faces)
    assert neighbours_of(faces) is first
    faces[1] = torch.tensor([4, 5, 6])
    assert neighbours_of(faces).tolist() == [[-1] * 3] * 2
