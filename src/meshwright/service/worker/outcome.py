"""What an end means: an exception in the engine's process, its death, or a time limit, as an error of the tree.

Memory that ran out inside an engine is MODEL_OOM, on the GPU MODEL_VRAM_OOM, and outside of an engine (reading,
measuring, packing) MEMORY_EXHAUSTED; each is worth one run at a lower resolution. A CUDA error sticks to its process.
"""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from meshwright.errors import (
    Cancelled,
    DiskFull,
    EngineCrashed,
    EngineError,
    EngineTimeout,
    GpuOutOfMemory,
    GpuUnavailable,
    InputError,
    MeshwrightError,
    ModelOutOfMemory,
    OutOfMemory,
)
from meshwright.package.staging import NO_SPACE
from meshwright.service.jobs.job import Outcome, Status

GPU_MEMORY = re.compile(r"CUDA (error: )?out of memory|CUDNN_STATUS_ALLOC_FAILED|CUBLAS_STATUS_ALLOC_FAILED", re.I)
GPU_FAULT = re.compile(
    r"CUDA error|CUDA driver|CUDA-capable|device-side assert|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS|uncorrectable ECC",
    re.I,
)
MEMORY = re.compile(r"bad_alloc|can't allocate memory|cannot allocate memory|unable to allocate", re.I)
GPU_FAULT_TYPES = frozenset({"AcceleratorError", "CudaError", "CUDADriverError"})
OUTSIDE_ENGINES = frozenset({"", "load", "calibrate", "assess", "package", "previews", "files", "turntable", "verify"})
LESS = "Lower the resolution or the texture size, or give the service more memory."


@dataclass(frozen=True)
class Fault:
    """The inside of an error envelope, and what it says about a second run and about the process it happened in."""

    error: dict[str, Any]
    out_of_memory: bool = False
    gpu_fault: bool = False

    @property
    def message(self) -> str:
        """What is wrong, in one sentence."""
        return str(self.error["message"])

    @property
    def outcome(self) -> Outcome:
        """The outcome of a job that ended so."""
        return Outcome(status=Status.FAILED, error=self.error)


def fault_of(error: BaseException) -> Fault:
    """What an exception means, whatever it was wrapped in on its way up."""
    if isinstance(error, InputError | Cancelled):
        return _fault(error)
    chain = tuple(_chain(error))
    if (full := next((link for link in chain if _is_full(link)), None)) is not None:
        return _fault(full if isinstance(full, DiskFull) else disk_full())
    text = "; ".join(_texts(chain))
    names = {type(link).__name__ for link in chain}
    if GPU_MEMORY.search(text) or any(_is_torch_memory(link) for link in chain):
        return _fault(gpu_memory(), out_of_memory=True)
    if GPU_FAULT.search(text) or names & GPU_FAULT_TYPES:
        return _fault(gpu_unavailable(text), gpu_fault=True)
    if MEMORY.search(text) or any(isinstance(link, MemoryError | OutOfMemory) for link in chain):
        return _fault(memory(in_engine=isinstance(error, EngineError)), out_of_memory=True)
    if isinstance(error, GpuUnavailable):
        return _fault(error, gpu_fault=True)
    if isinstance(error, MeshwrightError):
        return _fault(error)
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return _fault(EngineError("The engine wrote a file that is too large.", suggestion=LESS, reason="file_limit"))
    return _fault(_unknown(error))


def death(returncode: int, stage: str, *, was_out_of_memory: bool) -> Fault:
    """A process that ended without a word; ``returncode`` as subprocess has it, negative for a signal."""
    if was_out_of_memory and returncode == -signal.SIGKILL:
        return _fault(memory(in_engine=stage not in OUTSIDE_ENGINES), out_of_memory=True)
    how = _signal_name(-returncode) if returncode < 0 else f"exit code {returncode}"
    return _fault(
        EngineCrashed(
            f"The engine's process ended with {how} in the stage {stage or 'start'!r}.",
            suggestion="Try another engine, or report it with the job's log.",
            reason="engine_crashed",
        )
    )


def timeout(limit: str, seconds: float, stage: str) -> Fault:
    """A run that took longer than it may; ``limit`` is ``wall`` or ``stall``."""
    what = f"ran for longer than {seconds:g} s" if limit == "wall" else f"made no progress for {seconds:g} s"
    return _fault(
        EngineTimeout(
            f"The engine {what} and was stopped in the stage {stage or 'start'!r}.",
            suggestion="Lower the resolution or the budget, or raise the service's limit.",
            reason=f"{limit}_limit",
            limit_s=seconds,
        )
    )


def memory(*, in_engine: bool) -> OutOfMemory:
    """Memory that ran out in an engine, or around one."""
    if in_engine:
        return ModelOutOfMemory("The engine ran out of memory.", suggestion=LESS, reason="engine_out_of_memory")
    return OutOfMemory("Memory ran out around the engine.", suggestion=LESS, reason="out_of_memory")


def gpu_memory() -> GpuOutOfMemory:
    """The GPU's memory ran out."""
    return GpuOutOfMemory("The engine ran out of the GPU's memory.", suggestion=LESS, reason="gpu_out_of_memory")


def gpu_unavailable(text: str) -> GpuUnavailable:
    """The GPU failed."""
    return GpuUnavailable(
        f"The GPU failed: {text.splitlines()[0][:300]}",
        suggestion="Try again, on another worker if this one is reported unhealthy.",
        reason="gpu_fault",
    )


def disk_full() -> DiskFull:
    """There is no room to work in."""
    return DiskFull("The disk of the worker is full.", suggestion="Free some space, then run the job again.")


def _fault(error: MeshwrightError, *, out_of_memory: bool = False, gpu_fault: bool = False) -> Fault:
    return Fault(error.to_json()["error"], out_of_memory, gpu_fault)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _texts(chain: tuple[BaseException, ...]) -> Iterator[str]:
    """The messages, those of engines that all failed included."""
    for link in chain:
        yield str(link)
        if isinstance(link, MeshwrightError):
            engines = cast(Mapping[str, Mapping[str, Any]], link.details.get("engines") or {})
            yield from (str(body.get("message", "")) for body in engines.values())


def _is_full(error: BaseException) -> bool:
    return isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in NO_SPACE)


def _is_torch_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" and type(error).__module__.split(".")[0] == "torch"


def _unknown(error: BaseException) -> MeshwrightError:
    return MeshwrightError(
        f"The job ended with {type(error).__name__}: {str(error)[:500]}",
        suggestion="This is a fault of Meshwright: report it with the job's log.",
        reason="internal_fault",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
