"""The failpoints do what the environment says, and nothing without it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import meshwright.service
from meshwright.service import failpoints
from meshwright.service.failpoints import KILLED, NAMES, VARIABLE, failpoint, parse

PASS_THREE = """
from meshwright.service.failpoints import failpoint
for number in range(3):
    failpoint("publish.after")
    print(number, flush=True)
"""


def run(plan: str) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": ":".join(sys.path), VARIABLE: plan}
    return subprocess.Popen([sys.executable, "-c", PASS_THREE], env=environment, stdout=subprocess.PIPE, text=True)


def test_nothing_happens_without_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    failpoint("a name that nobody lists")


def test_the_nth_pass_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    failpoints.reset()
    monkeypatch.setenv(VARIABLE, "publish.after:3:raise")
    failpoint("publish.after"), failpoint("publish.before"), failpoint("publish.after")
    with pytest.raises(OSError, match=r"publish\.after"):
        failpoint("publish.after")
    failpoint("publish.after")


def test_the_process_dies_where_it_is_told() -> None:
    process = run("publish.after:2")
    assert process.communicate(timeout=30)[0] == "0\n"
    assert process.returncode == KILLED


def test_the_process_freezes_until_it_is_continued() -> None:
    process = run("publish.after:2:stop")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "0\n1\n2\n"


def test_a_plan_that_names_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for plan, error in (("nowhere", KeyError), ("publish.after:x", ValueError), ("publish.after:1:boom", ValueError)):
        with pytest.raises(error):
            parse(plan)
    monkeypatch.setenv(VARIABLE, "publish.after:9")
    with pytest.raises(KeyError):
        failpoint("a name that nobody lists")


def test_every_place_in_the_code_is_listed() -> None:
    source = Path(meshwright.service.__file__).parent
    used = {name for path in source.rglob("*.py") for name in re.findall(r'failpoint\("(\w[^"]+)"\)', path.read_text())}
    assert used - {"name"} <= NAMES
