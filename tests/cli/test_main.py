"""The command line's frame: verbs, exit codes, errors as panels or JSON, nothing as a traceback."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from meshwright.cli import main as cli
from meshwright.cli.exits import CANCELLED, INTERNAL, USAGE, exit_code
from meshwright.cli.main import VERBS, load_verb, run
from meshwright.errors import EngineUnavailable, InputError

Captured = pytest.CaptureFixture[str]


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the cheapest verb raise."""

    def engines(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """Raise."""
        raise error

    import meshwright.cli.engines

    monkeypatch.setattr(meshwright.cli.engines, "engines", engines)


def test_help_names_every_verb(capsys: Captured) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str, capsys: Captured) -> None:
    assert run([verb, "--help"]) == 0
    assert f"meshwright {verb}" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_the_version_is_printed(capsys: Captured) -> None:
    from meshwright import __version__

    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("words", [["reconstrukt"], ["reconstruct"], ["engines", "--jsn"], ["reconstruct", "x", "-o"]])
def test_a_wrong_command_line_is_a_usage_error(words: list[str], capsys: Captured) -> None:
    assert run(words) == USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_a_panel_with_code_message_and_suggestion(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    fail_with(monkeypatch, InputError("front.png is blank.", suggestion="Take it again.", reason="blank"))
    assert run(["engines"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert all(part in said.err for part in ("VALIDATION_FAILED", "blank", "front.png is blank.", "Take it again."))
    assert "Traceback" not in said.err


def test_with_json_an_error_is_the_envelope_on_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    error = EngineUnavailable("No CUDA.", suggestion="Use fusion.", reason="engine_not_ready")
    fail_with(monkeypatch, error)
    assert run(["engines", "--json"]) == exit_code(error) == 4
    line = json.loads(capsys.readouterr().out)
    assert line == {"event": "error", **error.to_json()}


def test_an_unexpected_error_is_a_panel_too(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    fail_with(monkeypatch, ZeroDivisionError("by zero"))
    assert run(["engines"]) == INTERNAL
    said = capsys.readouterr().err
    assert "UNKNOWN_ERROR" in said
    assert "--debug" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", [["--debug", "engines"], ["engines", "--debug"]])
def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    fail_with(monkeypatch, ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError):
        run(words)


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert run(["engines"]) == CANCELLED
    assert "JOB_CANCELLED" in capsys.readouterr().err


def test_engines_says_which_can_run_and_how_to_get_the_rest(capsys: Captured) -> None:
    assert run(["engines", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["engines"]}
    assert list(rows) == ["fusion", "nvdiffrec", "reconviagen"]
    assert rows["fusion"]["availability"]["ok"]
    assert all(row["availability"]["ok"] or row["availability"]["how"] for row in rows.values())
    assert {option["name"] for option in rows["fusion"]["options"]} >= {"faces", "texture_size", "resolution", "seed"}


def test_models_says_what_needs_weights(capsys: Captured) -> None:
    assert run(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["engine"] for row in rows if row["needs_weights"]] == ["reconviagen"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_be_taught(shell: str) -> None:
    env = {**os.environ, "_MESHWRIGHT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "meshwright reco"}
    env |= {"COMP_WORDS": "meshwright reco", "COMP_CWORD": "1", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    program = Path(sys.executable).with_name("meshwright")
    done = subprocess.run([program], env=env, capture_output=True, text=True, check=False)
    assert "reconstruct" in done.stdout


def test_verbs_are_functions_of_their_modules() -> None:
    for verb in VERBS:
        assert load_verb(verb).name == verb
    assert cli.VerbGroup().get_command(None, "nothing") is None


@pytest.mark.parametrize(("stop", "stage"), [(signal.SIGTERM, "calibrate"), (signal.SIGINT, "package")])
def test_a_process_stopped_while_it_works_leaves_nothing(
    posed_capture: Path, tmp_path: Path, stop: signal.Signals, stage: str
) -> None:
    out = tmp_path / "out"
    words = [sys.executable, "-m", "meshwright", "reconstruct", str(posed_capture), "-o", str(out), "--json", "--zip"]
    small = ["--faces", "1000", "--texture-size", "256", "--resolution", "48"]
    # A test run that was started in the background ignores SIGINT, and so would its children.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([*words, *small], stdout=subprocess.PIPE, text=True, preexec_fn=heed)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["stage"] == stage:
            process.send_signal(stop)
            break
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == CANCELLED
    assert json.loads(rest.splitlines()[-1])["error"]["code"] == "JOB_CANCELLED"
    assert list(tmp_path.iterdir()) == []
