"""Every named bad capture gives its coded error, at once, and leaves nothing behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from capture.bad_captures import BAD
from capture.making import good_files, write_folder, zip_bytes
from meshwright.capture.load import load_capture
from meshwright.errors import InputError


def written(root: Path, content: dict[str, bytes] | bytes) -> Path:
    if isinstance(content, bytes):
        path = root / "capture.zip"
        path.write_bytes(content)
        return path
    folder = root / "capture"
    folder.mkdir()
    return write_folder(folder, content)


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(root.rglob("*"))}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_capture_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, code, reason = BAD[name]
    path = written(tmp_path, content)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    before, began = snapshot(tmp_path), time.process_time()
    with pytest.raises(InputError) as caught:
        load_capture(path)
    assert time.process_time() - began < 1.0
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert snapshot(tmp_path) == before
    assert caught.value.suggestion or reason in ("unreadable",)
    json.dumps(caught.value.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", [n for n, (content, *_) in BAD.items() if isinstance(content, dict) and content])
def test_a_zip_is_refused_like_its_folder(name: str, tmp_path: Path) -> None:
    """The same files in an archive: the same code, and the same reason unless the archive itself is at fault."""
    content, code, reason = BAD[name]
    assert isinstance(content, dict)
    path = tmp_path / "capture.zip"
    path.write_bytes(zip_bytes(content))
    with pytest.raises(InputError) as caught:
        load_capture(path)
    assert caught.value.code == code
    assert caught.value.reason == reason or (caught.value.reason or "").startswith("archive_")


def test_the_unspoilt_capture_is_taken(tmp_path: Path) -> None:
    """The table's entries differ from this one by their fault alone."""
    assert len(load_capture(written(tmp_path, good_files())).views) == 6


def test_there_are_at_least_forty() -> None:
    assert len(BAD) >= 40
