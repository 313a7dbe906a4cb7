"""Re-checks a result, folder or ZIP: hashes, every file opened again by other readers, and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from meshwright.errors import MeshwrightError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.archive import open_result
from meshwright.package.facts import MeshFacts, check_frames, facts_of
from meshwright.package.glb_read import read_glb
from meshwright.package.manifest import MANIFEST_NAME, Manifest, file_entry, result_files
from meshwright.package.pixels import decode_rgb
from meshwright.package.readback import SUFFIXES, load_mesh
from meshwright.package.strict_json import load_json

Status = Literal["ok", "failed", "skipped"]
Rescore = Callable[[Path, str, TexturedMesh], Mapping[str, float | None]]
CheckQuality = Callable[[Any], None]
# What a second rendering may differ by: the file's float32 positions and another mip level at chart edges.
TOLERANCES = {"psnr": 0.1, "ssim": 0.005, "mask_iou": 0.002, "depth_mae": 5e-4, "depth_rmse": 2e-3}


class Check(BaseModel):
    """One thing that was looked at. ``file`` is a path inside the result, or "" for the whole."""

    model_config = ConfigDict(frozen=True)

    name: Literal["manifest", "hashes", "files", "meshes", "images", "quality", "cameras", "metrics"]
    status: Status
    file: str = ""
    message: str = ""


class VerifyReport(BaseModel):
    """All checks; ``ok`` when none failed."""

    model_config = ConfigDict(frozen=True)

    path: str
    ok: bool
    checks: list[Check]

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.status == "failed"]


def verify(
    path: str | Path, *, rescore: Rescore | None = None, check_quality: CheckQuality | None = None
) -> VerifyReport:
    """Check a result folder or ZIP and say what is wrong; a damaged result is a report, not an exception.

    ``rescore(folder, engine, mesh)`` renders and scores the mesh that was read from ``ENGINE/mesh.glb`` and returns
    metrics by the names of ``quality.json``; those it returns are compared. ``check_quality`` raises ValueError when a
    parsed ``quality.json`` breaks its schema. Without them the two checks are skipped, and the report says so.

    Raises:
        InputError: there is nothing at ``path``.
        InvalidFileFormat, FileTooLarge: a ZIP that cannot or must not be unpacked.
        IncompleteResults: reason ``manifest_missing``: it is no result.
    """
    with open_result(path) as folder:
        checks = list(_checks(folder, rescore, check_quality))
    return VerifyReport(path=str(path), ok=all(check.status != "failed" for check in checks), checks=checks)


def _checks(folder: Path, rescore: Rescore | None, check_quality: CheckQuality | None) -> Iterator[Check]:
    try:
        manifest = Manifest.from_bytes((folder / MANIFEST_NAME).read_bytes())
    except MeshwrightError as error:
        yield Check(name="manifest", status="failed", file=MANIFEST_NAME, message=error.message)
        return
    yield Check(name="manifest", status="ok", file=MANIFEST_NAME, message=f"written {manifest.created:%Y-%m-%d %H:%M}")
    yield from _hashes(folder, manifest)
    yield from _images(folder)
    yield _cameras(folder)
    for engine, run in manifest.engines.items():
        if run.status == "completed":
            yield from _engine(folder, engine, rescore, check_quality)


def _hashes(folder: Path, manifest: Manifest) -> Iterator[Check]:
    """Every listed file is there and unchanged, and no other is."""
    listed = {entry.path: entry for entry in manifest.outputs}
    present = {path.relative_to(folder).as_posix(): path for path in result_files(folder)}
    wrong = 0
    for name in sorted(listed.keys() | present.keys()):
        if name not in present:
            wrong, message = wrong + 1, "is missing"
        elif name not in listed:
            wrong, message = wrong + 1, "is not in the manifest"
        elif present[name].is_symlink() or file_entry(folder, present[name]) != listed[name]:
            wrong, message = wrong + 1, "was changed after the result was written"
        else:
            continue
        yield Check(name="hashes", status="failed", file=name, message=f"{name} {message}.")
    if not wrong:
        yield Check(name="hashes", status="ok", message=f"{len(listed)} files have their sha256")


def _images(folder: Path) -> Iterator[Check]:
    """Every picture decodes whole."""
    names = [path for path in result_files(folder) if path.suffix in (".png", ".jpg", ".webp")]
    failures = [check for path in names if (check := _image(folder, path)).status == "failed"]
    yield from failures or [Check(name="images", status="ok", message=f"{len(names)} pictures decode")]


def _image(folder: Path, path: Path) -> Check:
    name = path.relative_to(folder).as_posix()
    try:
        decode_rgb(path.read_bytes(), name)
    except (MeshwrightError, OSError) as error:
        return Check(name="images", status="failed", file=name, message=str(error))
    return Check(name="images", status="ok", file=name)


def _cameras(folder: Path) -> Check:
    """``cameras.json`` is strict JSON with rigid camera-to-world matrices."""
    try:
        count = check_frames(load_json((folder / "cameras.json").read_bytes()))
    except (OSError, ValueError) as error:
        return Check(name="cameras", status="failed", file="cameras.json", message=f"cameras.json: {error}")
    return Check(name="cameras", status="ok", file="cameras.json", message=f"{count} cameras")


def _engine(folder: Path, engine: str, rescore: Rescore | None, check_quality: CheckQuality | None) -> Iterator[Check]:
    meshes: dict[str, TexturedMesh] = {}
    for path in sorted((folder / engine).glob("mesh.*")):
        if path.suffix in SUFFIXES:
            yield _mesh(path, f"{engine}/{path.name}", meshes)
    yield from _agreement(engine, {name: facts_of(mesh) for name, mesh in meshes.items()})
    quality, check = _quality(folder / engine / "quality.json", engine, check_quality)
    yield check
    yield _metrics(folder, engine, meshes.get("mesh.glb"), quality, rescore)


def _mesh(path: Path, name: str, meshes: dict[str, TexturedMesh]) -> Check:
    """A mesh file opens with trimesh; our GLB also passes our own strict reader."""
    try:
        meshes[path.name] = load_mesh(path)
        if path.name == "mesh.glb":
            meshes[path.name] = read_glb(path.read_bytes(), name)  # what was scored, its factors apart as they were
    except (MeshwrightError, OSError) as error:
        return Check(name="meshes", status="failed", file=name, message=str(error))
    return Check(name="meshes", status="ok", file=name, message=f"{len(meshes[path.name].faces)} faces")


def _agreement(engine: str, facts: Mapping[str, MeshFacts]) -> Iterator[Check]:
    """All files of one engine hold the same surface."""
    if "mesh.glb" not in facts:
        yield Check(name="meshes", status="skipped", file=engine, message="no mesh.glb to compare the others with")
        return
    reference = facts["mesh.glb"]
    for name, found in facts.items():
        differences = reference.differences(found, quantised=name == "mesh.draco.glb")
        if differences:
            text = f"{engine}/{name} and {engine}/mesh.glb differ in {', '.join(differences)}."
            yield Check(name="meshes", status="failed", file=f"{engine}/{name}", message=text)


def _quality(path: Path, engine: str, check_quality: CheckQuality | None) -> tuple[Any, Check]:
    name = f"{engine}/quality.json"
    try:
        content = load_json(path.read_bytes())
        if check_quality is not None:
            check_quality(content)
    except (OSError, ValueError) as error:
        return None, Check(name="quality", status="failed", file=name, message=f"{name}: {error}")
    if check_quality is None:
        return content, Check(name="quality", status="skipped", file=name, message="schema not checked")
    return content, Check(name="quality", status="ok", file=name)


def _metrics(folder: Path, engine: str, mesh: TexturedMesh | None, quality: Any, rescore: Rescore | None) -> Check:
    """The mesh, rendered and scored again, has the metrics that ``quality.json`` states."""
    name = f"{engine}/quality.json"
    if rescore is None or mesh is None or not isinstance(quality, dict):
        return Check(name="metrics", status="skipped", file=name, message="not rendered again")
    try:
        again = rescore(folder, engine, mesh)
    except MeshwrightError as error:
        return Check(name="metrics", status="failed", file=name, message=f"{engine} cannot be scored: {error.message}")
    stated = quality.get("metrics", {})
    compared = [key for key in TOLERANCES if key in again]
    wrong = [key for key in compared if not _close(again[key], stated.get(key), TOLERANCES[key])]
    if wrong:
        told = ", ".join(f"{key} is {_told(again[key])}, stated {_told(stated.get(key))}" for key in wrong)
        return Check(name="metrics", status="failed", file=name, message=f"{engine} scored again: {told}.")
    if not compared:
        return Check(name="metrics", status="skipped", file=name, message="nothing to score again")
    told = ", ".join(f"{key} {_told(again[key])}" for key in compared)
    return Check(name="metrics", status="ok", file=name, message=f"scored again: {told}")


def _close(again: float | None, stated: Any, tolerance: float) -> bool:
    if again is None or stated is None:
        return again is None and stated is None
    return isinstance(stated, int | float) and abs(again - stated) <= tolerance


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "null"
