"""The solver itself: from a wrong start to the truth, and back to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cameras.scenes import evidence_of, plain_arrangement, sample, true_model
from meshwright.cameras.solve import fit, pair_table, residual_of, scanned


@pytest.mark.parametrize("fov_factor", [0.85, 1.15])
def test_a_fit_returns_to_the_truth(fov_factor: float) -> None:
    truth = sample()
    evidence = evidence_of(truth.capture())
    problem, _ = evidence.problem(plain_arrangement(), 250)
    model = true_model(truth, evidence)
    off = replace(model, kappa=model.kappa * fov_factor)
    off = replace(off, depths=(model.depths - model.pivot) + off.pivot)
    found = fit(problem, off)
    assert found.residual < 0.3 * residual_of(problem, off)
    # a quick fit on few samples: from 7 degrees off to less than 2; the last bands do the rest (test_search)
    assert np.degrees(2 * np.arctan(found.model.kappa)) == pytest.approx(49.1, abs=2.0)


def test_a_scan_leads_out_of_a_wrong_scale() -> None:
    truth = sample()
    evidence = evidence_of(truth.capture())
    problem, _ = evidence.problem(plain_arrangement(), 100)
    model = true_model(truth, evidence)
    depths = model.depths.copy()
    depths[3] *= np.exp(0.06)
    found = scanned(problem, replace(model, depths=depths))
    assert found.depths[3, 0] == pytest.approx(model.depths[3, 0], rel=0.012)


def test_the_vector_of_unknowns_describes_the_model() -> None:
    model = true_model(sample(), evidence_of(sample().capture()))
    again = model.with_vector(model.vector())
    assert again.kappa == pytest.approx(model.kappa)
    np.testing.assert_allclose(again.depths[:, 1], model.depths[:, 1])
    assert len(model.view_of_parameter()) == len(model.vector())


def test_the_table_blames_the_wrong_view() -> None:
    truth = sample()
    evidence = evidence_of(truth.capture())
    problem, _ = evidence.problem(plain_arrangement(), 250)
    model = true_model(truth, evidence)
    depths = model.depths.copy()
    depths[1] *= 0.9
    table = pair_table(problem, replace(model, depths=depths), 1.0)
    assert (np.diag(table) == 0).all()
    assert np.argmax(table.sum(0) + table.sum(1)) == 1
