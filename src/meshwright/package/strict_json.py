"""JSON as our files hold it: indented, UTF-8, a final newline, never NaN or Infinity, no duplicate keys."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def dump_json(content: Any) -> bytes:
    """The bytes of a JSON file; a number that is not finite raises ValueError."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def load_json(data: bytes) -> Any:
    """Parse strictly: NaN, Infinity, numbers that overflow and duplicate keys raise ValueError."""
    try:
        return json.loads(
            data.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_duplicates
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found
