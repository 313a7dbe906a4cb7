"""From an upload to a job's input: files in their places, looked at by the gate, hashed, and put into storage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshwright.capture.gate import bad_image
from meshwright.capture.limits import Limits
from meshwright.errors import InputError, InvalidFileCount
from meshwright.service.failpoints import failpoint
from meshwright.service.jobs.job import input_prefix
from meshwright.service.storage.store import Store
from meshwright.service.uploads.fields import Role
from meshwright.service.uploads.gate import check_archive, check_folder
from meshwright.service.uploads.naming import name_views, pair
from meshwright.service.uploads.parts import ReceivedFile
from meshwright.service.uploads.receive import Upload, disk_fault

ARCHIVE_NAME = "capture.zip"
CAMERAS_NAME = "cameras.json"
FOLDERS: dict[Role, str] = {"views": "multi_views", "depth": "depth_renders", "masks": "masks"}
MAGICS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"RIFF", ".webp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"\x76\x2f\x31\x01", ".exr"),
    (b"\x93NUMPY", ".npy"),
)
NOT_FOR: dict[Role, tuple[str, ...]] = {"views": (".exr", ".npy"), "masks": (".exr",)}


@dataclass(frozen=True)
class StagedInput:
    """A checked capture on disk: ``path`` is a folder, or one ZIP; ``folder`` is what becomes the job's input."""

    path: Path
    folder: Path
    sha256: str
    size: int
    label: str = ""  # what the client called an archive


def stage(upload: Upload, limits: Limits) -> StagedInput:
    """The one capture of an upload, checked.

    Raises:
        InputError: and its kinds: see `load_capture`; reason ``archive_and_files`` where both came.
    """
    archives = [file for file in upload.files if file.role == "archive"]
    others = [file for file in upload.files if file.role != "archive"]
    if archives and others:
        raise InputError(
            "The request holds an archive and other files.",
            suggestion="Send either a ZIP with everything in it, or the files.",
            reason="archive_and_files",
        )
    return stage_archive(archives[0], limits) if archives else _stage_files(upload.folder / "capture", others, limits)


def stage_archive(file: ReceivedFile, limits: Limits) -> StagedInput:
    """A capture that came as a ZIP; it is kept as it is."""
    check_archive(file.path, limits)
    path = file.path.with_name(f"{file.path.name}-capture") / ARCHIVE_NAME
    _place([(file.path, path)])
    failpoint("intake.staged")
    digest = _digest([(ARCHIVE_NAME, file.sha256)])
    return StagedInput(path, path.parent, digest, file.size, file.name)


def store_input(store: Store, job_id: str, staged: StagedInput) -> None:
    """Move the files into storage; what a failure leaves there is removed again."""
    try:
        store.take_folder(input_prefix(job_id), staged.folder)
    except BaseException:
        store.delete_prefix(f"jobs/{job_id}")
        raise
    failpoint("intake.stored")


def _stage_files(folder: Path, files: Sequence[ReceivedFile], limits: Limits) -> StagedInput:
    views = [file for file in files if file.role == "views"]
    if not views:
        raise InvalidFileCount(
            "The request holds no views.",
            suggestion="Send the images as views (and depth_renders), or a ZIP as archive.",
            reason="no_views",
        )
    placed = _places(files, views)
    _place([(file.path, folder / name) for name, file in placed])
    check_folder(folder, limits)
    failpoint("intake.staged")
    return StagedInput(
        folder,
        folder,
        _digest([(name, file.sha256) for name, file in placed]),
        sum(file.size for _, file in placed),
    )


def _place(moves: Sequence[tuple[Path, Path]]) -> None:
    try:
        for folder in {target.parent for _, target in moves}:
            folder.mkdir(parents=True, exist_ok=True)
        for path, target in moves:
            path.rename(target)
    except OSError as error:
        raise disk_fault(error) from error


def _places(files: Sequence[ReceivedFile], views: Sequence[ReceivedFile]) -> list[tuple[str, ReceivedFile]]:
    """Where each file goes within the capture; an image's suffix is that of its format, whatever it was called."""
    cameras = [file for file in files if file.role == "cameras"]
    names = name_views([file.name for file in views], has_cameras=bool(cameras))
    found = [(CAMERAS_NAME, file) for file in cameras]
    for role, folder in FOLDERS.items():
        some = [file for file in files if file.role == role]
        if role == "views":
            owners = names
        elif some:
            owners = pair(names, [file.name for file in views], [file.name for file in some], role)
        else:
            continue
        found += [(f"{folder}/{name}{_suffix(file)}", file) for name, file in zip(owners, some, strict=True)]
    return found


def _suffix(file: ReceivedFile) -> str:
    """The suffix of what the file is, by its first bytes.

    Raises:
        InvalidFileFormat: reasons ``image_unknown`` and ``image_kind``.
    """
    shown = file.name or f"An unnamed {file.role} file"
    with file.path.open("rb") as stream:
        head = stream.read(16)
    suffix = next((suffix for magic, suffix in MAGICS if head.startswith(magic)), None)
    if suffix is None or (suffix == ".webp" and head[8:12] != b"WEBP"):
        raise bad_image("image_unknown", shown, "is no PNG, JPEG, WebP, TIFF, EXR or NPY file")
    if suffix in NOT_FOR.get(file.role, ()):
        raise bad_image("image_kind", shown, f"is a {suffix[1:].upper()} file, which cannot be one of the {file.role}")
    return suffix


def _digest(files: Sequence[tuple[str, str]]) -> str:
    """A hash over names and hashes, the same whatever the order of the upload."""
    lines = "".join(f"{name}\n{sha256}\n" for name, sha256 in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
