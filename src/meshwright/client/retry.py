"""When a call is made again, and after how long: never where it could be done twice."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx

PASSING = frozenset({429, 502, 503, 504})
SAFE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
LONGEST_PAUSE_S = 60.0
# Answers with such a status that stand nevertheless, however often one asks.
LASTING = frozenset({"ENGINE_UNAVAILABLE", "GPU_UNAVAILABLE", "MEMORY_EXHAUSTED", "ENGINE_TIMEOUT", "storage_quota"})


@dataclass(frozen=True)
class Retry:
    """How often (``tries`` after the first), and the pauses: twice as long each time, with jitter."""

    tries: int = 4
    first_pause_s: float = 0.4

    def after_error(self, attempt: int, *, is_safe: bool) -> float | None:
        """The pause after a broken connection, or None to give up; ``attempt`` counts from 0."""
        return self._pause(attempt) if is_safe and attempt < self.tries else None

    def after_answer(self, attempt: int, response: httpx.Response) -> float | None:
        """The pause after an answer that will pass, or None where it stands. None of these was acted on."""
        if response.status_code not in PASSING or attempt >= self.tries or _is_lasting(response):
            return None
        asked = response.headers.get("retry-after", "")
        wait = float(asked) if asked.isdigit() else 0.0
        return None if wait > LONGEST_PAUSE_S else max(wait, self._pause(attempt))

    def _pause(self, attempt: int) -> float:
        return min(LONGEST_PAUSE_S, self.first_pause_s * 2**attempt) * random.uniform(0.5, 1.0)


def _is_lasting(response: httpx.Response) -> bool:
    """Whether the envelope, where the body is one, tells of what does not pass by itself."""
    try:
        error = response.json()["error"]
        return not LASTING.isdisjoint({error["code"], error.get("details", {}).get("reason")})
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
