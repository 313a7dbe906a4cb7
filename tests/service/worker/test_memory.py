"""Memory that runs out: one run at a lower resolution, which the outcome tells, then a code."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.service.jobs.job import Job, Status
from meshwright.service.worker.memory import oom_kills, was_out_of_memory
from service.worker.conftest import Place

COUNTERS = {
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
    "vmstat": "nr_free_pages 9\noom_kill 8\n",
}


def code(job: Job) -> str:
    assert job.outcome is not None
    assert job.outcome.error is not None
    return str(job.outcome.error["code"])


@pytest.mark.parametrize("error", ["engine_memory", "memory", "gpu_memory"])
def test_a_second_run_at_half_the_resolution_may_succeed(place: Place, error: str) -> None:
    job = place.done(f"above:128:{error}", options={"resolution": 256})
    assert (job.status, job.attempt, job.crashes) == (Status.COMPLETED, 1, 0)
    assert job.outcome is not None
    assert job.outcome.lowered == {"resolution": 128}
    assert b'"resolution": 128' in place.store.get_bytes(f"{job.result_prefix}/manifest.json")
    assert any("128" in line for line in place.lines(job))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [("engine_memory", "MODEL_OOM"), ("memory", "MEMORY_EXHAUSTED"), ("gpu_memory", "MODEL_VRAM_OOM")],
)
def test_a_third_run_there_is_not(place: Place, error: str, wanted: str) -> None:
    job = place.done(f"above:32:{error}", options={"resolution": 256})
    assert (job.status, code(job)) == (Status.FAILED, wanted)
    assert job.outcome is not None
    assert job.outcome.lowered == {"resolution": 128}


def test_the_limit_of_the_process_is_felt_as_a_memory_error(place: Place) -> None:
    limited = {"settings": place.with_settings(memory_bytes=2 * 2**30)}
    assert code(place.done("allocate:4", worker=limited)) == "MEMORY_EXHAUSTED"
    assert place.done("allocate:0.1", worker=limited).status is Status.COMPLETED


@pytest.mark.parametrize(("stage", "wanted"), [("fuse", "MODEL_OOM"), ("assess", "MEMORY_EXHAUSTED")])
def test_a_kill_that_the_system_counts_as_its_own_is_memory(
    place: Place, tmp_path: Path, stage: str, wanted: str
) -> None:
    counter = tmp_path / "vmstat"
    kills = iter(range(100))

    def counted() -> int | None:
        counter.write_text(f"oom_kill {next(kills)}\n")
        return oom_kills([counter])

    job = place.done(f"kill:{stage}", options={"resolution": 64}, worker={"oom_kills": counted})
    assert (code(job), job.crashes) == (wanted, 0)
    assert job.outcome is not None
    assert job.outcome.lowered == {"resolution": 32}


def test_a_kill_that_the_system_does_not_count_is_a_crash(place: Place) -> None:
    job = place.done("kill", options={"resolution": 64}, worker={"oom_kills": lambda: 5})
    assert (code(job), job.crashes) == ("ENGINE_CRASHED", 2)


def test_the_counters_of_all_kinds_are_read(tmp_path: Path) -> None:
    for name, text in COUNTERS.items():
        (tmp_path / name).write_text(text)
    assert oom_kills([tmp_path / name for name in COUNTERS]) == 14
    assert oom_kills([tmp_path / "none"]) is None
    assert was_out_of_memory(None, 3)
    assert was_out_of_memory(3, 4)
    assert not was_out_of_memory(3, 3)
