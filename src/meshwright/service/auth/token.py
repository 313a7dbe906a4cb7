"""An API key as its holder sees it, ``mw_<id>_<secret>``, and the keyed hash that is stored in its place."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

PREFIX = "mw"
ID_BYTES, SECRET_BYTES = 8, 32
# Also what logs look for: a key must not survive in them, whoever put it there.
TOKEN = re.compile(r"mw_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, repr=False)
class Token:
    """The two parts of a key. Its text is only to be shown once, when it is made."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Token({self.id}, ...)"

    def reveal(self) -> str:
        """The key as its holder is to send it."""
        return f"{PREFIX}_{self.id}_{self.secret}"


def new_token() -> Token:
    """A key of 32 random bytes under a random id."""
    return Token(secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES))


def parse_token(text: str) -> Token | None:
    """The parts of a key, or None where the text is no key."""
    found = TOKEN.fullmatch(text)
    return Token(found[1], found[2]) if found else None


def token_hash(token: Token, root: bytes) -> str:
    """The keyed SHA-256 of a key, hex: worthless without the service's root secret."""
    return hmac.new(root, f"{token.id}.{token.secret}".encode(), hashlib.sha256).hexdigest()


def matches(token: Token, root: bytes, stored: str) -> bool:
    """Whether a key is the one whose hash is stored; takes as long for every answer."""
    return hmac.compare_digest(token_hash(token, root), stored)
