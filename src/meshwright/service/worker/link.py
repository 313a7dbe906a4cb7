"""The engine's process's end of the pipe to its worker: messages out, not more often than they are of use."""

from __future__ import annotations

import os
import threading
import time

from meshwright.package.manifest import peak_memory_bytes
from meshwright.progress import ProgressEvent
from meshwright.service.worker.protocol import Advance, Message, to_line

PAUSE_S = 0.25  # between two reports of the same stage: 4 a second


class Link:
    """Sends messages through a file descriptor; any thread may."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._last = ("", "", 0.0)  # stage, message and time of the last report

    def send(self, message: Message) -> None:
        """Send one message. When nobody is there to read it any more, this process has no reason to be."""
        try:
            with self._lock, memoryview(to_line(message)) as line:
                sent = 0
                while sent < len(line):
                    sent += os.write(self._descriptor, line[sent:])
        except BrokenPipeError:
            os._exit(1)

    def progress(self, event: ProgressEvent) -> None:
        """Report progress: each new stage at once, the rest a few times a second."""
        now = time.monotonic()
        stage, _, last = self._last
        if event.stage == stage and now - last < PAUSE_S:
            return
        self._last = (event.stage, event.message, now)
        self.send(Advance(event.stage, round(event.fraction, 4), event.message[:300], peak_memory_bytes()))
