"""The engine's process: confines itself, then answers requests one by one until its standard input closes.

``python -m meshwright.service.worker.child --events FD --parent PID --memory BYTES``; only a worker starts it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType
from typing import TypeAlias

from meshwright.progress import Context
from meshwright.service.failpoints import failpoint
from meshwright.service.worker.confine import confine, reset_peak
from meshwright.service.worker.link import Link
from meshwright.service.worker.outcome import fault_of
from meshwright.service.worker.protocol import Done, Failed, Ready, Request, to_request
from meshwright.service.worker.run_job import run_job

Work: TypeAlias = Callable[[Request, Context, Link], Done]


def main(argv: Sequence[str] | None = None, work: Work = run_job) -> None:
    """Serve requests; ``work`` is what is done for each."""
    parser = argparse.ArgumentParser(prog="meshwright.service.worker.child")
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--memory", type=int, default=0)
    arguments = parser.parse_args(argv)
    os.set_inheritable(arguments.events, False)
    stopping = Stopping()
    confine(arguments.parent, arguments.memory)
    link = Link(arguments.events)
    link.send(Ready())
    for line in sys.stdin.buffer:
        with stopping.later():
            is_good = _answer(to_request(line), link, stopping, work)
        if not is_good or stopping.is_asked():
            return


class Stopping:
    """SIGTERM: an idle process ends at once, a busy one at the next point where it can."""

    def __init__(self) -> None:
        self._asked = self._busy = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def is_asked(self) -> bool:
        """Whether the worker wants this process to end."""
        return self._asked

    def later(self) -> Stopping:
        """A block that is not ended in its middle."""
        return self

    def __enter__(self) -> None:
        self._busy = True

    def __exit__(self, *_: object) -> None:
        self._busy = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if not self._busy:
            raise SystemExit(0)


def _answer(request: Request, link: Link, stopping: Stopping, work: Work) -> bool:
    """Do the work and tell its end; False when this process should not be used again."""
    from meshwright.package.manifest import peak_memory_bytes

    context = Context(on_progress=link.progress, is_cancelled=stopping.is_asked)
    reset_peak()
    try:
        failpoint("child.before_engine")
        done = work(request, context, link)
        failpoint("child.after_engine")
    except Exception as error:  # noqa: BLE001 - whatever it is, the worker is told and classifies it
        fault = fault_of(error)
        failed = Failed(fault.error, fault.out_of_memory, fault.gpu_fault, dict(context.stage_seconds))
        link.send(replace(failed, peak_memory_bytes=peak_memory_bytes()))
        return False
    failpoint("child.before_report")
    link.send(replace(done, peak_memory_bytes=peak_memory_bytes(), peak_gpu_bytes=_peak_gpu_bytes()))
    return done.reusable


def _peak_gpu_bytes() -> int | None:
    """The most that torch held on the GPU, where an engine has loaded it."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available():
        return None
    peak = int(cuda.max_memory_reserved())
    cuda.reset_peak_memory_stats()
    return peak


if __name__ == "__main__":
    main()
