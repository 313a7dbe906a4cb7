"""The product's own process and pipeline on a capture: real fusion, and engines that give something broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meshwright.errors import IncompleteResults
from meshwright.service.jobs.job import Job, Status
from meshwright.service.worker.process import CHILD_COMMAND
from meshwright.service.worker.run_job import check_package
from service.worker import scripted_engines
from service.worker.conftest import Place

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "capture"
SMALL = {"texture_size": 512, "resolution": 64, "faces": 2000}


@pytest.fixture
def scripted(place: Place) -> Place:
    place.command = scripted_engines.COMMAND
    return place


def done(place: Place, capture: Path, engine: str = "fusion", act: str = "cube") -> Job:
    return place.done(capture=capture, engine=engine, options={"act": act, "texture_size": 256})


def error(job: Job) -> dict[str, object]:
    assert job.outcome is not None
    assert job.outcome.error is not None
    return job.outcome.error


def test_a_fusion_job_on_the_shipped_sample_gives_a_result_that_verifies(place: Place, tmp_path: Path) -> None:
    place.command = CHILD_COMMAND
    job = place.done(capture=EXAMPLE, options=SMALL)
    assert job.status is Status.COMPLETED
    assert job.outcome is not None
    assert job.outcome.verdict == job.outcome.engines["fusion"]["quality"]["status"] in ("normal", "warning")
    assert job.outcome.choice.startswith("fusion: ")
    assert {"load", "calibrate", "fusion", "assess", "package"} <= job.outcome.stage_seconds.keys()
    archive = tmp_path / "result.zip"
    place.store.fetch(f"{job.result_prefix}/result.zip", archive)
    verified = subprocess.run([sys.executable, "-m", "meshwright", "verify", str(archive)], capture_output=True)
    assert verified.returncode == 0, verified.stderr
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(archive, unpacked)
    files = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert files == {artifact.path for artifact in job.outcome.artifacts} - {"result.zip"}
    check_package(unpacked)
    (unpacked / "fusion" / "mesh.obj").write_text("v 0 0 0\n")
    with pytest.raises(IncompleteResults, match=r"mesh\.obj was changed"):
        check_package(unpacked)


def test_of_two_engines_one_that_fails_does_not_take_the_others_mesh_along(
    scripted: Place, posed_capture: Path
) -> None:
    job = done(scripted, posed_capture, "both", "diverge@reconviagen")
    assert job.status is Status.COMPLETED
    assert job.outcome is not None
    engines = job.outcome.engines
    assert engines["nvdiffrec"]["status"] == "completed"
    assert engines["nvdiffrec"]["quality"]["metrics"]
    assert engines["reconviagen"]["error"]["code"] == "MODEL_CONVERGENCE_FAILED"
    assert "nvdiffrec/mesh.glb" in {artifact.path for artifact in job.outcome.artifacts}


def test_two_engines_that_fail_fail_the_job(scripted: Place, posed_capture: Path) -> None:
    job = done(scripted, posed_capture, "both", "diverge")
    assert (job.status, error(job)["code"]) == (Status.FAILED, "MODEL_FAILED")


@pytest.mark.parametrize("act", ["nan", "empty", "wild"])
def test_a_broken_mesh_is_not_published(scripted: Place, posed_capture: Path, act: str) -> None:
    job = done(scripted, posed_capture, act=act)
    assert (job.status, error(job)["code"]) == (Status.FAILED, "MODEL_FAILED")
    assert error(job)["details"] == {"reason": "bad_output"}
    assert scripted.store.list(job.result_prefix) == []


def test_an_engine_that_ran_out_of_memory_is_run_again_lower(scripted: Place, posed_capture: Path) -> None:
    job = done(scripted, posed_capture, act="memory")
    assert job.status is Status.COMPLETED
    assert job.outcome is not None
    assert job.outcome.lowered == {"resolution": 128}


@pytest.mark.parametrize("name", ["checkpoint", "preview_folder"])
def test_an_option_that_names_a_file_of_the_machine_is_refused(scripted: Place, posed_capture: Path, name: str) -> None:
    job = scripted.done(capture=posed_capture, options={name: "/etc/passwd"})
    assert error(job)["code"] == "VALIDATION_FAILED"
    assert error(job)["details"] == {"reason": "bad_option", "option": name}


def test_a_capture_that_came_as_a_zip_is_read_as_one(scripted: Place, posed_capture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "upload"
    shutil.make_archive(str(folder / "capture"), "zip", posed_capture)
    assert done(scripted, folder).status is Status.COMPLETED
