"""How often someone may call: token buckets in memory, one for each key or address.

Every process counts on its own, so that no request waits for another machine; with N API processes the limit is N
times as high in the worst case.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from meshwright.errors import RateLimited

MAX_BUCKETS = 20_000  # about 3 MB; the one longest unused goes first
BURST_S = 10.0  # a full bucket holds the requests of this time, at least one


@dataclass(frozen=True)
class Standing:
    """What is left after a request was counted."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int  # until the bucket is full again
    retry_after_s: int  # until one more request is allowed; 0 where it was

    def headers(self) -> dict[str, str]:
        """As response headers (RateLimit fields of the IETF's draft, and Retry-After on a refusal)."""
        found = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }
        return found if self.allowed else {**found, "Retry-After": str(self.retry_after_s)}


class Rates:
    """Buckets that fill at ``per_minute`` and hold what comes in `BURST_S` seconds."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self.speed = per_minute / 60
        self.size = max(1.0, self.speed * BURST_S)
        self.clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> Standing:
        """Count one request of ``name``."""
        return self._count(name, 1.0)

    def peek(self, name: str) -> Standing:
        """What `take` would say, without counting."""
        return self._count(name, 0.0)

    def _count(self, name: str, cost: float) -> Standing:
        with self._lock:
            now = self.clock()
            level, then = self._buckets.get(name, (self.size, now))
            level = min(self.size, level + (now - then) * self.speed)
            allowed = level >= 1.0
            level -= cost if allowed else 0.0
            self._buckets[name] = (level, now)
            self._buckets.move_to_end(name)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        wait = 0.0 if allowed else (1.0 - level) / self.speed
        full = (self.size - level) / self.speed
        return Standing(allowed, self.per_minute, int(level), math.ceil(full), math.ceil(wait))


def refuse(standing: Standing, what: str) -> RateLimited:
    """The error of a refused request."""
    return RateLimited(
        f"Too many {what}: {standing.limit} a minute are allowed.",
        suggestion=f"Wait {standing.retry_after_s} s and try again.",
        reason="rate",
        retry_after_s=standing.retry_after_s,
        limit_per_minute=standing.limit,
    )
