"""Which engines the GPU has room for now, by what they were measured to take; and whether the GPU can be trusted."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence

ASK = ("nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits")
ASK_S = 10.0
MIB = 2**20
MARGIN = 1.15  # of a measured peak: allocators and kernels take some more than tensors do
CONTEXT_BYTES = 600 * MIB  # what CUDA takes for a process before its first tensor
FAULTS = 2  # in a row, after which this machine's GPU is not used any more


class Gpu:
    """Admission and health of one GPU; shared by the slots of a worker. Without a GPU everything is let through."""

    def __init__(self, ask: Sequence[str] = ASK) -> None:
        device = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
        self._ask = [*ask, f"--id={device}"] if device else list(ask)
        self._peaks: dict[str, int] = {}
        self._faults = 0
        self._lock = threading.Lock()

    @property
    def is_unhealthy(self) -> bool:
        """Whether it failed too often in a row."""
        return self._faults >= FAULTS

    def learn(self, engine: str, peak_bytes: int | None) -> None:
        """A job ended well: the GPU works, and this is the most that its tensors took."""
        with self._lock:
            self._faults = 0
            if peak_bytes:
                self._peaks[engine] = max(peak_bytes, self._peaks.get(engine, 0))

    def fault(self) -> None:
        """A job met a fault of the GPU."""
        with self._lock:
            self._faults += 1

    def admitted(self, engines: Sequence[str], running: int) -> list[str]:
        """Those of the engines that there is room for beside the jobs that run.

        An engine that was not measured yet runs alone the first time.
        """
        free = self.free_bytes()
        if free is None or running == 0:
            return list(engines)
        with self._lock:
            peaks = dict(self._peaks)
        return [name for name in engines if name in peaks and peaks[name] * MARGIN + CONTEXT_BYTES <= free]

    def free_bytes(self) -> int | None:
        """Free memory as the driver has it; None where there is no GPU."""
        try:
            answer = subprocess.run(self._ask, capture_output=True, text=True, timeout=ASK_S, check=True).stdout
            return int(answer.splitlines()[0].split(",")[0]) * MIB
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None
