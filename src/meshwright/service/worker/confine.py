"""What an engine's process may use, and that it never outlives its worker.

Three things see to the latter. The kernel kills the process when the thread that started it ends
(``PR_SET_PDEATHSIG``). A watcher, forked before anything else is loaded, kills the whole process group when the engine
dies or the other end of standard input closes: it needs neither the interpreter lock nor the engine's good will. And
the worker itself kills the group after every end that is not an orderly one.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
OPEN_FILES = 4096
FILE_BYTES = 16 * 2**30  # no artifact comes near
STANDARD_INPUT = 0


def confine(parent: int, memory_bytes: int) -> None:
    """Bind this process to its parent and set its limits; called first thing, while there is one thread."""
    if not die_with(parent):
        os._exit(1)
    _watch()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    if memory_bytes:
        _limit(resource.RLIMIT_AS, memory_bytes)


def die_with(parent: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Have the kernel send that signal when the parent dies; False when it is dead already."""
    _prctl(PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


def adopt_orphans() -> None:
    """For the worker: what an engine started and left behind becomes this process's own, to be waited for."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def reset_peak() -> None:
    """Measure the peak of memory from here on, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _watch() -> None:
    engine = os.getpid()
    if os.fork():
        return
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, lambda *_: os.killpg(0, signal.SIGKILL))
        if die_with(engine, signal.SIGUSR1):
            os.closerange(STANDARD_INPUT + 1, OPEN_FILES)
            closed = select.poll()
            closed.register(STANDARD_INPUT, 0)  # no event asked for: only the end of the other side is told
            closed.poll()
        os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(0)


def _limit(which: int, wanted: int) -> None:
    hard = resource.getrlimit(which)[1]
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (allowed, allowed))
