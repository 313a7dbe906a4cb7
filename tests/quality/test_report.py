"""quality.json: the reference's keys, our own, finite numbers, a current schema, and views held out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshwright.capture.calibrated import CalibratedCapture, CalibrationReport
from meshwright.capture.capture import Finding
from meshwright.errors import Cancelled, InputError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.progress import Context
from meshwright.quality.assess import Assessment, assess
from meshwright.quality.heatmap import HEADER, TOP_LEVEL, scale_colours
from meshwright.quality.report import QualityReport, schema_json

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "quality.json"
WRITE_SCHEMA = "python -c 'from meshwright.quality.report import schema_json; print(schema_json(), end=\"\")'"


@pytest.fixture(scope="module")
def assessment(capture: CalibratedCapture, body: TexturedMesh) -> Assessment:
    assert body.texture is not None
    return assess(capture, replace(body, texture=255 - body.texture // 2), holdout=("top",))


def written(assessment: Assessment) -> dict[str, Any]:
    return json.loads(assessment.report("job1", "fusion", input_file="shoe.zip", duration_s=1.5).to_json())


def leaves(value: Any) -> Iterator[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if children is None:
        yield value
        return
    for child in children:
        yield from leaves(child)


def test_the_published_schema_is_current():
    assert SCHEMA.read_text() == schema_json(), f"write it anew: {WRITE_SCHEMA} > docs/schemas/quality.json"


def test_the_references_keys_are_where_its_clients_look(assessment: Assessment):
    report = written(assessment)
    assert {"job_id", "model", "status", "summary", "metrics", "thresholds", "metadata"} <= set(report)
    assert {"psnr", "ssim", "depth_mae", "depth_rmse"} <= set(report["metrics"])
    lines = {"psnr_normal": 25.0, "psnr_warning": 20.0, "ssim_normal": 0.85, "ssim_warning": 0.75}
    assert lines.items() <= report["thresholds"].items()
    keys = {"timestamp", "input_file", "processing_duration_sec", "image_resolution", "num_views"}
    assert keys <= set(report["metadata"])
    assert (report["job_id"], report["model"], report["metadata"]["num_views"]) == ("job1", "fusion", 6)


def test_a_report_reads_back_as_it_was_written(assessment: Assessment):
    report = assessment.report(timestamp=datetime(2026, 11, 23, tzinfo=UTC))
    assert QualityReport.model_validate_json(report.to_json()) == report
    assert report.metadata.timestamp == "2026-11-23T00:00:00Z"


def test_every_null_score_has_its_reason(capture: CalibratedCapture, body: TexturedMesh):
    without_depth = replace(capture, views=tuple(replace(view, depth=None) for view in capture.views))
    report = written(assess(without_depth, body))
    for metrics in (report["metrics"], *(view["metrics"] for view in report["views"])):
        nulls = {name for name, value in metrics.items() if value is None}
        assert nulls == {"psnr", "psnr_full", "depth_mae", "depth_rmse", "depth_overlap"}
        assert nulls <= set(metrics["reasons"])
    assert report["status"] == "normal"
    assert "no_depth_criterion" in [warning["code"] for warning in report["warnings"]]


def test_nothing_that_is_not_finite_reaches_the_file(capture: CalibratedCapture, body: TexturedMesh):
    odd = CalibrationReport(
        "estimated",
        hypothesis={"naming": "object", "rolls": np.array([0, 90]), "cost": np.float32(np.nan)},
        margin=float("inf"),
        residual_pct=float("nan"),
        residuals=({"from": "front", "to": "back", "residual_pct": np.inf},),
        tie=True,
        findings=(Finding("odd", "Odd.", "Look.", "front"), Finding("fine", "Fine.", severity="info")),
    )
    report = written(assess(replace(capture, report=odd), body))
    assert all(np.isfinite(leaf) for leaf in leaves(report) if isinstance(leaf, float))
    assert report["cameras"]["hypothesis"] == {"naming": "object", "rolls": [0, 90], "cost": None}
    assert [warning["code"] for warning in report["warnings"]] == ["cameras_tie", "odd"]


def test_the_summary_is_one_sentence_that_names_verdict_and_worst_view(assessment: Assessment):
    report = written(assessment)
    assert report["summary"].startswith("Failure")
    assert report["summary"].count(". ") == 0
    assert f"worst view is {report['worst_view']}" in report["summary"]


def test_held_out_views_are_scored_apart(capture: CalibratedCapture, body: TexturedMesh, assessment: Assessment):
    report = written(assessment)
    assert [view["name"] for view in report["views"] if view["held_out"]] == ["top"] == report["holdout"]["views"]
    rest = [view["metrics"]["ssim"] for view in report["views"] if not view["held_out"]]
    assert report["metrics"]["ssim"] == pytest.approx(np.mean(rest), abs=1e-5)
    top = next(view for view in report["views"] if view["held_out"])
    assert report["holdout"]["metrics"]["ssim"] == top["metrics"]["ssim"]

    spoilt = replace(capture.views[4], rgb=255 - capture.views[4].rgb)
    other = replace(capture, views=(*capture.views[:4], spoilt, capture.views[5]))
    judged = assess(other, body, holdout=("top",))
    assert judged.verdict == "normal"
    assert {"held_out_view_fails", "held_out_worse"} <= {warning.code for warning in judged.warnings}


@pytest.mark.parametrize(("holdout", "reason"), [(("frnt",), "holdout_unknown"), (None, "holdout_all")])
def test_an_impossible_holdout_is_refused(capture: CalibratedCapture, body: TexturedMesh, holdout, reason: str):
    names = holdout or tuple(view.name for view in capture.views)
    with pytest.raises(InputError) as error:
        assess(capture, body, holdout=names)
    assert error.value.reason == reason


def test_progress_is_told_and_cancelling_stops(capture: CalibratedCapture, body: TexturedMesh):
    fractions: list[float] = []
    assess(capture, body, context=Context(on_progress=lambda event: fractions.append(event.fraction)))
    assert fractions == sorted(fractions)
    assert len(fractions) == 7
    with pytest.raises(Cancelled):
        assess(capture, body, context=Context(is_cancelled=lambda: True))


def test_a_heat_map_shows_input_render_and_error(
    capture: CalibratedCapture, body: TexturedMesh, assessment: Assessment
):
    exact, wrong = assess(capture, body).heat_maps["front"], assessment.heat_maps["front"]
    assert set(assessment.heat_maps) == {view.name for view in capture.views}
    size = capture.views[0].mask.shape[0]
    panels = [slice(6 + k * (size + 6), 6 + k * (size + 6) + size) for k in range(3)]
    left, middle, right = (exact[HEADER : HEADER + size, columns] for columns in panels)
    mask = capture.views[0].mask
    assert np.array_equal(left[mask], capture.views[0].rgb[mask])
    assert np.array_equal(left[mask], middle[mask])
    assert np.all(right[mask] == scale_colours(np.array(0.0)))
    assert np.all(right[~mask] == 255)
    levels = wrong[HEADER : HEADER + size, panels[2]][mask].astype(float).sum(-1)
    assert levels.mean() > right[mask].astype(float).sum(-1).mean()


def test_the_error_scale_rises_in_lightness():
    lightness = scale_colours(np.linspace(0, 1, TOP_LEVEL)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(lightness) > 0)
