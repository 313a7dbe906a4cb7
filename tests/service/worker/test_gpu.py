"""Admission to the GPU by what jobs were measured to take, and a GPU that fails again and again."""

from __future__ import annotations

import sys
from pathlib import Path

from meshwright.service.jobs.job import Status
from meshwright.service.worker.environment import child_environment
from meshwright.service.worker.gpu import Gpu
from service.worker.conftest import Place

GIB = 2**30


def driver(tmp_path: Path, free_mib: int) -> list[str]:
    """A program that answers as nvidia-smi does."""
    script = tmp_path / "smi.py"
    script.write_text(f"print('{free_mib}, 81559')")
    return [sys.executable, str(script)]


def test_an_engine_is_admitted_beside_others_where_its_measured_peak_fits(tmp_path: Path) -> None:
    gpu = Gpu(driver(tmp_path, 10 * 1024))
    gpu.learn("nvdiffrec", 4 * GIB)
    gpu.learn("reconviagen", 20 * GIB)
    assert gpu.admitted(["nvdiffrec", "reconviagen", "fusion"], running=1) == ["nvdiffrec"]
    assert gpu.admitted(["reconviagen", "fusion"], running=0) == ["reconviagen", "fusion"]


def test_without_a_driver_everything_is_admitted(tmp_path: Path) -> None:
    assert Gpu(["/no/such/program"]).admitted(["fusion"], running=3) == ["fusion"]
    assert Gpu([sys.executable, "-c", "print('[N/A]')"]).free_bytes() is None


def test_a_worker_whose_gpu_failed_twice_in_a_row_takes_no_more_jobs(place: Place) -> None:
    faults = [place.submit("fail:gpu", device="cuda") for _ in range(2)]
    left = place.submit(device="cuda")
    with place.worker(devices=("cuda",)) as worker:
        for job in faults:
            ended = place.until(job)
            assert ended.outcome is not None
            assert ended.outcome.error is not None
            assert ended.outcome.error["code"] == "GPU_UNAVAILABLE"
    assert worker.unhealthy is not None
    assert place.repository.get(left.id).status is Status.QUEUED


def test_a_good_job_between_two_faults_keeps_the_worker(place: Place) -> None:
    jobs = [place.submit(act, device="cuda") for act in ("fail:gpu", "ok", "fail:gpu", "ok")]
    with place.worker(devices=("cpu", "cuda")) as worker:
        assert place.until(jobs[-1]).status is Status.COMPLETED
    assert worker.unhealthy is None


def test_a_job_of_the_cpu_sees_no_gpu(tmp_path: Path) -> None:
    given = {"CUDA_VISIBLE_DEVICES": "3", "PATH": "/bin"}
    assert child_environment(tmp_path, "cpu", given)["CUDA_VISIBLE_DEVICES"] == ""
    assert child_environment(tmp_path, "cuda", given)["CUDA_VISIBLE_DEVICES"] == "3"
