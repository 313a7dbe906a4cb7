"""Server-sent events (WHATWG HTML, 9.2.6), decoded line by line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

from meshwright.client.models import JobEvent


class Decoder:
    """Lines in, events out; a comment keeps the line open and says nothing."""

    def __init__(self) -> None:
        self._id = self._kind = ""
        self._data: list[str] = []

    def feed(self, line: str) -> JobEvent | None:
        """The event that this line completes, or None."""
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value
        elif name == "event":
            self._kind = value
        return None

    def _complete(self) -> JobEvent | None:
        data, kind = "\n".join(self._data), self._kind or "message"
        self._data, self._kind = [], ""
        if not data or not self._id.isdigit():
            return None
        try:
            content = json.loads(data)
        except ValueError:
            return None
        return JobEvent(id=int(self._id), kind=kind, data=content) if isinstance(content, dict) else None


def decode(lines: Iterator[str]) -> Iterator[JobEvent]:
    """The events of a stream."""
    decoder = Decoder()
    for line in lines:
        event = decoder.feed(line)
        if event is not None:
            yield event


async def decode_async(lines: AsyncIterator[str]) -> AsyncIterator[JobEvent]:
    """The events of a stream, for asyncio."""
    decoder = Decoder()
    async for line in lines:
        event = decoder.feed(line)
        if event is not None:
            yield event
