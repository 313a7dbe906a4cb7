"""The input report of an upload, made in a process of its own: the API process decodes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from meshwright.errors import EngineTimeout, OutOfMemory, RateLimited
from meshwright.service.settings import GIB, Settings
from meshwright.service.uploads.gate import capture_limits
from meshwright.service.worker.environment import child_environment

AT_ONCE = 2
WAITING = 8
SECONDS = 120.0
MEMORY_BYTES = 8 * GIB
MODULE = "meshwright.service.uploads.inspect_child"


class Inspector:
    """Runs one process for each report, few at once."""

    def __init__(self, settings: Settings, seconds: float = SECONDS) -> None:
        self._limits = asdict(capture_limits(settings))
        self._memory = settings.memory_bytes or MEMORY_BYTES
        self._seconds = seconds
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def inspect(self, path: Path, *, with_rig: bool) -> dict[str, Any]:
        """``{"report": ...}``, or the envelope of the error that the capture deserves.

        Raises:
            RateLimited: reason ``inspections``: too many wait already.
            EngineTimeout: reason ``inspect_timeout``.
            OutOfMemory: reason ``inspect_died``.
        """
        if self._waiting >= WAITING:
            raise RateLimited(
                "Too many captures are being looked at.",
                suggestion="Wait some seconds and try again.",
                reason="inspections",
                retry_after_s=10,
            )
        self._waiting += 1
        try:
            async with self._turns:
                return await self._run(path, with_rig)
        finally:
            self._waiting -= 1

    async def _run(self, path: Path, with_rig: bool) -> dict[str, Any]:
        request = json.dumps({"path": str(path), "rig": with_rig, "limits": self._limits}) + "\n"
        with tempfile.TemporaryDirectory(prefix="inspect-", dir=path.parent) as scratch:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULE, "--parent", str(os.getpid()), "--memory", str(self._memory),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=child_environment(Path(scratch), "cpu"),
                start_new_session=True,
            )  # fmt: skip
            try:
                answer = await asyncio.wait_for(_talk(process, request.encode()), self._seconds)
            except TimeoutError:
                raise EngineTimeout(
                    f"Looking at the capture took longer than {self._seconds:g} s.",
                    suggestion="Ask without the rig (?rig=false), or send fewer or smaller images.",
                    reason="inspect_timeout",
                ) from None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return _read(answer)


async def _talk(process: asyncio.subprocess.Process, request: bytes) -> bytes:
    """Standard input stays open while it works: its end would tell the process that its parent is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request)
    await process.stdin.drain()
    return await process.stdout.read()


def _read(answer: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise OutOfMemory(
            "The process that looked at the capture died; it probably ran out of memory.",
            suggestion="Send fewer or smaller images.",
            reason="inspect_died",
        ) from None
    return found
