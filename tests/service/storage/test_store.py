"""What every store keeps to: a folder here, S3 in tests/services."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshwright.errors import InputError
from meshwright.service.storage import Store, open_store

DATA = random.Random(1).randbytes(3_000_000)
PATHS = ["", "/", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a\\b", "a\0b", "a\nb", "a/.part-1"]
BAD_KEYS = [*PATHS, "x" * 300, "a/" * 600]


def test_what_is_put_comes_out(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    store.put_file("jobs/a/input/big é.bin", source)
    store.put_bytes("jobs/a/input/small", b"abc")
    store.put_bytes("jobs/a/input/none", b"")
    assert store.get_bytes("jobs/a/input/small") == b"abc"
    assert store.get_bytes("jobs/a/input/none") == b""
    assert store.fetch("jobs/a/input/big é.bin", tmp_path / "copy") == hashlib.sha256(DATA).hexdigest()
    assert (tmp_path / "copy").read_bytes() == DATA
    assert store.head("jobs/a/input/big é.bin") == len(DATA)
    assert store.list("jobs/a") == [
        ("jobs/a/input/big é.bin", len(DATA)),
        ("jobs/a/input/none", 0),
        ("jobs/a/input/small", 3),
    ]


def test_a_folder_is_taken_with_all_that_is_in_it(store: Store, tmp_path: Path) -> None:
    many = {f"views/{n:02}.png": bytes([n]) * n for n in range(20)} | {"cameras.json": b"{}", "masks/big": DATA}
    for name, data in many.items():
        path = tmp_path / "capture" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    store.put_bytes("jobs/b/input/other", b"stays")
    store.take_folder("jobs/a/input", tmp_path / "capture")
    assert store.list("jobs/a") == sorted((f"jobs/a/input/{name}", len(data)) for name, data in many.items())
    assert all(store.get_bytes(f"jobs/a/input/{name}") == data for name, data in many.items())
    assert store.children("jobs") == ["a", "b"]


def test_ranges_are_parts_of_the_whole(store: Store) -> None:
    store.put_bytes("a/b", DATA)
    size = len(DATA)
    ranges = [(0, None), (0, 1), (size - 1, None), (5, 5), (1_048_570, 1_048_590), (size, None), (7, size + 100)]
    for start, end in ranges:
        assert b"".join(store.open_range("a/b", start, end)) == DATA[start:end]
    pieces = list(store.open_range("a/b"))
    assert max(len(piece) for piece in pieces) < size, "in pieces, not as a whole"


def test_what_is_not_there_is_missing(store: Store, tmp_path: Path) -> None:
    store.put_bytes("a/b/c", b"x")
    for key in ("a/b", "a/b/d", "a/b/c/d", "z"):
        assert store.head(key) is None
        for read in (store.get_bytes, store.open_range, lambda k: store.fetch(k, tmp_path / "copy")):
            with pytest.raises(FileNotFoundError):
                read(key)
    assert store.list("z") == store.children("z") == []
    store.delete_prefix("z")


def test_a_later_put_replaces_unless_it_may_only_create(store: Store) -> None:
    store.put_bytes("a/b", b"old")
    store.put_bytes("a/b", b"new")
    with pytest.raises(FileExistsError):
        store.put_bytes("a/b", b"newer", create_only=True)
    assert store.get_bytes("a/b") == b"new"
    store.put_bytes("a/c", b"first", create_only=True)
    assert store.list("a") == [("a/b", 3), ("a/c", 5)]


def test_of_many_creators_one_wins(store: Store) -> None:
    def create(number: int) -> bool:
        try:
            store.put_bytes("a/b", b"%d" % number, create_only=True)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert sum(won) == 1
    assert store.get_bytes("a/b") == b"%d" % won.index(True)


def test_a_folder_is_deleted_with_all_below_it_and_nothing_else(store: Store) -> None:
    for key in ("jobs/a/x", "jobs/a/deep/er/y", "jobs/ab/x", "jobs/b"):
        store.put_bytes(key, b"x")
    assert store.children("jobs") == ["a", "ab"]
    store.delete_prefix("jobs/a")
    assert [key for key, _ in store.list("jobs")] == ["jobs/ab/x", "jobs/b"]
    store.delete_prefix("jobs/a/")
    store.delete_prefix("jobs/b")


def test_a_reader_goes_on_when_the_file_is_deleted(store: Store) -> None:
    store.put_bytes("a/b", DATA)
    reader = store.open_range("a/b")
    first = next(reader)
    store.delete_prefix("a")
    assert first + b"".join(reader) == DATA


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_leads_elsewhere_is_refused(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        store.put_bytes(key, b"x")
    with pytest.raises(ValueError, match="not a storage key"):
        store.get_bytes(key)
    with pytest.raises(ValueError, match="not a storage key"):
        store.head(key)


@pytest.mark.parametrize("url", ["", "x", "file:relative", "file://host/x", "s3://", "http://a/b", "gs://x/y"])
def test_a_url_that_means_no_store_is_refused(url: str) -> None:
    with pytest.raises(InputError) as refusal:
        open_store(url)
    assert refusal.value.reason == "storage_url_invalid"
