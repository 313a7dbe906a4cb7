"""Log lines of the service: JSON for machines or text for terminals, with request and job ids, and without secrets.

A name that a client chose may hold anything; in a log line it has no control characters, no direction marks and no more
than `MAX_TEXT` characters. Whatever looks like a key is blanked, whoever logged it.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import unicodedata
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog
from pydantic import SecretBytes, SecretStr

from meshwright.service.auth.token import TOKEN

MAX_TEXT = 4000
BLANK = "[secret]"
SECRET_NAMES = re.compile(r"secret|password|passwd|token|authorization|api[-_]?key|cookie|signature", re.IGNORECASE)
SECRET_TEXTS = re.compile(
    rf"{TOKEN.pattern}|whsec_[A-Za-z0-9+/=]+|(?<=://)[^/@\s]+:[^/@\s]+(?=@)|(?<=[Bb]earer )\S+", re.ASCII
)
Event = MutableMapping[str, Any]


def configure(level: str = "info", form: Literal["json", "text"] = "json", stream: TextIO | None = None) -> None:
    """Set up logging for this process, that of the libraries it uses included. Called once, by a command's start."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        clean,
    ]
    last: Any = structlog.dev.ConsoleRenderer(colors=False) if form == "text" else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "ours": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
                    "foreign_pre_chain": shared,
                }
            },
            "handlers": {
                "out": {"class": "logging.StreamHandler", "formatter": "ours", "stream": stream or sys.stderr}
            },
            "root": {"handlers": ["out"], "level": level.upper()},
            # uvicorn's own access log is off: the service's middleware writes one line a request, with its ids
            "loggers": {
                "uvicorn": {"handlers": [], "propagate": True},
                "uvicorn.access": {"handlers": [], "propagate": False},
                "alembic": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                "httpcore": {"level": "WARNING"},
            },
        }
    )


def logger(**bound: Any) -> structlog.stdlib.BoundLogger:
    """A logger; ``logger().info("job claimed", job_id=...)``."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(**bound))


# What is bound here is in every line of the current request or job: ``with bound(request_id=...): ...``
bound = structlog.contextvars.bound_contextvars


def clean(_logger: Any, _method: str, event: Event) -> Event:
    """A processor: blank secrets, and make every text safe to print, by `clean_text`."""
    return {clean_text(str(name)): _clean_value(str(name), value) for name, value in event.items()}


def _clean_value(name: str, value: Any) -> Any:
    if isinstance(value, (SecretStr, SecretBytes)) or (SECRET_NAMES.search(name) and value not in (None, "")):
        return BLANK
    if name in ("_record", "_from_structlog") or value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {clean_text(str(k)): _clean_value(str(k), v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean_value("", v) for v in list(cast(list[Any], value))[:100]]
    if name in ("exception", "stack"):  # our own lines of a traceback keep their breaks
        return "\n".join(clean_text(line) for line in str(value).splitlines())
    return clean_text(value if isinstance(value, str) else str(value))


def clean_text(text: str) -> str:
    """The text without secrets, cut at `MAX_TEXT`, and with all that does not print written as ``\\x1b``."""
    short = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + f"... ({len(text):,} characters)"
    blanked = SECRET_TEXTS.sub(BLANK, short)
    return blanked if blanked.isprintable() else "".join(_shown(c) for c in blanked)


def _shown(character: str) -> str:
    if unicodedata.category(character)[0] not in "CZ" or character == " ":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
