"""Rounds can be stopped, run out of time, be taken up again, and never leave what is worse than the start."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from engines.nvdiffrec.test_shape import mesh_of, waves
from meshwright.engines.nvdiffrec.observations import observe
from meshwright.engines.nvdiffrec.refine import Checkpoint, refine
from meshwright.engines.nvdiffrec.shape import ShapeProblem
from meshwright.errors import Cancelled
from meshwright.progress import Context, ProgressEvent
from surface.solids import capture_of, sphere


@pytest.fixture(scope="module")
def problem() -> ShapeProblem:
    start = waves(mesh_of(trimesh.creation.icosphere(3, 0.35)), 0.01)
    return ShapeProblem(start, observe(capture_of(sphere(0.35), 1.2, 64), 64))


def test_the_result_explains_the_views_no_worse_than_the_start(problem: ShapeProblem) -> None:
    got = refine(problem, 6, Context())
    assert len(got.misfits) == 7
    assert got.misfits[got.best].total == min(m.total for m in got.misfits)


def test_no_rounds_are_the_start(problem: ShapeProblem) -> None:
    got = refine(problem, 0, Context())
    np.testing.assert_array_equal(got.mesh.vertices, problem.start.vertices)


def test_the_same_twice(problem: ShapeProblem) -> None:
    one, two = (refine(problem, 4, Context()).mesh.vertices for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_stopped_run_goes_on_where_it_was(problem: ShapeProblem, tmp_path: Path) -> None:
    whole = refine(problem, 6, Context())
    seen: list[float] = []

    def stop_after_three() -> bool:
        return len(seen) > 3

    saved = Checkpoint.of(tmp_path / "state.npz", problem, 6)
    context = Context(on_progress=lambda event: seen.append(event.fraction), is_cancelled=stop_after_three)
    with pytest.raises(Cancelled):
        refine(problem, 6, context, saved=saved)
    rest: list[ProgressEvent] = []
    resumed = refine(problem, 6, Context(on_progress=rest.append), saved=saved)
    assert len(rest) < 5
    np.testing.assert_array_equal(resumed.mesh.vertices, whole.mesh.vertices)
    assert resumed.misfits == whole.misfits


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_a_fresh_start(problem: ShapeProblem, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.npz"
    path.write_bytes(content)
    assert len(refine(problem, 1, Context(), saved=Checkpoint.of(path, problem, 1)).misfits) == 2


def test_another_problems_checkpoint_is_left_alone(problem: ShapeProblem, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    refine(problem, 2, Context(), saved=Checkpoint.of(path, problem, 2))
    assert Checkpoint.of(path, problem, 2).load() is not None
    assert Checkpoint.of(path, problem, 3).load() is None


def test_a_deadline_is_kept_with_the_best_so_far(problem: ShapeProblem) -> None:
    began = time.monotonic()
    got = refine(problem, 10_000, Context(), deadline=began + 0.5)
    assert time.monotonic() - began < 1.5
    assert got.out_of_time
    assert got.misfits[got.best].total < got.misfits[0].total
    assert len(refine(problem, 50, Context(), deadline=began).misfits) == 1  # one look at least
