"""A result is published whole, and what is given out is what was published."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from meshwright.errors import IncompleteResults
from meshwright.service import failpoints
from meshwright.service.failpoints import VARIABLE
from meshwright.service.jobs.job import Artifact
from meshwright.service.storage import Store
from meshwright.service.storage.publish import Checker, publish

FILES = {"fusion/mesh.glb": b"glb" * 1000, "fusion/quality.json": b"{}", "cameras.json": b"[]", "manifest.json": b"m"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_every_file_is_stored_with_its_hash_and_the_manifest_last(store: Store, package: Path) -> None:
    artifacts = publish(store, package, "jobs/a/attempt-1")
    expected = {Artifact(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()}
    assert set(artifacts) == expected
    assert artifacts[-1].path == "manifest.json"
    for artifact in artifacts:
        assert store.get_bytes(f"jobs/a/attempt-1/{artifact.path}") == FILES[artifact.path]
        Checker(store).check("jobs/a/attempt-1", artifact)


def test_a_changed_byte_is_found_before_it_is_given_out(store: Store, package: Path) -> None:
    artifacts = publish(store, package, "jobs/a/attempt-1")
    mesh = next(artifact for artifact in artifacts if artifact.path.endswith(".glb"))
    damaged = bytearray(FILES[mesh.path])
    damaged[1234] ^= 1
    store.put_bytes(f"jobs/a/attempt-1/{mesh.path}", bytes(damaged))
    checker = Checker(store)
    for _ in range(2):
        with pytest.raises(IncompleteResults) as refusal:
            checker.check("jobs/a/attempt-1", mesh)
        assert refusal.value.reason == "result_corrupt"
    for artifact in artifacts:
        if artifact != mesh:
            checker.check("jobs/a/attempt-1", artifact)


def test_a_lost_file_is_named(store: Store, package: Path) -> None:
    artifacts = publish(store, package, "jobs/a/attempt-1")
    store.delete_prefix("jobs/a/attempt-1/fusion")
    with pytest.raises(IncompleteResults) as refusal:
        Checker(store).check("jobs/a/attempt-1", artifacts[1])
    assert refusal.value.reason == "result_missing"


def test_each_file_is_checked_once(store: Store, package: Path) -> None:
    artifacts = publish(store, package, "jobs/a/attempt-1")
    checker = Checker(store)
    checker.check("jobs/a/attempt-1", artifacts[0])
    store.delete_prefix("jobs/a")
    checker.check("jobs/a/attempt-1", artifacts[0])


def test_a_failure_in_the_middle_leaves_other_attempts_alone(
    store: Store, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, package, "jobs/a/attempt-1")
    failpoints.reset()
    monkeypatch.setenv(VARIABLE, "publish.between_files:2:raise")
    with pytest.raises(OSError, match=r"between_files"):
        publish(store, package, "jobs/a/attempt-2")
    assert len(store.list("jobs/a/attempt-1")) == len(FILES)
    assert len(store.list("jobs/a/attempt-2")) == 2
