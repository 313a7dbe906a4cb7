"""JSON from strangers: bounded in size and nesting, no duplicate keys, no NaN or infinity in any spelling."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from meshwright.capture.limits import Limits
from meshwright.errors import FileTooLarge, InputError, InvalidFileFormat

# The string part always matches to its end (possessive, or the end of the text), so the scan is linear.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.?)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def parse_json(data: bytes, path: str, limits: Limits) -> dict[str, Any]:
    """The object in a JSON file. Raises `FileTooLarge` or `InvalidFileFormat` (reason ``json_*``), naming ``path``."""
    check_json_size(len(data), path, limits)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("json_invalid", path, "is not UTF-8 text")
    _check_depth(text, path, limits.json_depth)
    try:
        value = json.loads(
            text, parse_constant=lambda word: _refuse("json_not_finite", path, f"holds {word}"),
            parse_float=lambda word: _finite(word, path), parse_int=lambda word: _finite_int(word, path),
            object_pairs_hook=lambda pairs: _distinct(pairs, path),
        )  # fmt: skip
    except (json.JSONDecodeError, RecursionError) as error:
        at = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        _refuse("json_invalid", path, f"is no JSON{at}")
    if not isinstance(value, dict):
        _refuse("json_invalid", path, "does not hold an object")
    return value


def check_json_size(size: int, path: str, limits: Limits) -> None:
    """`FileTooLarge` where a JSON file is over its limit in bytes."""
    if size > limits.cameras_bytes:
        raise FileTooLarge(
            f"{path} is larger than {limits.cameras_bytes:,} bytes.",
            suggestion="Keep only the frames of this capture.",
            reason="json_too_large",
            file=path,
        )


def pointer_error(path: str, pointer: str, what: str, reason: str, suggestion: str = "") -> InputError:
    """A value that is wrong; ``pointer`` is its JSON pointer (RFC 6901), kept in ``details``."""
    return InputError(
        f"{path}: {what} (at {pointer}).",
        suggestion=suggestion or f"Correct {pointer} in {path}.",
        reason=reason,
        file=path,
        pointer=pointer,
    )


def _refuse(reason: str, path: str, what: str) -> NoReturn:
    raise InvalidFileFormat(f"{path} {what}.", suggestion="Write the file again.", reason=reason, file=path)


def _check_depth(text: str, path: str, limit: int) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match[0]
        depth += (token in "[{") - (token in "]}")
        if depth > limit:
            _refuse("json_too_deep", path, f"is nested deeper than {limit} levels")


def _finite(word: str, path: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        _refuse("json_not_finite", path, f"holds the number {word[:40]}, which is not finite")
    return value


def _finite_int(word: str, path: str) -> int:
    if len(word) > 300:
        _refuse("json_not_finite", path, "holds a number of more than 300 digits")
    return int(word)


def _distinct(pairs: list[tuple[str, Any]], path: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        _refuse("json_duplicate_key", path, f"holds the key {twice[:80]!r} twice in one object")
    return found
