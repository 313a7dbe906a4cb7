"""Stopping: a client cancels, an operator drains, a worker dies, freezes, or wakes up too late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from meshwright.service.failpoints import KILLED, NAMES, VARIABLE
from meshwright.service.jobs.job import Job, Status
from meshwright.service.jobs.repository import JobRepository
from meshwright.service.queue.embedded import EmbeddedQueue
from meshwright.service.queue.reaper import sweep
from meshwright.service.storage.janitor import sweep_files
from service.worker.conftest import QUICK, Place, children_of, is_alive, wait_for

LAUNCH = Path(__file__).with_name("launch.py")


@contextmanager
def worker_process(
    place: Place, *arguments: str, command: Sequence[str] = (str(LAUNCH),), fail_at: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker as a process of its own."""
    settings = place.settings.model_dump(mode="json", include={*QUICK, "max_crashes", "data_dir"})
    environment = {f"MESHWRIGHT_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"PATH": os.environ["PATH"]}
    environment |= {"MESHWRIGHT_FAIL_AT": fail_at} if fail_at else {}
    script = ["scripted.py"] if command[0] == str(LAUNCH) else []
    process = subprocess.Popen(
        [sys.executable, *command, *arguments, *script], env=environment, cwd=place.settings.data_dir, stderr=sys.stderr
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def engine_pids(place: Place, job: Job) -> list[int]:
    """The engine's process and what it started, as its log tells; all are there when it has told."""
    (offspring,) = wait_for(lambda: [line for line in place.lines(job) if line.startswith("offspring")])
    pid = int(offspring.split()[1])
    engine = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return [engine, *children_of(engine)]


def cancel(place: Place, job: Job) -> None:
    place.repository.request_cancel(job.id, job.tenant)
    place.repository.confirm_cancel(job.id, job.tenant)


@pytest.mark.parametrize("act", ["sleep:600", "deaf:600", "busy"])
def test_from_confirm_to_the_process_group_gone_are_at_most_5_seconds(place: Place, act: str) -> None:
    job = place.submit("offspring", act)
    with place.worker(settings=place.with_settings(cancel_grace_s=3.0)):
        pids = engine_pids(place, job)
        began = time.monotonic()
        cancel(place, job)
        wait_for(lambda: not any(is_alive(pid) for pid in pids), 10)
        assert time.monotonic() - began <= 5
        assert place.until(job).status is Status.CANCELLED
    assert len(pids) == 3
    assert place.store.list(job.result_prefix) == []


def test_a_cancelled_job_makes_room_for_the_next(place: Place) -> None:
    job, following = place.submit("sleep:600"), place.submit()
    with place.worker():
        place.until(job, Status.PROCESSING)
        cancel(place, job)
        assert place.until(following).status is Status.COMPLETED
    assert place.repository.get(job.id).crashes == 0


def test_a_drained_worker_finishes_what_it_can_within_its_grace(place: Place) -> None:
    job, waiting = place.submit("sleep:0.5"), place.submit()
    with place.worker(grace_s=20):
        place.until(job, Status.PROCESSING)
    assert place.repository.get(job.id).status is Status.COMPLETED
    assert place.repository.get(waiting.id).status is Status.QUEUED


def test_what_it_cannot_finish_goes_back_without_a_crash_and_another_worker_does_it(place: Place) -> None:
    job = place.submit(f"once:{place.settings.data_dir / 'seen'}:sleep:600")
    with place.worker(grace_s=0.2):
        wait_for((place.settings.data_dir / "seen").exists)
    released = place.repository.get(job.id)
    assert (released.status, released.crashes, released.attempt) == (Status.QUEUED, 0, 1)
    with place.worker():
        ended = place.until(job)
    assert (ended.status, ended.crashes, ended.attempt) == (Status.COMPLETED, 0, 2)


def test_sigterm_drains_a_worker_process(place: Place) -> None:
    job = place.submit("offspring", "sleep:600")
    with worker_process(place, "--grace", "0.3") as process:
        pids = engine_pids(place, job)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert place.repository.get(job.id).status is Status.QUEUED
    assert place.repository.get(job.id).crashes == 0


def test_the_verb_works_until_it_is_asked_to_stop(place: Place) -> None:
    job = place.submit()
    with worker_process(place, "--grace", "1", command=("-m", "meshwright", "worker")) as process:
        ended = place.until(job)  # its input is no capture, so the product's own engine refuses it
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert ended.outcome is not None
    assert ended.outcome.error is not None
    assert ended.outcome.error["code"] == "INVALID_FILE_FORMAT"


def test_an_engine_dies_with_its_worker_and_another_worker_runs_the_job_within_a_lease(place: Place) -> None:
    job = place.submit(f"once:{place.settings.data_dir / 'seen'}:offspring", "sleep:1")
    with worker_process(place) as process:
        pids = engine_pids(place, job)
        process.kill()
        process.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in pids), 3)
        died = time.monotonic()
        with place.worker():
            ended = place.until(job)
    assert (ended.status, ended.attempt, ended.crashes) == (Status.COMPLETED, 2, 1)
    assert time.monotonic() - died < place.settings.lease_s + 10
    scratch = place.settings.data_dir / "scratch"
    assert not any(scratch.iterdir()), "the dead worker's folder was removed by the living one"


def test_the_engine_of_a_dead_worker_dies_even_when_it_holds_the_interpreter(place: Place) -> None:
    job = place.submit("offspring", "deaf:600")
    with worker_process(place) as process:
        pids = engine_pids(place, job)
        process.kill()
        wait_for(lambda: not any(is_alive(pid) for pid in pids), 3)


def test_a_worker_that_wakes_up_after_its_lease_publishes_nothing(place: Place) -> None:
    marker = place.settings.data_dir / "seen"
    job = place.submit(f"once:{marker}:sleep:1.5")
    with worker_process(place) as process:
        place.until(job, Status.PROCESSING)
        wait_for(marker.exists)
        process.send_signal(signal.SIGSTOP)
        queue = EmbeddedQueue(0.05)
        wait_for(lambda: sweep(place.repository, queue).reaped)
        with place.worker():
            ended = place.until(job)
        before = place.store.list(f"jobs/{job.id}")
        process.send_signal(signal.SIGCONT)
        following = place.submit()
        assert place.until(following).status is Status.COMPLETED
    now = place.repository.get(job.id)
    assert (now.status, now.attempt, now.outcome) == (Status.COMPLETED, 2, ended.outcome)
    assert place.store.list(f"jobs/{job.id}") == before
    assert all("attempt-1" not in key for key, _ in before)


PASSED = [
    *("claim.before_commit", "claim.after_commit", "worker.before_child", "worker.child_started"),
    *("heartbeat.before_commit", "heartbeat.after_commit", "worker.child_done"),
    *("publish.before", "publish.between_files", "publish.after"),
    *("storage.before_temp", "storage.after_temp", "storage.before_rename", "storage.after_rename"),
    *("finish.before_commit", "finish.after_commit", "worker.after_finish"),
]


@pytest.mark.services  # it needs none, but takes half a minute
def test_a_worker_may_die_at_any_point_of_an_attempt(place: Place) -> None:
    """One worker after another dies, each at another point; then one that lives does what is left."""
    assert set(PASSED) <= NAMES
    settings = place.with_settings(max_crashes=99)
    place = replace(place, settings=settings, repository=JobRepository(place.repository.database, settings))
    jobs = []
    for name in PASSED:
        jobs.append(place.submit("steps:60"))
        with worker_process(place, fail_at=name) as process:
            assert process.wait(30) == KILLED, name
    with place.worker(seats=2):
        ended = [place.until(job) for job in jobs]
    sweep_files(place.repository, place.store, older_s=0)
    for job in ended:
        said = [e.data["status"] for e in place.repository.events_after(job.id, 0, 9999) if e.kind == "status"]
        assert (job.status, said.count("completed")) == (Status.COMPLETED, 1)
        folders = {key.split("/")[2] for key, _ in place.store.list(f"jobs/{job.id}")}
        assert folders == {f"attempt-{job.attempt}", "input"}
    assert not [pid for pid in children_of(1) if b"scripted.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("name", ["child.before_engine", "child.after_engine", "child.before_report"])
def test_an_engine_that_dies_at_any_point_fails_the_job_after_two(
    place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, name)
    job = place.done()
    assert job.outcome is not None
    assert job.outcome.error is not None
    assert (job.outcome.error["code"], job.attempt) == ("ENGINE_CRASHED", 2)
