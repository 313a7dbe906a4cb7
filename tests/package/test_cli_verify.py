"""``meshwright verify``: what it prints and the exit code that scripts see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshwright.cli.main import run
from meshwright.package.archive import pack_zip


@pytest.fixture(autouse=True)
def _without_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """The little result of these tests has a quality.json of three keys."""
    monkeypatch.setattr("meshwright.cli.verify._check_quality", lambda content: None)


def test_a_whole_result_exits_with_0(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(result), "--no-rerender"]) == 0
    out = capsys.readouterr().out
    assert "FAILED" not in out
    assert "13 files have their sha256" in out


def test_a_damaged_zip_exits_with_6_and_names_the_file(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (result / "fusion" / "mesh.ply").write_bytes(b"ply")
    pack_zip(result, tmp_path / "results.zip")
    assert run(["verify", str(tmp_path / "results.zip"), "--no-rerender"]) == 6
    captured = capsys.readouterr()
    assert "fusion/mesh.ply" in captured.out
    assert "INCOMPLETE_RESULTS" in captured.err


def test_json_is_one_object_with_every_check(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (result / "cameras.json").unlink()
    assert run(["verify", str(result), "--json", "--no-rerender"]) == 6
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert {
        "name": "hashes",
        "status": "failed",
        "file": "cameras.json",
        "message": "cameras.json is missing.",
    } in report["checks"]


def test_what_is_not_there_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path / "nothing")]) == 3
    assert "result_not_found" in capsys.readouterr().err
