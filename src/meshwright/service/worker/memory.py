"""Whether the system has killed for want of memory: its own counters tell a kill from a kill."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)
LINE = re.compile(r"^oom_kill (\d+)$", re.M)


def oom_kills(counters: Iterable[Path] = COUNTERS) -> int | None:
    """How many processes were killed for want of memory, as far as the counters tell; None where there is none."""
    found = [int(match.group(1)) for path in counters if (match := LINE.search(_read(path)))]
    return sum(found) if found else None


def was_out_of_memory(before: int | None, after: int | None) -> bool:
    """Whether a SIGKILL in between was the system's. Where it counts nothing, there is no likelier sender."""
    return before is None or after is None or after > before


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
