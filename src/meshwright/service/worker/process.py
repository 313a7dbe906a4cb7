"""The worker's end of an engine's process: started, listened to, drained, and ended with all that it has started."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from meshwright.service.worker.confine import adopt_orphans
from meshwright.service.worker.environment import child_environment
from meshwright.service.worker.protocol import Message, Request, to_line, to_message

CHILD_COMMAND: tuple[str, ...] = (sys.executable, "-m", "meshwright.service.worker.child")
LINE_BYTES = 4096  # of output: a longer line is cut there
TAIL_LINES = 40
GONE_S = 2.0  # how long the kernel may take to end a group that was killed


class EngineProcess:
    """A process that runs engines, in a session and process group of its own.

    ``on_line`` is given each line that the process or anything it starts prints; both outputs are read all the time,
    so that a full pipe never stops an engine. Starting it is for a thread that lives on: the process dies with it.
    """

    def __init__(
        self,
        command: Sequence[str],
        scratch: Path,
        *,
        device: str = "cpu",
        memory_bytes: int = 0,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.on_line = on_line
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.runs = 0
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        adopt_orphans()
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*command, f"--events={writing}", f"--parent={os.getpid()}", f"--memory={memory_bytes}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
                env=child_environment(scratch, device),
                cwd=scratch,
                bufsize=0,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        events, output = os.fdopen(reading, "rb"), self._process.stdout
        assert output is not None
        self._readers = [
            threading.Thread(target=self._read_messages, args=(events,), name="engine-events", daemon=True),
            threading.Thread(target=self._drain, args=(output,), name="engine-output", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Of the process, of its session and of its process group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None until `stop` was called."""
        return self._process.returncode

    @property
    def has_exited(self) -> bool:
        """Whether it has ended. It is not waited for yet, so its number cannot be another process's."""
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def send(self, request: Request) -> None:
        """Ask for a run. That it is dead shows when its messages are read."""
        assert self._process.stdin is not None
        self.runs += 1
        with suppress(BrokenPipeError):
            self._process.stdin.write(to_line(request))

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None when there was none for so long."""
        try:
            return self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def stop(self, grace_s: float = 0.0) -> int:
        """End the whole group: asked to first, where there is a grace, then killed. Returns how the process ended."""
        if self._process.returncode is not None:
            return self._process.returncode
        if grace_s > 0 and not self.has_exited:
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + grace_s
            while not self.has_exited and time.monotonic() < deadline:
                time.sleep(0.02)
        self._signal(signal.SIGKILL)
        returncode = self._process.wait()
        self._wait_for_group()
        for reader in self._readers:
            reader.join(timeout=1.0)
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        return returncode

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _wait_for_group(self) -> None:
        """Until all that was killed is gone; what lost its parent is ours by now, and no zombie is left of it."""
        deadline = time.monotonic() + GONE_S
        with suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-self.pid, os.WNOHANG) == (0, 0):
                    time.sleep(0.005)

    def _read_messages(self, events: IO[bytes]) -> None:
        with events:
            for line in events:
                if (message := to_message(line)) is not None:
                    self._messages.put(message)

    def _drain(self, output: IO[bytes]) -> None:
        rest = b""
        with output:
            while piece := os.read(output.fileno(), 65_536):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > LINE_BYTES:
                    self._take(rest)
                    rest = b""
        self._take(rest)

    def _take(self, line: bytes) -> None:
        text = line[:LINE_BYTES].decode(errors="replace").rstrip()
        if text:
            self.tail.append(text)
            if self.on_line is not None:
                self.on_line(text)
