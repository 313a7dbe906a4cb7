"""An engine's process whose work is a script: each thing that an engine may do to its worker. A double, for tests only.

It is the product's own process (limits, messages, classification) with another `work`; ``options["script"]`` is a list
of acts, done in order, before a small package is left.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from meshwright.errors import ConvergenceFailed, EngineUnavailable, IncompleteResults, InputError, OutOfMemory
from meshwright.progress import Context
from meshwright.service.worker import child
from meshwright.service.worker.link import Link
from meshwright.service.worker.protocol import Done, Log, Plan, Request

COMMAND = (sys.executable, str(Path(__file__).resolve()))
RAISED: dict[str, Exception] = {
    "input": InputError("The view is black.", reason="image_black"),
    "convergence": ConvergenceFailed("The optimisation diverged."),
    "unavailable": EngineUnavailable("There are no weights.", reason="engine_not_ready"),
    "engine_memory": OutOfMemory("The engine ran out of memory.", reason="engine_out_of_memory"),
    "memory": MemoryError(),
    "gpu_memory": RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "gpu": RuntimeError("CUDA error: an illegal memory access was encountered"),
    "disk": OSError(errno.ENOSPC, "No space left on device"),
    "incomplete": IncompleteResults("mesh.glb is missing.", reason="verify_failed"),
    "bug": ZeroDivisionError("division by zero"),
}


def scripted(request: Request, context: Context, link: Link) -> Done:
    options = request.options
    half = {"resolution": options["resolution"] // 2} if options.get("resolution", 1) > 32 else {}
    link.send(Plan(half))
    context.report(0.0)
    for act in options.get("script", ["ok"]):
        name, _, value = act.partition(":")
        ACTS[name](value, request, context, link)
    with context.stage("package", 0.9, 1.0):
        leave_package(request)
    return Done({"fusion": {"status": "completed"}}, "normal", "fusion: asked for", dict(context.stage_seconds))


def leave_package(request: Request) -> None:
    folder = Path(request.out)
    (folder / "fusion").mkdir(parents=True)
    (folder / "fusion" / "mesh.txt").write_text(request.job_id)
    (folder / "manifest.json").write_text(json.dumps({"pid": os.getpid(), "options": request.options}))
    with zipfile.ZipFile(request.archive, "w") as archive:
        archive.write(folder / "fusion" / "mesh.txt", "fusion/mesh.txt")


def steps(value: str, request: Request, context: Context, link: Link) -> None:
    """``count``: so many reports of progress, 10 ms apart."""
    with context.stage("fuse", 0.0, 0.9):
        for n in range(int(value)):
            context.report(n / int(value), f"step {n}")
            time.sleep(0.01)


def sleep(value: str, request: Request, context: Context, link: Link) -> None:
    """For ``value`` seconds, ready to be cancelled at any time."""
    end = time.monotonic() + float(value)
    with context.stage("fuse", 0.0, 0.9):
        while time.monotonic() < end:
            context.check_cancelled()
            time.sleep(0.01)


def deaf(value: str, request: Request, context: Context, link: Link) -> None:
    """A long call of C that no signal and no cancellation gets into."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with context.stage("fuse", 0.0, 0.9):
        time.sleep(float(value))


def busy(value: str, request: Request, context: Context, link: Link) -> None:
    """Progress for ever."""
    with context.stage("fuse", 0.0, 0.9):
        while True:
            context.report(0.5)
            time.sleep(0.01)


def segfault(value: str, request: Request, context: Context, link: Link) -> None:
    ctypes.string_at(0)


def kill(value: str, request: Request, context: Context, link: Link) -> None:
    with context.stage(value or "fuse", 0.0, 0.9):
        os.kill(os.getpid(), signal.SIGKILL)


def exit(value: str, request: Request, context: Context, link: Link) -> None:
    os._exit(int(value))


def fail(value: str, request: Request, context: Context, link: Link) -> None:
    raise RAISED[value]


def above(value: str, request: Request, context: Context, link: Link) -> None:
    """``limit:error``: fail so above a resolution."""
    limit, _, error = value.partition(":")
    if request.options["resolution"] > int(limit):
        raise RAISED[error]


def allocate(value: str, request: Request, context: Context, link: Link) -> None:
    bytearray(int(float(value) * 2**30))


def flood(value: str, request: Request, context: Context, link: Link) -> None:
    """So many MiB on both outputs, the last without an end of line."""
    for stream in (sys.stdout, sys.stderr):
        for _ in range(int(value) * 256):
            stream.write("x" * 4096)
        stream.flush()
    print("\nflooded", flush=True)


def offspring(value: str, request: Request, context: Context, link: Link) -> None:
    """A process of its own that nobody waits for; its number goes into the log."""
    link.send(Log(f"offspring {subprocess.Popen(['sleep', '600']).pid}"))


def file(value: str, request: Request, context: Context, link: Link) -> None:
    """A file of ``value`` GiB, of which nothing but the last byte is written."""
    with (Path(request.out).parent / "large").open("wb") as large:
        large.seek(int(value) * 2**30)
        large.write(b"x")


def open_files(value: str, request: Request, context: Context, link: Link) -> None:
    """So many at once; and no core file may be left by a crash."""
    kept = [Path("/dev/null").open() for _ in range(int(value))]
    link.send(Log(f"{len(kept)} files, core limit {resource.getrlimit(resource.RLIMIT_CORE)[0]}"))


def environment(value: str, request: Request, context: Context, link: Link) -> None:
    link.send(Log("environment " + " ".join(sorted(os.environ))))


def once(value: str, request: Request, context: Context, link: Link) -> None:
    """``file:act``: do the act only the first time that the file is not there."""
    path, _, act = value.partition(":")
    if not Path(path).exists():
        Path(path).touch()
        name, _, rest = act.partition(":")
        ACTS[name](rest, request, context, link)


ACTS: dict[str, Any] = {
    act.__name__: act
    for act in (
        *(steps, sleep, deaf, busy, segfault, kill, exit, fail, above, allocate),
        *(flood, offspring, file, open_files, environment, once),
    )
} | {"ok": lambda *_: None}


if __name__ == "__main__":
    child.main(work=scripted)
