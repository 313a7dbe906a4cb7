"""What becomes of a job, whatever its engine does; and that the worker takes the next one."""

from __future__ import annotations

import time

import pytest

from meshwright.service.jobs.job import Status
from service.worker.conftest import Place, is_alive, wait_for


def test_a_job_ends_completed_with_its_package_and_zip_published(place: Place) -> None:
    job = place.done("steps:20")
    assert job.status is Status.COMPLETED
    assert job.outcome is not None
    assert {each.path for each in job.outcome.artifacts} == {"fusion/mesh.txt", "manifest.json", "result.zip"}
    for artifact in job.outcome.artifacts:
        assert place.store.head(f"{job.result_prefix}/{artifact.path}") == artifact.size
    assert (job.outcome.verdict, job.outcome.lowered) == ("normal", None)
    assert job.outcome.stage_seconds["fuse"] > 0.15
    assert job.peak_memory_bytes is not None
    assert job.peak_memory_bytes > 2**20
    assert not any((place.settings.data_dir / "scratch").iterdir())


@pytest.mark.parametrize(
    ("act", "code", "reason"),
    [
        ("input", "VALIDATION_FAILED", "image_black"),
        ("convergence", "MODEL_CONVERGENCE_FAILED", None),
        ("unavailable", "ENGINE_UNAVAILABLE", "engine_not_ready"),
        ("engine_memory", "MODEL_OOM", "engine_out_of_memory"),
        ("memory", "MEMORY_EXHAUSTED", "out_of_memory"),
        ("gpu_memory", "MODEL_VRAM_OOM", "gpu_out_of_memory"),
        ("gpu", "GPU_UNAVAILABLE", "gpu_fault"),
        ("disk", "DISK_FULL", None),
        ("incomplete", "INCOMPLETE_RESULTS", "verify_failed"),
        ("bug", "UNKNOWN_ERROR", "internal_fault"),
    ],
)
def test_what_an_engine_raises_becomes_a_code(place: Place, act: str, code: str, reason: str | None) -> None:
    job = place.done(f"fail:{act}")
    assert job.outcome is not None
    assert job.outcome.error is not None
    assert (job.status, job.outcome.error["code"]) == (Status.FAILED, code)
    assert job.outcome.error["details"].get("reason") == reason
    assert (job.crashes, job.attempt) == (0, 1)
    assert place.store.list(job.result_prefix) == []


def test_after_a_failure_the_next_job_has_a_process_of_its_own_and_succeeds(place: Place) -> None:
    bad, good = place.submit("fail:bug"), place.submit()
    with place.worker():
        assert place.until(bad).status is Status.FAILED
        assert place.until(good).status is Status.COMPLETED


def test_a_warm_process_serves_jobs_of_the_same_engine_and_a_new_one_the_next_engine(place: Place) -> None:
    jobs = [place.submit(), place.submit(), place.submit(engine="nvdiffrec")]
    with place.worker():
        done = [place.until(job) for job in jobs]
    pids = [place.store.get_bytes(f"{job.result_prefix}/manifest.json").split(b",")[0] for job in done]
    assert pids[0] == pids[1] != pids[2]


@pytest.mark.parametrize("act", ["segfault", "exit:3", "exit:0"])
def test_two_deaths_of_the_process_fail_the_job_and_the_worker_lives(place: Place, act: str) -> None:
    poison, good = place.submit(act), place.submit()
    with place.worker():
        ended = place.until(poison)
        assert place.until(good).status is Status.COMPLETED
    assert ended.outcome is not None
    assert ended.outcome.error is not None
    assert (ended.status, ended.outcome.error["code"]) == (Status.FAILED, "ENGINE_CRASHED")
    assert (ended.attempt, ended.crashes) == (2, 2)
    assert any("The engine's process ended with" in line for line in place.lines(ended))


def test_one_death_costs_one_attempt(place: Place) -> None:
    job = place.done(f"once:{place.settings.data_dir / 'seen'}:segfault")
    assert (job.status, job.attempt, job.crashes) == (Status.COMPLETED, 2, 1)


def test_one_poison_job_does_not_harm_twenty_good_ones(place: Place) -> None:
    good = [place.submit() for _ in range(10)]
    poison = place.submit("segfault")
    good += [place.submit() for _ in range(10)]
    with place.worker(seats=2):
        assert {place.until(job).status for job in good} == {Status.COMPLETED}
        assert place.until(poison).status is Status.FAILED


def test_a_full_pipe_stops_nobody(place: Place) -> None:
    job = place.done("flood:4")
    assert job.status is Status.COMPLETED
    assert "flooded" in place.lines(job)
    assert all(len(line) < 5000 for line in place.lines(job))


def test_nothing_that_an_engine_started_outlives_its_job_that_died(place: Place) -> None:
    job = place.done("offspring", "exit:1")
    pids = [int(line.split()[1]) for line in place.lines(job) if line.startswith("offspring")]
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.parametrize("act", ["deaf:600", "busy", "sleep:600"])
def test_a_run_over_its_wall_time_is_killed(place: Place, act: str) -> None:
    began = time.monotonic()
    job = place.done(act, worker={"settings": place.with_settings(wall_time_s=1.0)})
    assert job.outcome is not None
    assert job.outcome.error is not None
    assert job.outcome.error["code"] == "ENGINE_TIMEOUT"
    assert job.outcome.error["details"] == {"reason": "wall_limit", "limit_s": 1.0}
    assert time.monotonic() - began < 1 + place.settings.cancel_grace_s + 3


def test_a_run_that_stands_still_is_killed_and_one_that_moves_is_not(place: Place) -> None:
    settings = place.with_settings(stall_s=1.0)
    stalled = place.done("deaf:600", worker={"settings": settings})
    assert stalled.outcome is not None
    assert stalled.outcome.error is not None
    assert stalled.outcome.error["details"]["reason"] == "stall_limit"
    assert place.done("steps:200", worker={"settings": settings}).status is Status.COMPLETED


def test_progress_rises_is_written_at_most_four_times_a_second_and_says_how_long_it_will_take(place: Place) -> None:
    job = place.done("steps:250")
    told = [e for e in place.repository.events_after(job.id, 0, 5000) if e.kind == "progress"]
    fractions = [event.data["fraction"] for event in told]
    seconds = (told[-1].at - told[0].at).total_seconds()
    assert fractions == sorted(fractions)
    assert 4 <= len(told) <= 4 * seconds + 2
    estimates = [event.data["eta_s"] for event in told if event.data["eta_s"] is not None]
    assert estimates
    assert estimates[-1] < 1.5


@pytest.mark.parametrize(("act", "reason"), [("file:17", "file_limit"), ("open_files:5000", "internal_fault")])
def test_an_engine_has_limits(place: Place, act: str, reason: str) -> None:
    job = place.done(act)
    assert job.outcome is not None
    assert job.outcome.error is not None
    assert job.outcome.error["details"]["reason"] == reason
    within = place.done("file:1", "open_files:1000")
    assert within.status is Status.COMPLETED
    assert "1000 files, core limit 0" in place.lines(within)


def test_a_full_worker_runs_one_job_a_seat(place: Place) -> None:
    jobs = [place.submit("sleep:600") for _ in range(3)]
    with place.worker(seats=2) as worker:
        wait_for(lambda: worker.running == 2)
        time.sleep(0.3)
        assert [place.repository.get(job.id).status for job in jobs].count(Status.QUEUED) == 1


def test_input_that_is_gone_is_an_error_of_its_own(place: Place) -> None:
    job = place.submit()
    place.store.delete_prefix(f"jobs/{job.id}/input")
    with place.worker():
        ended = place.until(job)
    assert ended.outcome is not None
    assert ended.outcome.error is not None
    assert ended.outcome.error["code"] == "JOB_EXPIRED"


def test_an_engine_sees_no_secret(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("MESHWRIGHT_KEY_SECRET", "MESHWRIGHT_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "CI_JOB_TOKEN")
    for name in secrets:
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = place.done("environment")
    (line,) = [line for line in place.lines(job) if line.startswith("environment")]
    assert not set(secrets) & set(line.split())
    assert {"OMP_NUM_THREADS", "PATH", "TMPDIR"} <= set(line.split())
