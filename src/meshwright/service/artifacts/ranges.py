"""HTTP conditions and ranges as values: what RFC 9110 (8.8, 13 and 14) says about one file that never changes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)
_LONGEST = 200
_DIGITS = 18


class NotSatisfiable(Exception):
    """The range lies outside the file: 416."""


@dataclass(frozen=True)
class Span:
    """Bytes ``start`` to ``end``, the latter excluded."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    def content_range(self, total: int) -> str:
        """As the header ``Content-Range``."""
        return f"bytes {self.start}-{self.end - 1}/{total}"


def parse_range(header: str | None, total: int) -> Span | None:
    """The one range that is asked for; None where the whole file is to be sent.

    Several ranges, other units and what cannot be read count as no range: a server may always send everything.

    Raises:
        NotSatisfiable: there is no byte in the range.
    """
    match = _RANGE.fullmatch(header) if header and len(header) <= _LONGEST else None
    if match is None:
        return None
    first, last = match.groups()
    if (not first and not last) or max(len(first), len(last)) > _DIGITS:
        return None
    if not first:
        count = min(int(last), total)
        span = Span(total - count, total)
    else:
        if last and int(last) < int(first):
            return None
        span = Span(int(first), min(int(last) + 1, total) if last else total)
    if span.start >= total or span.size <= 0:
        raise NotSatisfiable
    return span


def matches(header: str | None, etag: str, *, weak: bool) -> bool:
    """Whether a list of tags (or ``*``) holds this one; a weak tag matches only where that is enough."""
    if header is None:
        return False
    for part in header.split(","):
        tag = part.strip()
        if tag == "*" or tag == etag or (weak and tag.removeprefix("W/") == etag):
            return True
    return False


def wanted_span(range_header: str | None, if_range: str | None, etag: str, total: int) -> Span | None:
    """The range to send; a condition that names another file (or a date, which we never gave) means everything."""
    if if_range is not None and if_range.strip() != etag:
        return None
    return parse_range(range_header, total)
