"""A result's own files give its PSNR and SSIM again, and give others for another mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshwright.cameras.nerfstudio import write_cameras
from meshwright.capture.calibrated import CalibratedCapture
from meshwright.errors import IncompleteResults
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.manifest import EngineRun, Manifest
from meshwright.package.readback import load_mesh
from meshwright.package.verify import verify
from meshwright.package.writer import EngineOutput, write_result
from meshwright.quality.assess import assess
from meshwright.quality.recheck import rescore_result
from meshwright.quality.report import QualityReport


@pytest.fixture(scope="module")
def result(body: TexturedMesh, capture: CalibratedCapture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result whose texture is a little off, so that its metrics are finite."""
    texture = np.clip(body.texture.astype(int) + 9, 0, 255).astype(np.uint8)
    mesh = replace(body, texture=texture)
    assessment = assess(capture, mesh, holdout=["top"])
    out = tmp_path_factory.mktemp("recheck") / "out"
    report = assessment.report(None, "fusion").model_dump(mode="json")
    output = EngineOutput(mesh, {}, assessment.heat_maps, report)
    manifest = Manifest(engines={"fusion": EngineRun(status="completed", verdict=assessment.verdict)})
    write_result(out, {"fusion": output}, manifest, write_cameras(capture), formats=["glb"])
    return out


def test_a_plain_mesh_passes_too(body: TexturedMesh, capture: CalibratedCapture, tmp_path: Path) -> None:
    """Without texture and colours a mesh is drawn in the same grey before it is written and after it is read."""
    mesh = replace(body, texture=None, uv=None, tangents=None, colors=None)
    assessment = assess(capture, mesh)
    report = assessment.report(None, "fusion").model_dump(mode="json")
    output = EngineOutput(mesh, {}, assessment.heat_maps, report)
    manifest = Manifest(engines={"fusion": EngineRun(status="completed", verdict=assessment.verdict)})
    write_result(tmp_path / "out", {"fusion": output}, manifest, write_cameras(capture))
    report = verify(tmp_path / "out", rescore=rescore_result, check_quality=check)
    assert report.ok, report.failures


def check(content: object) -> None:
    QualityReport.model_validate(content)


def test_the_metrics_of_quality_json_come_out_again(result: Path) -> None:
    report = verify(result, rescore=rescore_result, check_quality=check)
    assert report.ok, report.failures
    assert {item.name: item.status for item in report.checks}["metrics"] == "ok"


@pytest.mark.parametrize(
    "change",
    [
        lambda mesh: replace(mesh, texture=np.full_like(mesh.texture, 255)),
        lambda mesh: replace(mesh, vertices=mesh.vertices * 1.02),
        lambda mesh: mesh.transformed(np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])),
    ],
)
def test_another_mesh_has_other_metrics(result: Path, change: Callable[[TexturedMesh], TexturedMesh]) -> None:
    own = rescore_result(result, "fusion", load_mesh(result / "fusion" / "mesh.glb"))
    other = rescore_result(result, "fusion", change(load_mesh(result / "fusion" / "mesh.glb")))
    assert abs(own["psnr"] - other["psnr"]) > 0.1


def test_files_that_do_not_fit_together_have_a_code(result: Path, body: TexturedMesh, tmp_path: Path) -> None:
    (tmp_path / "fusion").mkdir()
    (tmp_path / "cameras.json").write_text('{"frames": []}')
    (tmp_path / "fusion" / "quality.json").write_bytes((result / "fusion" / "quality.json").read_bytes())
    (tmp_path / "fusion" / "errors").symlink_to(result / "fusion" / "errors")
    with pytest.raises(IncompleteResults) as caught:
        rescore_result(tmp_path, "nothing", body)
    assert caught.value.reason == "rescore_failed"
