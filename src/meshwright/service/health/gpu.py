"""The GPU as the driver's own library (NVML) tells of it: no torch, no process, nothing allocated on the card."""

from __future__ import annotations

import ctypes
import threading
import time
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"
MEMORY_S = 5.0  # how long an answer is given again
GIB = 2**30
_TEXT = 96


@dataclass(frozen=True)
class Gpu:
    """One card. Sizes are in bytes."""

    name: str
    driver: str
    total: int
    free: int
    used: int


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class GpuProbe:
    """Asks at most every few seconds; threads may share it."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._found: tuple[Gpu, ...] = ()

    def gpus(self) -> tuple[Gpu, ...]:
        """The cards of this machine; none where there is no driver, or it does not answer."""
        with self._lock:
            if time.monotonic() - self._asked_at > MEMORY_S:
                self._found = _ask(self._library)
                self._asked_at = time.monotonic()
            return self._found


def _ask(library: str) -> tuple[Gpu, ...]:
    try:
        nvml = ctypes.CDLL(library)
        if nvml.nvmlInit_v2() != 0:
            return ()
    except (OSError, AttributeError):  # there is none, or it is something else
        return ()
    try:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return ()
        driver = ctypes.create_string_buffer(_TEXT)
        nvml.nvmlSystemGetDriverVersion(driver, _TEXT)
        found = [_card(nvml, index, driver.value.decode("ascii", "replace")) for index in range(count.value)]
        return tuple(card for card in found if card is not None)
    finally:
        nvml.nvmlShutdown()


def _card(nvml: ctypes.CDLL, index: int, driver: str) -> Gpu | None:
    handle, memory, name = ctypes.c_void_p(), _Memory(), ctypes.create_string_buffer(_TEXT)
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
        return None
    if nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0:
        return None
    nvml.nvmlDeviceGetName(handle, name, _TEXT)
    return Gpu(name.value.decode("utf-8", "replace"), driver, memory.total, memory.free, memory.used)
