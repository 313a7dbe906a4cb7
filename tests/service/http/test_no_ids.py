"""T-52: two hundred things that are no id, on every route that takes one; none reaches storage or becomes a path."""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from meshwright.service.jobs.job import new_job_id
from service.http.live import Live

HOSTILE = [
    "..", ".", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2f", "..%5c..%5c",
    "%252e%252e%252f", "%00", "a%00b", "%0d%0aX-Injected:%20y", "x%0a", "%1b[2J",
    "%ff%fe", "%c0%ae%c0%ae%c0%af", "%e2%80%ae", "%ef%bc%8e%ef%bc%8e", "%e2%80%a4", "/etc/passwd",
    "%2fetc%2fpasswd", "C:%5cWindows", "file:%2f%2f%2fetc", "http:%2f%2f127.0.0.1", "~root", "$HOME",
    "%24%7bjndi:ldap:%2f%2fx%7d", "'%20OR%201=1--", "%22;DROP%20TABLE%20jobs;--", "*", "%25", "%",
    "%zz", "null", "None", "undefined", "true", "-1",
    "0", "1e9", "NaN", "[]", "{}", "{job_id}",
    "jobs", "input", "attempt-1", "con", "nul.txt", "meshwright.db",
    ".part-0", "a" * 4096, "%61" * 1500, "A" * 21, "A" * 23, "A" * 21 + "%c3%85",
    "A" * 21 + "=",
]  # fmt: skip


def no_ids() -> list[str]:
    """The list above, and real ids with one character replaced by one that no id has."""
    rng = random.Random(52)
    found = list(HOSTILE)
    while len(found) < 200:
        text = new_job_id()
        at = rng.randrange(len(text))
        found.append(text[:at] + quote(rng.choice("./\\%\0\n+= ~:;'\"\u00e9\u2024\uff0e"), safe="") + text[at + 1 :])
    return found


def routes(server: Live) -> list[tuple[str, str]]:
    """Every documented route with an id in it, without a prefix and with one."""
    document = server.client.get("/openapi.json").json()["paths"]
    found: list[tuple[str, str]] = []
    for path, operations in document.items():
        if "{job_id}" in path:
            methods = [m.upper() for m in operations if m in ("get", "put", "post", "delete")]
            found += [(m, path.replace("{path}", "fusion/mesh.glb").replace("{delivery_id}", "msg_x")) for m in methods]
    return found


class Untouched:
    """A storage that nobody may ask anything."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"storage was asked to {name}")


def walk(server: Live, ids: list[str], wanted: list[tuple[str, str]]) -> None:
    """Ask for each with http.client: unlike httpx, it does not tidy a path up before it sends it."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        for method, path in ((method, path.replace("{job_id}", each)) for each in ids for method, path in wanted):
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status in (404, 405, 422), (method, path, answer.status)
            assert answer.getheader("X-Injected") is None
            assert json.loads(body)["error"]["code"], (method, path)


@pytest.fixture
def sealed(server: Live, monkeypatch: pytest.MonkeyPatch) -> Generator[Live]:
    """The server with a storage that must not be asked, and no file to open."""
    service = server.service
    stored = service.store
    object.__setattr__(service, "store", Untouched())
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    yield server
    object.__setattr__(service, "store", stored)


def test_two_hundred_that_are_no_id_are_found_on_no_route(sealed: Live) -> None:
    tried, ids = routes(sealed), no_ids()
    assert len(tried) >= 20
    assert len(ids) == 200
    walk(sealed, ids, tried)
