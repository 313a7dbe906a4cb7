"""How long a job will still take: by how earlier jobs of the same engine spread their time over their progress."""

from __future__ import annotations

import threading
from bisect import bisect_right

Curve = tuple[tuple[float, float], ...]  # (fraction of the progress, share of the time), both rising from 0 to 1
STRAIGHT: Curve = ((0.0, 0.0), (1.0, 1.0))
LEAST_SHARE = 0.03  # below it, and before so many seconds, an estimate would be a guess
LEAST_S = 1.0


class History:
    """The curve of each engine's last finished job; shared by the slots of a worker."""

    def __init__(self) -> None:
        self._curves: dict[str, Curve] = {}
        self._lock = threading.Lock()

    def curve(self, engine: str) -> Curve:
        """What is known of an engine; a straight line at first."""
        with self._lock:
            return self._curves.get(engine, STRAIGHT)

    def learn(self, engine: str, points: list[tuple[float, float]]) -> None:
        """Keep a finished job's (fraction, elapsed seconds)."""
        if len(points) < 3 or points[-1][1] <= 0:
            return
        total = points[-1][1]
        shares = [(fraction, seconds / total) for fraction, seconds in points]
        with self._lock:
            self._curves[engine] = ((0.0, 0.0), *shares, (1.0, 1.0))


class Eta:
    """The estimate of one run."""

    def __init__(self, history: History, engine: str) -> None:
        self._history, self._engine = history, engine
        self._curve = history.curve(engine)
        self._points: list[tuple[float, float]] = []

    def estimate(self, fraction: float, elapsed_s: float) -> float | None:
        """Seconds still to go; None while nothing can be said."""
        if not self._points or fraction > self._points[-1][0]:
            self._points.append((fraction, elapsed_s))
        share = share_at(self._curve, fraction)
        if share < LEAST_SHARE or elapsed_s < LEAST_S:
            return None
        return round(elapsed_s * (1 - share) / share, 1)

    def done(self, elapsed_s: float) -> None:
        """The run has ended well: later ones are estimated by it."""
        self._history.learn(self._engine, [*self._points, (1.0, elapsed_s)])


def share_at(curve: Curve, fraction: float) -> float:
    """The share of the time at a fraction of the progress, straight between the curve's points."""
    above = bisect_right([point[0] for point in curve], fraction)
    if above == 0:
        return curve[0][1]
    if above == len(curve):
        return curve[-1][1]
    (x0, y0), (x1, y1) = curve[above - 1], curve[above]
    return y0 + (y1 - y0) * (fraction - x0) / (x1 - x0)
