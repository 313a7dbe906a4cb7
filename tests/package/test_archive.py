"""The ZIP is the folder, byte for byte and the same each time; hostile ZIPs are refused and leave nothing."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from meshwright.errors import FileTooLarge, IncompleteResults, InputError, InvalidFileFormat, MeshwrightError
from meshwright.package import archive as archives
from meshwright.package.archive import open_result, pack_zip


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_zip_equals_the_folder(result: Path, tmp_path: Path) -> None:
    pack_zip(result, tmp_path / "results.zip")
    with open_result(tmp_path / "results.zip") as folder:
        assert tree(folder) == tree(result)
    assert not folder.exists()
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert archive.namelist()[0] == "manifest.json"
        assert sorted(archive.namelist()) == sorted(tree(result))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "results.zip"]


def test_equal_folders_give_equal_zips_whatever_their_times(result: Path, tmp_path: Path) -> None:
    pack_zip(result, tmp_path / "a.zip")
    for path in result.rglob("*"):
        os.utime(path, (10**9, 10**9))
    pack_zip(result, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_folder_is_opened_in_its_place(result: Path) -> None:
    with open_result(result) as folder:
        assert folder == result


def test_a_link_is_not_packed_and_nothing_is_left(result: Path, tmp_path: Path) -> None:
    (result / "secret").symlink_to("/etc/hostname")
    with pytest.raises(InputError) as caught:
        pack_zip(result, tmp_path / "results.zip")
    assert caught.value.reason == "link_in_result"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "names",
    [
        ["../evil"],
        ["a/../../evil"],
        ["/etc/evil"],
        ["C:evil"],
        ["a\\evil"],
        ["a\x1bevil"],
        ["twice", "twice"],
        ["Front.png", "front.PNG"],
    ],
)
def test_an_entry_that_leads_elsewhere_or_comes_twice_is_refused(tmp_path: Path, names: list[str]) -> None:
    hostile = tmp_path / "in" / "hostile.zip"
    hostile.parent.mkdir()
    with zipfile.ZipFile(hostile, "w") as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "_writecheck", lambda info: None)  # it warns of duplicate names
        for name in names:
            archive.writestr(entry(name), b"x")
    with pytest.raises(InvalidFileFormat) as caught, open_result(hostile):
        pass
    assert caught.value.reason == "archive_unsafe"
    assert list(tree(tmp_path)) == ["in/hostile.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(entry("link", stat.S_IFLNK | 0o777), b"/etc/passwd")
    with pytest.raises(InvalidFileFormat), open_result(tmp_path / "link.zip"):
        pass


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"0" * 30_000_000)
    with pytest.raises(FileTooLarge) as caught, open_result(tmp_path / "bomb.zip"):
        pass
    assert caught.value.reason == "archive_too_large"


def test_a_bomb_that_lies_about_its_size_is_stopped_while_it_is_read(result: Path, tmp_path: Path) -> None:
    """The directory says 100 bytes; what comes out is counted."""
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"0" * 5_000_000)
    data = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(MeshwrightError) as caught, open_result(path):
        pass
    assert caught.value.reason in ("archive_corrupt", "archive_too_large")


def test_the_whole_is_limited_too(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_zip(result, tmp_path / "results.zip")
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 5000)
    with pytest.raises(FileTooLarge), open_result(tmp_path / "results.zip"):
        pass
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    with pytest.raises(FileTooLarge, match="entries"), open_result(tmp_path / "results.zip"):
        pass


def test_a_damaged_zip_is_refused_at_every_cut(result: Path, tmp_path: Path) -> None:
    pack_zip(result, tmp_path / "results.zip")
    data = (tmp_path / "results.zip").read_bytes()
    for cut in range(0, len(data), len(data) // 40):
        (tmp_path / "cut.zip").write_bytes(data[:cut])
        with pytest.raises(InvalidFileFormat), open_result(tmp_path / "cut.zip"):
            pass


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_is_no_result_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", b"a")
    with pytest.raises(IncompleteResults) as caught, open_result(path):
        pass
    assert caught.value.reason == "manifest_missing"


def test_a_path_to_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, open_result(tmp_path / "no"):
        pass
    assert caught.value.reason == "result_not_found"
