"""docs/threats.md has a row for every threat that was listed, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "threats.md"
LISTED = [
    f"T-{number:02d}"
    for first, last in ((1, 17), (20, 29), (30, 40), (50, 60), (70, 73))
    for number in range(first, last + 1)
]
ROW = re.compile(r"^\| (T-\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
REASON = re.compile(r"not tested[,:] \w+")
ROWS = {match[1]: match.groups()[1:] for match in ROW.finditer(PAGE.read_text())}
TESTS = sorted(set(NAMED.findall(PAGE.read_text())))


@cache
def functions(path: Path) -> set[str]:
    """Names of the test functions at the top of a file, as pytest finds them."""
    found = (
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {node.name for node in found if node.name.startswith("test_")}


def test_every_threat_has_one_row_in_order() -> None:
    assert [match[1] for match in ROW.finditer(PAGE.read_text())] == LISTED


@pytest.mark.parametrize("number", LISTED)
def test_a_row_names_a_test_or_says_why_there_is_none(number: str) -> None:
    threat, happens, shown = ROWS[number]
    assert threat.strip()
    assert happens.strip()
    assert NAMED.search(shown) or REASON.search(shown)
    assert shown.count("::") == len(NAMED.findall(shown)), "a name that cannot be read"


@pytest.mark.parametrize(("path", "name"), TESTS, ids=lambda part: Path(part).name)
def test_every_test_that_is_named_is_there(path: str, name: str) -> None:
    assert name in functions(ROOT / path)
