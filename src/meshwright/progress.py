"""How long work is watched and stopped: one `Context` goes through every stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from meshwright.errors import Cancelled


@dataclass(frozen=True)
class ProgressEvent:
    """One report: ``fraction`` of the whole work in 0..1 (never goes back), the stage and a short message."""

    stage: str
    fraction: float
    message: str
    elapsed_s: float


@dataclass
class Context:
    """Progress out, cancellation in.

    ``on_progress`` is called on every report, ``is_cancelled`` is polled by `check_cancelled`. A context without
    either is silent and never cancels, so library functions take ``context: Context | None``-free defaults
    (``Context()``).
    """

    on_progress: Callable[[ProgressEvent], None] | None = None
    is_cancelled: Callable[[], bool] | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _span: tuple[float, float] = (0.0, 1.0)
    _stage: str = ""
    _highest: float = 0.0

    def report(self, fraction: float, message: str = "") -> None:
        """Report ``fraction`` (0..1) of the current stage; also a point where cancellation is noticed."""
        self.check_cancelled()
        low, high = self._span
        self._highest = max(self._highest, low + (high - low) * min(max(fraction, 0.0), 1.0))
        if self.on_progress is not None:
            elapsed = time.monotonic() - self._started
            self.on_progress(ProgressEvent(self._stage, self._highest, message, elapsed))

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if the caller asked to stop."""
        if self.is_cancelled is not None and self.is_cancelled():
            raise Cancelled("The work was cancelled.", suggestion="Start it again to get a result.")

    @contextmanager
    def stage(self, name: str, low: float, high: float) -> Generator[None]:
        """Run a named stage that covers ``low..high`` of the enclosing stage's span; its seconds are recorded."""
        outer_span, outer_stage, began = self._span, self._stage, time.monotonic()
        width = outer_span[1] - outer_span[0]
        self._span = (outer_span[0] + width * low, outer_span[0] + width * high)
        self._stage = name
        self.report(0.0)
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + seconds
            self._highest = max(self._highest, self._span[1])
            self._span, self._stage = outer_span, outer_stage
