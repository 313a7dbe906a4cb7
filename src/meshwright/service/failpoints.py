"""Places where a test can make a process die, fail or freeze, to see that what comes after a crash is whole.

``failpoint("name")`` does nothing unless the environment variable ``MESHWRIGHT_FAIL_AT`` names it, as
``name[:n][:exit|raise|stop]``: at the n-th pass (the first, by default) the process exits as if killed (the default),
raises an input/output error, or stops until it is continued. Every place is listed in :data:`NAMES`, so that a test
that runs through the list covers a new stage without being changed.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from typing import Literal

VARIABLE = "MESHWRIGHT_FAIL_AT"
KILLED = 137  # what a shell says of a process that SIGKILL ended

NAMES: frozenset[str] = frozenset(
    {
        # an upload, until the client has its answer
        "upload.received",
        "intake.staged",
        "intake.stored",
        "submit.before_commit",
        "submit.after_commit",
        "announce.before",
        "announce.after",
        "submit.before_answer",
        # storage, for each file
        "storage.before_temp",
        "storage.after_temp",
        "storage.before_rename",
        "storage.after_rename",
        # an attempt, in its worker
        "claim.before_commit",
        "claim.after_commit",
        "worker.before_child",
        "worker.child_started",
        "heartbeat.before_commit",
        "heartbeat.after_commit",
        "worker.child_done",
        "publish.before",
        "publish.between_files",
        "publish.after",
        "finish.before_commit",
        "finish.after_commit",
        "worker.after_finish",
        # an attempt, in its child
        "child.before_engine",
        "child.after_engine",
        "child.before_report",
        # housekeeping
        "reap.before_commit",
        "reap.after_commit",
        "janitor.before_delete",
        "janitor.after_delete",
        "webhook.before_send",
        "webhook.after_send",
    }
)

Action = Literal["exit", "raise", "stop"]
_passes: dict[str, int] = {}
_counting = threading.Lock()


def failpoint(name: str) -> None:
    """Pass a place; see the module for what may happen there.

    Raises:
        OSError: when the environment asks for it.
        KeyError: when a place that is not in :data:`NAMES` is asked for or passed while one is.
    """
    plan = os.environ.get(VARIABLE)
    if not plan:
        return
    wanted, nth, action = parse(plan)
    if name not in NAMES:
        raise KeyError(name)
    if name == wanted and _count(plan) == nth:
        _act(name, action)


def parse(plan: str) -> tuple[str, int, Action]:
    """Read ``name[:n][:action]``.

    Raises:
        KeyError: when the name is not in :data:`NAMES`.
        ValueError: when the rest cannot be read.
    """
    name, *rest = plan.split(":")
    if name not in NAMES:
        raise KeyError(name)
    nth = int(rest.pop(0)) if rest and rest[0].isdigit() else 1
    match rest:
        case [] | ["exit"]:
            return name, nth, "exit"
        case ["raise"]:
            return name, nth, "raise"
        case ["stop"]:
            return name, nth, "stop"
        case _:
            raise ValueError(f"{VARIABLE}={plan}: name[:n][:exit|raise|stop]")


def _count(plan: str) -> int:
    with _counting:
        _passes[plan] = _passes.get(plan, 0) + 1
        return _passes[plan]


def reset() -> None:
    """Start to count from the first pass again."""
    with _counting:
        _passes.clear()


def _act(name: str, action: Action) -> None:
    if action == "raise":
        raise OSError(errno.EIO, f"failpoint {name}")
    if action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        os._exit(KILLED)
