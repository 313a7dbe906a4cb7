"""verify: a fresh result passes, and no single damage gets by."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.archive import pack_zip
from meshwright.package.manifest import Manifest, file_entry, result_files
from meshwright.package.obj import write_obj
from meshwright.package.prepare import publishable
from meshwright.package.strict_json import dump_json
from meshwright.package.verify import VerifyReport, verify

STATED = {"psnr": 31.5, "ssim": 0.95, "mask_iou": None}


def failed(report: VerifyReport) -> set[tuple[str, str]]:
    return {(check.name, check.file) for check in report.failures}


def sealed_again(folder: Path) -> None:
    """Make the manifest agree with whatever the folder holds now."""
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes())
    content["outputs"] = [file_entry(folder, file).model_dump() for file in result_files(folder)]
    path.write_bytes(Manifest.model_validate(content).to_bytes())


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_fresh_result_passes(result: Path, tmp_path: Path, kind: str) -> None:
    path = result
    if kind == "zip":
        pack_zip(result, path := tmp_path / "results.zip")
    report = verify(path, rescore=lambda *_: STATED, check_quality=lambda _: None)
    assert report.ok, report.failures
    assert {check.name for check in report.checks} == {
        "manifest",
        "hashes",
        "images",
        "cameras",
        "meshes",
        "quality",
        "metrics",
    }
    assert {check.status for check in report.checks} == {"ok"}


def test_a_flipped_byte_in_any_file_is_found(result: Path) -> None:
    rng = np.random.default_rng(5)
    files = [*result_files(result), result / "manifest.json"]
    assert len(files) == 14
    for path in files:
        data = path.read_bytes()
        for at in (0, len(data) // 2, int(rng.integers(len(data))), len(data) - 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            report = verify(result)
            assert path.relative_to(result).as_posix() in {file for _, file in failed(report)}, (path, at)
        path.write_bytes(data)
    assert verify(result).ok


def test_a_missing_and_a_foreign_file_are_found(result: Path) -> None:
    (result / "fusion" / "mesh.ply").unlink()
    (result / "fusion" / "virus.exe").write_bytes(b"MZ")
    assert failed(verify(result)) == {("hashes", "fusion/mesh.ply"), ("hashes", "fusion/virus.exe")}


def test_a_changed_entry_in_the_zip_is_found(result: Path, tmp_path: Path) -> None:
    (result / "cameras.json").write_bytes(b'{"frames": []}')
    pack_zip(result, tmp_path / "results.zip")
    assert failed(verify(tmp_path / "results.zip")) == {("hashes", "cameras.json")}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda mesh: mesh.transformed(np.diag([1.001, 1.001, 1.001, 1.0])), "box"),
        (lambda mesh: TexturedMesh(mesh.vertices, mesh.faces[1:], mesh.normals), "number of faces"),
        (lambda mesh: TexturedMesh(mesh.vertices, mesh.faces[:, ::-1], mesh.normals), "volume"),
        (lambda mesh: TexturedMesh(mesh.vertices * (-1, 1, 1), mesh.faces, mesh.normals), "volume"),
    ],
)
def test_files_of_different_meshes_are_found_even_with_right_hashes(
    result: Path, block: TexturedMesh, change: Callable[[TexturedMesh], TexturedMesh], name: str
) -> None:
    (result / "fusion" / "mesh.obj").write_bytes(write_obj(publishable(change(block))))
    sealed_again(result)
    report = verify(result)
    assert failed(report) == {("meshes", "fusion/mesh.obj")}
    assert name in report.failures[0].message


@pytest.mark.parametrize(
    ("path", "content", "name"),
    [
        ("fusion/mesh.glb", b"glTF", "meshes"),
        ("fusion/texture.png", b"\x89PNG\r\n\x1a\n", "images"),
        ("fusion/quality.json", b'{"metrics": {"psnr": NaN}}', "quality"),
        ("cameras.json", b'{"frames": [{"transform_matrix": [[1]]}]}', "cameras"),
        ("cameras.json", dump_json({"frames": [{"transform_matrix": np.diag([1, 1, -1, 1]).tolist()}]}), "cameras"),
        ("cameras.json", dump_json({"frames": [{"transform_matrix": np.diag([2, 2, 2, 1]).tolist()}]}), "cameras"),
    ],
)
def test_unreadable_files_are_found_even_with_right_hashes(result: Path, path: str, content: bytes, name: str) -> None:
    (result / path).write_bytes(content)
    sealed_again(result)
    assert (name, path) in failed(verify(result))


@pytest.mark.parametrize(
    ("again", "status"),
    [
        ({"psnr": 31.45, "ssim": 0.951, "mask_iou": None}, "ok"),
        ({"psnr": 31.0}, "failed"),
        ({"ssim": 0.9}, "failed"),
        ({"mask_iou": 0.5}, "failed"),
        ({"psnr": None}, "failed"),
        ({}, "skipped"),
    ],
)
def test_metrics_that_do_not_come_out_again_are_found(result: Path, again: dict, status: str) -> None:
    report = verify(result, rescore=lambda folder, engine, mesh: again)
    assert [check.status for check in report.checks if check.name == "metrics"] == [status]
    assert report.ok == (status != "failed")


def test_a_quality_file_against_its_schema_is_found(result: Path) -> None:
    def refuse(content: object) -> None:
        raise ValueError("views: field required")

    assert failed(verify(result, check_quality=refuse)) == {("quality", "fusion/quality.json")}


def test_checks_that_were_not_made_are_told(result: Path) -> None:
    skipped = [check.name for check in verify(result).checks if check.status == "skipped"]
    assert skipped == ["quality", "metrics"]


def test_a_zip_with_a_flipped_content_byte_never_passes(result: Path, tmp_path: Path) -> None:
    pack_zip(result, tmp_path / "results.zip")
    data = (tmp_path / "results.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        info = archive.getinfo("fusion/texture.png")
    at = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    (tmp_path / "bad.zip").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    with pytest.raises(Exception, match="ZIP") as caught:
        verify(tmp_path / "bad.zip")
    assert caught.value.reason == "archive_corrupt"
