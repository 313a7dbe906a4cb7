"""T-17 for logs: one JSON object a line whatever is logged, no control characters, and never a secret."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Generator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from meshwright.service import logs
from meshwright.service.auth.token import new_token

NASTY = ["a\r\nINFO forged", "\x1b[31mred", "%0a", "a\x00b", "\u202eevil", "line\u2028break", "\x7f\x9b", "x" * 10**6]


@pytest.fixture(autouse=True)
def leave_logging_as_it_was() -> Generator[None]:
    root = logging.getLogger()  # noqa: TID251
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(form: Any, *values: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    logs.configure("info", form, stream)
    for value in values:
        logs.logger().info("upload received", **value)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_a_clients_name_is_one_clean_json_line(name: str) -> None:
    (line,) = lines("json", {"file_name": name, "nested": {name: [name]}})
    assert line.isprintable()
    assert json.loads(line)["file_name"].isprintable()
    assert len(line) < 4 * (logs.MAX_TEXT + 100)


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_a_clients_name_is_one_clean_line_in_a_terminal(name: str) -> None:
    (line,) = lines("text", {"file_name": name})
    assert line.isprintable()


@given(st.text())
def test_any_text_becomes_printable(text: str) -> None:
    assert logs.clean_text(text).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=50).filter(lambda s: "://" not in s))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert logs.clean_text(text) == text


CANARY = new_token().reveal()


@pytest.mark.parametrize(
    "value",
    [
        {"note": f"key {CANARY} given"},
        {"headers": {"Authorization": "Bearer anything-at-all"}},
        {"headers": [f"X-API-Key: {CANARY}"]},
        {"api_key": "anything-at-all"},
        {"url": "https://user:anything-at-all@example.com/"},
        {"setting": SecretStr("anything-at-all")},
        {"database_password": "anything-at-all"},
        {"note": "whsec_anythingatall0000"},
        {CANARY: 1},
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_is_logged(form: str, value: dict[str, Any]) -> None:
    (line,) = lines(form, value)
    assert CANARY not in line
    assert "anything" not in line
    assert logs.BLANK in line


def test_a_traceback_keeps_its_lines_and_no_secret() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        raise ValueError(f"no such key: {CANARY}\x1b")
    except ValueError:
        logs.logger().exception("request failed")
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)["exception"]
    assert "Traceback" in told
    assert CANARY not in told
    assert "\x1b" not in told


def test_the_lines_of_libraries_have_the_same_form() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logging.getLogger("uvicorn.error").warning("lost %s", f"{CANARY}\n")  # noqa: TID251
    logging.getLogger("uvicorn.access").warning("not ours")  # noqa: TID251
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert told["level"] == "warning"
    assert told["event"].startswith("lost [secret]")


def test_what_is_bound_is_in_every_line() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    with logs.bound(request_id="r1", job_id="j1"):
        logs.logger().info("one")
        logging.getLogger("sqlalchemy").warning("two")  # noqa: TID251
    logs.logger().info("three")
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line.get("request_id"), line.get("job_id")) for line in told] == [("r1", "j1"), ("r1", "j1"), (None, None)]
    assert {"event", "level", "timestamp"} <= set(told[2])


def test_what_is_below_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    logs.configure("warning", "json", stream)
    logs.logger().info("quiet")
    logs.logger().warning("loud")
    assert len(stream.getvalue().splitlines()) == 1
