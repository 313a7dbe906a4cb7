"""A result appears whole or not at all, under the contract's names, and never on top of anything else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshwright.errors import DiskFull, EngineError, InputError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.manifest import Manifest
from meshwright.package.staging import staged_folder
from meshwright.package.writer import EngineOutput, safe_name, write_result

TREE = """cameras.json fusion/errors/back.png fusion/errors/front.png fusion/mesh.glb fusion/mesh.mtl fusion/mesh.obj
fusion/mesh.ply fusion/previews/textured_00.png fusion/previews/textured_01.png fusion/previews/wireframe_00.png
fusion/previews/wireframe_01.png fusion/quality.json fusion/texture.png manifest.json""".split()


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_tree_is_the_contract_s(result: Path) -> None:
    assert sorted(tree(result)) == TREE
    listed = [entry.path for entry in Manifest.from_bytes((result / "manifest.json").read_bytes()).outputs]
    assert [*listed, "manifest.json"] == TREE


def test_all_but_the_times_is_the_same_in_the_next_run(tmp_path: Path, save: Callable[..., Path]) -> None:
    one, other = tree(save(tmp_path / "a")), tree(save(tmp_path / "b"))
    assert {name for name in one if one[name] != other[name]} <= {"manifest.json"}


def test_overwriting_needs_a_word_and_leaves_no_remains(tmp_path: Path, save: Callable[..., Path]) -> None:
    out = save(tmp_path / "out", formats=["glb", "stl"])
    with pytest.raises(InputError) as caught:
        save(out)
    assert caught.value.reason == "result_exists"
    save(out, overwrite=True)
    assert sorted(tree(out)) == TREE
    assert list(tmp_path.iterdir()) == [out]


def put_file(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")


def put_false_manifest(out: Path) -> None:
    put_file(out)
    (out / "manifest.json").write_text("{}")


@pytest.mark.parametrize(
    ("occupy", "reason"),
    [
        (put_file, "folder_not_empty"),
        (put_false_manifest, "folder_not_empty"),
        (lambda out: (out / "empty").mkdir(parents=True), "folder_not_empty"),
        (lambda out: out.write_text("x"), "out_is_a_file"),
        (lambda out: out.symlink_to("/tmp"), "out_is_a_file"),
    ],
)
def test_what_is_not_a_result_is_never_replaced(
    tmp_path: Path, save: Callable[..., Path], occupy: Callable[[Path], object], reason: str
) -> None:
    out = tmp_path / "out"
    occupy(out)
    before = tree(tmp_path)
    with pytest.raises(InputError) as caught:
        save(out, overwrite=True)
    assert caught.value.reason == reason
    assert tree(tmp_path) == before


def test_a_result_with_the_user_s_own_notes_is_not_replaced(result: Path, save: Callable[..., Path]) -> None:
    (result / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        save(result, overwrite=True)
    assert (result / "notes.txt").read_text() == "mine"


def test_the_folder_one_stands_in_is_not_replaced(
    tmp_path: Path, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        save(Path("."))
    assert caught.value.reason == "folder_in_use"


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path, save: Callable[..., Path]) -> None:
    (tmp_path / "empty").mkdir()
    assert sorted(tree(save(tmp_path / "empty"))) == TREE
    assert sorted(tree(save(tmp_path / "a" / "b" / "c"))) == TREE


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_an_interrupt_leaves_everything_as_it_was(result: Path, error: type[BaseException]) -> None:
    before = tree(result.parent)
    with pytest.raises(error), staged_folder(result, overwrite=True) as folder:  # noqa: PT012
        (folder / "half.glb").write_bytes(b"half")
        raise error
    assert tree(result.parent) == before


def test_a_bad_mesh_leaves_nothing(tmp_path: Path, manifest: Manifest, block: TexturedMesh) -> None:
    bad = EngineOutput(replace(block, vertices=np.full_like(block.vertices, np.nan)))
    with pytest.raises(EngineError):
        write_result(tmp_path / "out", {"fusion": bad}, manifest, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_at_the_nth_write_is_disk_full_for_every_n(
    tmp_path: Path, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, code: int, overwrite: bool
) -> None:
    out = tmp_path / "out"
    if overwrite:
        save(out)
    before, write, count = tree(tmp_path), Path.write_bytes, 0

    def failing(path: Path, data: bytes) -> int:
        nonlocal count
        count += 1
        if count == fail_at:
            raise OSError(code, os.strerror(code), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", failing)
    for fail_at in range(1, len(TREE) + 1):
        count = 0
        with pytest.raises(DiskFull):
            save(out, overwrite=overwrite)
        assert tree(tmp_path) == before, fail_at


def test_a_failed_rename_brings_the_old_result_back(
    result: Path, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename, calls = tree(result.parent), Path.rename, []

    def failing(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.EIO, "bad sector", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="bad sector"):
        save(result, overwrite=True)
    assert tree(result.parent) == before


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", "..", ".hidden", "a\\b", "C:", "a\nb", "x" * 201, "nul\0"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        safe_name(name)
    assert caught.value.reason == "name_not_safe"


@pytest.mark.parametrize("name", ["front", "view 01", "IMG_2024.v2", "vorderansicht-ü"])
def test_plain_names_are_kept(name: str) -> None:
    assert safe_name(name) == name
