"""The input report says what was read, in JSON without NaN and in a page that needs nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from capture.making import cameras, good_files, with_cameras, write_folder
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.capture.capture import Capture, Finding
from meshwright.capture.load import load_capture
from meshwright.capture.report import InputReport, inspect_capture, told_hypothesis
from meshwright.capture.report_html import report_html


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return load_capture(write_folder(tmp_path_factory.mktemp("report"), with_cameras(cameras())))


def solved(capture: Capture) -> CalibratedCapture:
    views = [
        CalibratedView(v.name, v.camera, np.ones(v.rgb.shape[:2], bool), None, v.rgb, depth_scale=0.1 * (i + 1))
        for i, v in enumerate(capture.views)
        if v.camera
    ]
    report = CalibrationReport(
        "estimated", {"naming": "object", "depth_law": np.str_("linear z")}, {"naming": "viewer"}, margin=float("inf"),
        residual_pct=0.05, fov_deg=60.0, findings=(Finding("swapped", "left and right look swapped", view="left"),),
    )  # fmt: skip
    return CalibratedCapture(tuple(views), report, 1.0, np.zeros((2, 3)))


def test_the_report_is_strict_json_and_survives_it(capture: Capture) -> None:
    report = inspect_capture(capture, solved(capture))
    text = json.dumps(report.model_dump(mode="json"), allow_nan=False)
    assert InputReport.model_validate_json(text) == report


def test_the_report_says_what_was_read(capture: Capture) -> None:
    report = inspect_capture(capture)
    assert (report.view_count, report.camera_format, report.rig) == (6, "nerfstudio", None)
    front = report.views[0]
    assert (front.name, front.width, front.height, front.has_camera) == ("front", 64, 64, True)
    assert front.depth is not None
    assert (front.depth.width, front.depth.bits, front.depth.stray_pixels) == (32, 16, 0)
    assert [file.path for file in front.files] == ["multi_views/front.png", "depth_renders/front.png"]


def test_the_rig_and_its_suspicions_come_from_the_calibration(capture: Capture) -> None:
    report = inspect_capture(capture, solved(capture))
    assert report.rig is not None
    assert (report.rig.fov_deg, report.rig.margin, report.rig.depth_law) == (60.0, None, "linear z")
    assert report.views[2].depth is not None
    assert report.views[2].depth.solved_scale == pytest.approx(0.3)
    assert "swapped" in {finding.code for finding in report.findings}


def test_the_verdict_is_that_of_the_worst_finding(capture: Capture) -> None:
    for severity, verdict in (("info", "good"), ("warning", "warning"), ("error", "error")):
        clean = replace(capture, views=capture.views[:0], findings=(Finding("x", "y", severity=severity),))
        assert inspect_capture(clean).verdict == verdict


def test_the_page_is_self_contained_and_escapes_names(capture: Capture) -> None:
    odd = replace(capture.views[0], name="<script>alert(1)</script>")
    spoilt = replace(capture, views=(odd, *capture.views[1:]))
    page = report_html(inspect_capture(spoilt, solved(capture)), spoilt)
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/png;base64,") == 12


def run(*arguments: str) -> int:
    from meshwright.cli.main import run as run_cli

    return run_cli(["inspect", *arguments])


def test_inspect_prints_a_table_or_json_and_writes_a_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, page = write_folder(tmp_path / "capture", good_files()), tmp_path / "report.html"
    assert run(str(folder), "--no-rig", "--html", str(page)) == 0
    assert "6 views" in capfd.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert run(str(folder), "--no-rig", "--json") == 0
    assert json.loads(capfd.readouterr().out)["view_count"] == 6


def test_inspect_of_nothing_ends_with_the_code_of_bad_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "none"), "--json") == 3
    assert json.loads(capfd.readouterr().out)["error"]["details"]["reason"] == "not_found"


def test_a_rig_is_told_in_words() -> None:
    upright, odd = (
        {"slot": "front", "roll_deg": 0, "mirrored": False},
        {"slot": "top", "roll_deg": 90, "mirrored": True},
    )
    usual = told_hypothesis({"depth_law": "z", "anomaly": None, "offset": False, "views": {"front": upright}})
    assert usual == {"depth law": "z", "anomaly": "none", "offset": "no", "views": "as named, upright"}
    told = told_hypothesis({"views": {"front": upright, "top": odd, "left": upright}})
    assert told == {"views": "top turned by 90 degrees, mirrored; left shows front"}
