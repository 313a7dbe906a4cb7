"""The verbs from end to end, in processes of their own: what they write, say and leave, and how they end."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meshwright.cli.bench import result_names
from meshwright.cli.main import run
from meshwright.cli.output import merge_views
from meshwright.quality.summary import Remark

SMALL = ["--faces", "1000", "--texture-size", "256", "--resolution", "48"]
VERBS_OF_A_RESULT = {"mesh.glb", "mesh.draco.glb", "mesh.usdz", "mesh.stl", "mesh.obj", "mesh.ply", "quality.json"}
Captured = pytest.CaptureFixture[str]
Done = tuple[Path, list[dict]]


@pytest.fixture(scope="module")
def done(ring_capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Everything asked for at once: every format, the ZIP, held-out views, JSON events."""
    out = tmp_path_factory.mktemp("cli") / "out"
    words = [sys.executable, "-m", "meshwright", "reconstruct", str(ring_capture), "-o", str(out), *SMALL, "--json"]
    options = ["--draco", "--usdz", "--stl", "--zip", "--holdout", "2", "--seed", "3"]
    ended = subprocess.run([*words, *options], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return out, [json.loads(line) for line in ended.stdout.splitlines()]


def flip_one_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_every_line_is_an_event_and_the_last_is_the_result(done: Done) -> None:
    out, events = done
    assert {event["event"] for event in events[:-1]} == {"progress"}
    assert [event["fraction"] for event in events[:-1]] == sorted(event["fraction"] for event in events[:-1])
    assert events[-1]["event"] == "result"
    for path in (*events[-1]["engines"]["fusion"].values(), events[-1]["zip"]):
        assert not (isinstance(path, str) and path.startswith(str(out))) or Path(path).exists()


def test_every_format_and_the_held_out_views_are_there(done: Done) -> None:
    out, _ = done
    assert VERBS_OF_A_RESULT <= {path.name for path in (out / "fusion").iterdir()}
    assert len(json.loads((out / "fusion" / "quality.json").read_text())["holdout"]["views"]) == 2
    assert json.loads((out / "manifest.json").read_text())["seed"] == 3


@pytest.mark.parametrize("name", ["fusion/texture.png", "fusion/mesh.glb", "fusion/mesh.ply", "manifest.json"])
def test_one_flipped_bit_is_found(done: Done, name: str, tmp_path: Path, capsys: Captured) -> None:
    copied = shutil.copytree(done[0], tmp_path / "copy")
    assert run(["verify", str(copied), "--no-rerender", "--quiet"]) == 0
    flip_one_bit(copied / name, (copied / name).stat().st_size // 2)
    assert run(["verify", str(copied), "--no-rerender"]) == 6
    assert name in capsys.readouterr().out


def test_one_flipped_bit_in_the_zip_is_found(done: Done, tmp_path: Path) -> None:
    copied = Path(shutil.copy(done[0].with_name("out.zip"), tmp_path))
    assert run(["verify", str(copied), "--no-rerender", "--quiet"]) == 0
    flip_one_bit(copied, copied.stat().st_size // 2)
    assert run(["verify", str(copied), "--no-rerender", "--quiet"]) in (3, 6)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--engine", "magic"], 3, "unknown_engine"),
        (["--engine", "reconviagen"], 4, "ENGINE_UNAVAILABLE"),
        (["--option", "magic"], 2, "NAME=VALUE"),
        (["--option", "faces=5000", "--option", "faces=6000"], 2, "twice"),
        (["--option", "magic=7"], 3, "bad_option"),
        (["--engine", "nvdiffrec", "--option", "rounds=many"], 3, "bad_option"),
        (["--engine", "nvdiffrec", "--option", "device=cuda:7"], 3, "bad_option"),
        (["--faces", "-5"], 3, "bad_option"),
        (["--seed", "-1"], 3, "bad_option"),
        (["--holdout", "view_99"], 3, "holdout_unknown"),
        (["--fail-on", "warming"], 2, "--fail-on"),
        (["--rig", "banana"], 3, "rig"),
        (["--turntable", "gif"], 3, "film_unknown"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    ring_capture: Path, words: list[str], code: int, said: str, tmp_path: Path, capsys: Captured
) -> None:
    assert run(["reconstruct", str(ring_capture), "-o", str(tmp_path / "out"), *words]) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_turntable_is_written_and_said(
    posed_capture: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meshwright.rendering import turntable

    monkeypatch.setattr(turntable, "Turn", functools.partial(turntable.Turn, frames=3, size=32))
    words = ["reconstruct", str(posed_capture), "-o", str(tmp_path / "out"), *SMALL, "--turntable", "webp", "--json"]
    assert run(words) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["engines"]["fusion"]["turntable"]
    assert Path(said) == tmp_path / "out" / "fusion" / "turntable.webp"
    assert Path(said).read_bytes()[:4] == b"RIFF"


def test_a_result_stays_unless_it_may_be_overwritten(done: Done, ring_capture: Path) -> None:
    before = (done[0] / "manifest.json").read_bytes()
    assert run(["reconstruct", str(ring_capture), "-o", str(done[0]), *SMALL, "--quiet"]) == 3
    assert (done[0] / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("verb", [["assess"], ["reconstruct"], ["inspect"], ["verify"], ["bench"]])
def test_a_path_that_is_not_there_is_an_input_error(verb: list[str], tmp_path: Path, capsys: Captured) -> None:
    more = {"assess": [str(tmp_path / "x.glb")], "reconstruct": ["-o", str(tmp_path / "out")]}.get(verb[0], [])
    assert run([*verb, str(tmp_path / "nothing"), *more]) == 3
    assert "UNKNOWN_ERROR" not in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_has_its_own_exit_code(posed_capture: Path) -> None:
    assert run(["inspect", str(posed_capture), "--no-rig", "--json", "--html", "/dev/full"]) == 7


def test_a_page_that_cannot_be_written_is_an_input_error(posed_capture: Path, tmp_path: Path) -> None:
    assert run(["inspect", str(posed_capture), "--no-rig", "--html", str(tmp_path / "no" / "page.html")]) == 3


# bench


def test_bench_goes_on_where_it_was(posed_capture: Path, tmp_path: Path, capsys: Captured) -> None:
    """A capture that fails is a row; a torn last line, as a power cut leaves it, is run again and nothing else."""
    captures, out = tmp_path / "captures", tmp_path / "out"
    (captures / "broken" / "multi_views").mkdir(parents=True)
    (captures / "broken" / "multi_views" / "front.png").write_text("no picture")
    os.symlink(posed_capture, captures / "good")
    words = ["bench", str(captures), "-o", str(out), *SMALL]
    assert run([*words, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["capture"] for row in rows] == ["broken", "good"]
    assert [row["verdict"] is None for row in rows] == [True, False]
    with (out / "bench.jsonl").open("a") as stream:
        stream.write('{"capture": "good", "ver')
    made = (out / "good" / "manifest.json").stat().st_mtime_ns
    assert run(words) == 0
    said = capsys.readouterr()
    assert "broken" in said.err
    assert "good" not in said.err
    assert (out / "good" / "manifest.json").stat().st_mtime_ns == made
    for line in (out / "bench.jsonl").read_text().splitlines():
        assert line.startswith('{"capture"')


@pytest.mark.parametrize(("engine", "code"), [("magic", 3), ("fusion,", 3)])
def test_bench_refuses_before_the_first(posed_capture: Path, engine: str, code: int, tmp_path: Path) -> None:
    os.symlink(posed_capture, tmp_path / "one")
    assert run(["bench", str(tmp_path), "-o", str(tmp_path / "out"), "--engine", engine]) == code
    assert not (tmp_path / "out").exists()


def test_no_two_captures_share_a_result(tmp_path: Path) -> None:
    for name in ("shoe", "cup.v1", "cup.v2"):
        (tmp_path / name).mkdir()
    for name in ("shoe.zip", "hat.zip", "cap.zip", "cap.ZIP"):
        (tmp_path / name).write_bytes(b"")
    paths = [tmp_path / name for name in ("cap.ZIP", "cap.zip", "cup.v1", "cup.v2", "hat.zip", "shoe", "shoe.zip")]
    assert result_names(paths) == ["cap.ZIP", "cap.zip", "cup.v1", "cup.v2", "hat", "shoe", "shoe.zip"]


def test_remarks_that_say_the_same_of_several_views_are_said_once() -> None:
    remarks = [Remark("small", f"View {name}: it is small.", "Send more.", name) for name in ("front", "back")]
    told = [text for _, text in merge_views([*remarks, Remark("odd", "View top: it is odd.", view="top")])]
    assert told == ["Views front, back: it is small. Send more.", "View top: it is odd."]
