"""How many uploads one process receives at once: no more than it has memory for, and never all of them one tenant's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from meshwright.errors import RateLimited

RETRY_S = 5
RESERVED = 8  # one slot in so many is kept for other tenants


class Slots:
    """Counts what is under way; only ever used by the event loop's thread, so it needs no lock."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.each = max(1, limit - limit // RESERVED)
        self.taken: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Slots taken."""
        return self.taken.total()

    @contextmanager
    def take(self, tenant: str) -> Generator[None]:
        """Hold a slot for the block.

        Raises:
            RateLimited: reason ``uploads``: all are taken.
        """
        if self.total >= self.limit or self.taken[tenant] >= self.each:
            raise RateLimited(
                "Too many uploads are being received at once.",
                suggestion=f"Wait {RETRY_S} s and try again.",
                reason="uploads",
                limit=self.limit,
                retry_after_s=RETRY_S,
            )
        self.taken[tenant] += 1
        try:
            yield
        finally:
            self.taken[tenant] -= 1
            self.taken += Counter()  # drops those that are zero
