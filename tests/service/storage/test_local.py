"""Faults of the disk and of the machine: a file is there whole, or it is not there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshwright.errors import DiskFull
from meshwright.service.failpoints import KILLED, NAMES, VARIABLE
from meshwright.service.storage.local import LocalStore
from meshwright.service.storage.store import StorageUnavailable

CALLS = [
    (os, "open"),
    (os, "fsync"),
    (os, "link"),
    (shutil, "copyfile"),
    (Path, "mkdir"),
    (Path, "replace"),
    (Path, "write_bytes"),
]
PUT = """
import sys
from pathlib import Path
from meshwright.service.storage.local import LocalStore
LocalStore(Path(sys.argv[1])).put_bytes("jobs/a/input/x", b"new")
"""
STAGES = sorted(name for name in NAMES if name.startswith("storage."))


class Fault:
    """Makes the n-th of the system calls that write fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int, code: int) -> None:
        self.left = nth
        self.code = code
        for owner, name in CALLS:
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise OSError(self.code, os.strerror(self.code))
            return call(*arguments, **options)

        return wrapper


def temporaries(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".part-")]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("how", ["put_bytes", "put_file", "create_only"])
def test_whichever_write_fails_nothing_half_done_is_seen(tmp_path: Path, code: int, how: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"new")
    failures = 0
    for nth in range(1, 50):
        store = LocalStore(tmp_path / f"storage{nth}")
        calls: dict[str, Callable[[str], None]] = {
            "put_bytes": lambda key, store=store: store.put_bytes(key, b"new"),
            "put_file": lambda key, store=store: store.put_file(key, source),
            "create_only": lambda key, store=store: store.put_bytes(key, b"new", create_only=True),
        }
        put = calls[how]
        if how != "create_only":
            store.put_bytes("jobs/a/input/old", b"old")
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, nth, code)
            for key in ("jobs/a/input/old", "jobs/b/input/fresh"):
                try:
                    put(key)
                except DiskFull:
                    assert code != errno.EIO
                    failures += 1
                except StorageUnavailable:
                    assert code == errno.EIO
                    failures += 1
        assert temporaries(store.root) == []
        for key, size in store.list("jobs"):
            assert size == 3
            assert store.get_bytes(key) in ((b"old", b"new") if key.endswith("old") else (b"new",))
        store.delete_prefix("jobs")
        put("jobs/b/input/fresh")  # it works again when there is space again
        if fault.left > 0:
            break
    assert failures == nth - 1 >= 8, "every call was made to fail once"


def noted_order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that each flush and each renaming from now on adds itself to."""
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_replace(path: Path, target: Path) -> Path:
        order.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return order


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a power cut leaves an empty file of that name; the name itself is flushed with its folder."""
    store = LocalStore(tmp_path)
    store.put_bytes("jobs/a", b"old")
    order = noted_order(monkeypatch)
    store.put_bytes("jobs/a", b"new")
    assert order == ["file", "rename", "folder"]
    order.clear()
    store.put_bytes("jobs/b/c/d", b"new")
    assert order == ["folder", "folder", "file", "rename", "folder"], "each new folder in the one above it"


def capture_of(folder: Path) -> Path:
    for name in ("views/a", "views/b", "cameras.json"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        os.utime(path, (0, 0))
    return folder


def test_a_folder_is_on_the_disk_before_it_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, capture = LocalStore(tmp_path / "storage"), capture_of(tmp_path / "capture")
    store.put_bytes("jobs/b/c", b"x")
    order = noted_order(monkeypatch)
    store.take_folder("jobs/a/input", capture)
    assert order[0] == "folder", "that of jobs/a"
    assert sorted(order[1:6]) == ["file", "file", "file", "folder", "folder"]
    assert order[6:] == ["rename", "folder"]
    assert not capture.exists()
    assert all(entry.modified.timestamp() > 1 for entry in store.entries("jobs/a")), "the janitor takes it for new"


def test_a_folder_of_another_mount_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, capture, replace = LocalStore(tmp_path / "storage"), capture_of(tmp_path / "capture"), Path.replace

    def replace_files(path: Path, target: Path) -> Path:
        if path == capture:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_files)
    store.take_folder("jobs/a/input", capture)
    assert [key[13:] for key, _ in store.list("jobs")] == ["cameras.json", "views/a", "views/b"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("is_other_disk", [False, True])
def test_a_folder_is_whole_or_refused(
    tmp_path: Path, code: int, is_other_disk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_stat = Path.stat

    def stat_of(path: Path, **options: Any) -> os.stat_result:
        found = really_stat(path, **options)
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:])) if path.name == "capture" else found

    refused = StorageUnavailable if code == errno.EIO else DiskFull
    if is_other_disk:
        monkeypatch.setattr(Path, "stat", stat_of)
    for nth in range(1, 50):
        store, capture = LocalStore(tmp_path / f"storage{nth}"), capture_of(tmp_path / str(nth) / "capture")
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, nth, code)
            try:
                store.take_folder("jobs/a/input", capture)
            except refused:
                pass
            else:
                assert [key[13:] for key, _ in store.list("jobs")] == ["cameras.json", "views/a", "views/b"]
                break
        assert fault.left <= 0, "it is refused only for a fault"
        assert temporaries(store.root) == []
    assert fault.left > 0
    assert capture.exists() == is_other_disk
    assert nth > 8


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_crash_at_any_stage_leaves_a_whole_file_or_none(tmp_path: Path, stage: str, before: bytes | None) -> None:
    store = LocalStore(tmp_path)
    if before is not None:
        store.put_bytes("jobs/a/input/x", before)
    environment = {"PYTHONPATH": ":".join(sys.path), VARIABLE: stage}
    assert subprocess.run([sys.executable, "-c", PUT, tmp_path], env=environment, check=False).returncode == KILLED
    is_done = stage == "storage.after_rename"
    expected = b"new" if is_done else before
    assert [key for key, _ in store.list("jobs")] == ([] if expected is None else ["jobs/a/input/x"])
    assert expected is None or store.get_bytes("jobs/a/input/x") == expected
    has_temporary = stage in ("storage.after_temp", "storage.before_rename")
    assert len(temporaries(tmp_path)) == has_temporary
    assert store.remove_temporaries(3600) == 0, "it may be another writer's, at work"
    assert store.remove_temporaries(0) == has_temporary
    assert temporaries(tmp_path) == []
    store.put_bytes("jobs/a/input/x", b"newest")
    assert store.get_bytes("jobs/a/input/x") == b"newest"


def test_a_crashed_deletion_is_finished_by_the_janitor(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes("jobs/a/x", b"x")
    (tmp_path / "jobs" / "a").rename(tmp_path / "jobs" / ".part-0123")  # where delete_prefix puts it first
    assert store.list("jobs") == []
    assert store.remove_temporaries(-1) == 1
    assert list(tmp_path.rglob("*")) == [tmp_path / "jobs"]


def test_a_link_to_elsewhere_is_not_followed_when_it_is_deleted(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x")
    store = LocalStore(tmp_path / "storage")
    store.put_bytes("jobs/a/x", b"x")
    (store.root / "jobs" / "a" / "link").symlink_to(outside)
    store.delete_prefix("jobs/a")
    assert (outside / "kept").read_bytes() == b"x"


def test_it_says_where_a_file_lies_and_how_much_space_is_left(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes("a/b", b"x")
    assert store.local_path("a/b") == tmp_path / "a" / "b"
    assert store.local_path("a") is None
    assert store.free_bytes() == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert store.sign("a/b", 60) is None
