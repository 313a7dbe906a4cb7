"""What an exception or a death means, wherever in a chain of others it is."""

from __future__ import annotations

import errno
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from meshwright.engines.protocol import EngineOptions
from meshwright.engines.run import EngineRun, require_one, run_engine
from meshwright.errors import DiskFull, EngineError, GpuUnavailable, InputError, MeshwrightError
from meshwright.progress import Context
from meshwright.service.worker.eta import Eta, History, share_at
from meshwright.service.worker.lower import lowered_options
from meshwright.service.worker.outcome import death, fault_of
from meshwright.service.worker.protocol import Advance, Done, Failed, to_line, to_message


def run_as_engine(error: Exception, monkeypatch: pytest.MonkeyPatch) -> MeshwrightError:
    """The error as the pipeline hands it on when an engine raises it."""

    def fail(*_: object) -> None:
        raise error

    engine = SimpleNamespace(reconstruct=fail, options_type=EngineOptions)
    monkeypatch.setattr("meshwright.engines.run.ready_engine", lambda name: engine)
    run = run_engine("fusion", None, None, Context())  # type: ignore[arg-type]
    assert run.error is not None
    return run.error


@pytest.mark.parametrize(
    ("error", "code", "out_of_memory", "gpu_fault"),
    [
        (MemoryError(), "MODEL_OOM", True, False),
        (RuntimeError("std::bad_alloc"), "MODEL_OOM", True, False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "MODEL_OOM", True, False),
        (torch.OutOfMemoryError("Allocation on device"), "MODEL_VRAM_OOM", True, False),
        (RuntimeError("CUDA error: out of memory"), "MODEL_VRAM_OOM", True, False),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), "GPU_UNAVAILABLE", False, True),
        (RuntimeError("No CUDA-capable device is detected"), "GPU_UNAVAILABLE", False, True),
        (GpuUnavailable("It fell off the bus."), "GPU_UNAVAILABLE", False, True),
        (OSError(errno.ENOSPC, "No space left"), "DISK_FULL", False, False),
        (OSError(errno.EDQUOT, "Quota exceeded"), "DISK_FULL", False, False),
        (EngineError("The views agree on no surface."), "MODEL_FAILED", False, False),
        (ValueError("shapes do not match"), "MODEL_FAILED", False, False),
    ],
)
def test_an_engines_error_has_its_code_through_the_pipelines_wrapping(
    error: Exception, code: str, out_of_memory: bool, gpu_fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = fault_of(run_as_engine(error, monkeypatch))
    assert (fault.error["code"], fault.out_of_memory, fault.gpu_fault) == (code, out_of_memory, gpu_fault)


def test_the_errors_of_several_engines_are_seen_through_the_one_that_carries_them() -> None:
    full = EngineError("The engine 'nvdiffrec' ended with OutOfMemoryError: CUDA out of memory. Tried 2 GiB")
    runs = [EngineRun("nvdiffrec", {}, 1.0, error=full), EngineRun("reconviagen", {}, 1.0, error=EngineError("No."))]
    with pytest.raises(EngineError) as caught:
        require_one(runs)
    assert fault_of(caught.value).error["code"] == "MODEL_VRAM_OOM"


def test_the_users_own_words_are_not_taken_for_a_fault_of_the_gpu() -> None:
    assert fault_of(InputError("There is no file 'CUDA error.png'.")).error["code"] == "VALIDATION_FAILED"
    assert fault_of(DiskFull("Full.")).error["code"] == "DISK_FULL"


@pytest.mark.parametrize(
    ("returncode", "told"), [(-11, "SIGSEGV"), (-6, "SIGABRT"), (3, "exit code 3"), (-9, "SIGKILL")]
)
def test_a_death_names_its_signal(returncode: int, told: str) -> None:
    assert told in death(returncode, "fuse", was_out_of_memory=False).message


def test_half_is_taken_of_what_memory_grows_with_and_not_below_its_least() -> None:
    assert lowered_options("fusion", {}) == {"resolution": 128, "texture_size": 1024}
    assert lowered_options("fusion", {"resolution": 33, "texture_size": 320}) == {"resolution": 32, "texture_size": 256}
    assert lowered_options("fusion", {"resolution": 32, "texture_size": 256}) == {}
    assert lowered_options("nvdiffrec", {"size": 512})["size"] == 256
    assert lowered_options("auto", {})["resolution"] == 128
    assert lowered_options("nothing", {}) == {}


def test_an_estimate_follows_the_last_job_of_the_same_engine() -> None:
    history = History()
    first = Eta(history, "fusion")
    assert first.estimate(0.01, 5.0) is None
    assert first.estimate(0.5, 10.0) == 10.0
    first.done(110.0)
    assert Eta(history, "fusion").estimate(0.5, 10.0) == 100.0
    assert Eta(history, "nvdiffrec").estimate(0.5, 10.0) == 10.0
    assert share_at(history.curve("fusion"), 1.0) == 1.0


@pytest.mark.parametrize("message", [Advance("fuse", 0.5), Failed({"code": "X"}), Done({}, "normal", "")])
def test_a_message_survives_its_line_and_a_torn_line_is_none(message: Any) -> None:
    line = to_line(message)
    assert to_message(line) == message
    assert asdict(to_message(line)) == asdict(message)  # type: ignore[arg-type]
    assert to_message(line[: len(line) // 2]) is None
    assert to_message(b'{"kind":"unheard-of"}\n') is None
