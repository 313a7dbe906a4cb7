"""Who sends a key: looked up for every request, from a memory that is at most two seconds old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from meshwright.service.auth.keys import KeyBook
from meshwright.service.auth.principal import Principal
from meshwright.service.auth.token import Token, matches, parse_token

MEMORY_S = 2.0  # how long a process trusts what it has read: a revoked key works for no longer
MAX_REMEMBERED = 10_000
NO_DIGEST = "0" * 64  # compared with where there is no key, so that both answers take as long


@dataclass(frozen=True)
class _Entry:
    read_at: float
    digest: str
    principal: Principal | None  # None: no such key, or not an active one


class KeyLookup:
    """Answers from memory where it can. One object a process; threads may share it."""

    def __init__(self, keys: KeyBook, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.keys = keys
        self.clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._any: tuple[float, bool] | None = None

    def knows(self, text: str) -> bool:
        """Whether `authenticate` answers from memory, without the database."""
        token = parse_token(text)
        return token is None or self._recall(token.id) is not None

    def authenticate(self, text: str) -> Principal | None:
        """Who sends this key, or None where it is none, or not an active one."""
        token = parse_token(text)
        if token is None:
            return None
        entry = self._recall(token.id) or self._look_up(token)
        return entry.principal if matches(token, self.keys.root, entry.digest) else None

    @property
    def knows_any(self) -> bool:
        """Whether `has_any` answers from memory."""
        return self._any is not None and (self._any[1] or self.clock() - self._any[0] <= MEMORY_S)

    def has_any(self) -> bool:
        """Whether a key was ever made; once there was one, that stays so."""
        if not self.knows_any:
            read_at = self.clock()
            self._any = (read_at, self.keys.has_any())
        return self._any is not None and self._any[1]

    def _recall(self, key_id: str) -> _Entry | None:
        with self._lock:
            found = self._entries.get(key_id)
        return found if found is not None and self.clock() - found.read_at <= MEMORY_S else None

    def _look_up(self, token: Token) -> _Entry:
        read_at = self.clock()  # before the read: what is revoked during it is trusted for no longer
        found = self.keys.find(token.id)
        entry = _Entry(read_at, NO_DIGEST, None)
        if found is not None:
            info, digest = found
            now = self.keys.database.now()
            who = Principal(info.tenant, info.scopes, f"key:{info.id}", info.id) if info.is_active(now) else None
            entry = _Entry(read_at, digest, who)
            if who is not None and matches(token, self.keys.root, digest):
                self.keys.note_use(info, now)
        with self._lock:
            if len(self._entries) >= MAX_REMEMBERED:
                self._entries.clear()
            self._entries[token.id] = entry
        return entry
