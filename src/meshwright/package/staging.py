"""A result appears whole or not at all: it is written beside its place and renamed there at the end."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshwright.errors import DiskFull, IncompleteResults, InputError
from meshwright.package.manifest import MANIFEST_NAME, Manifest, result_files

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def staged_folder(out: str | Path, *, overwrite: bool = False) -> Generator[Path, None, None]:
    """A temporary sibling folder to write in, which becomes ``out`` by one rename when the block ends well.

    When the block ends in an error, an interrupt or a cancellation, the folder is removed and ``out`` is as before.
    Only a kill can leave the sibling behind, under its own hidden name.

    Raises:
        InputError: reason ``result_exists`` when ``out`` holds a result and ``overwrite`` is False, reason
            ``folder_not_empty`` when it holds anything else (that is never replaced), ``out_is_a_file``,
            ``out_not_writable``.
        DiskFull: when the disk or quota is full.
    """
    target = Path(out).absolute()
    check_replaceable(target, overwrite=overwrite)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.partial-{secrets.token_hex(4)}"
        temporary.mkdir()
    try:
        with storage_errors(target):
            yield temporary
            _flush(temporary)
            _publish(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def staged_file(path: str | Path) -> Generator[Path, None, None]:
    """The same for one file: a temporary sibling that becomes ``path``."""
    target = Path(path).absolute()
    temporary = target.parent / f".{target.name}.partial-{secrets.token_hex(4)}"
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def storage_errors(target: Path) -> Generator[None, None, None]:
    """Turn the system's errors of writing at or beside ``target`` into ours; others pass."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | Path) and not Path(error.filename).is_relative_to(target.parent):
            raise
        if error.errno in NO_SPACE:
            raise DiskFull(
                f"The disk is full: {target} was not written.",
                suggestion="Free some space, or choose a folder on another disk.",
                path=str(target),
            ) from error
        if isinstance(error, PermissionError | NotADirectoryError | FileExistsError) or error.errno == errno.EROFS:
            raise InputError(
                f"{target} cannot be written: {error.strerror}.",
                suggestion="Choose a folder that you may write to.",
                reason="out_not_writable",
            ) from error
        raise


def check_replaceable(target: Path, *, overwrite: bool) -> None:
    """Raise unless ``target`` is free, an empty folder, or (with ``overwrite``) a result and nothing but a result."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise _refused(f"{target} is a file or a link, not a folder.", "out_is_a_file")
    if target.is_dir() and Path.cwd().is_relative_to(target.resolve()):
        raise _refused(f"{target} is the folder that you are in; it cannot be replaced.", "folder_in_use")
    if not target.is_dir() or not any(target.iterdir()):
        return
    strangers = _strangers(target)
    if strangers:
        names = ", ".join(strangers[:3])
        raise _refused(f"{target} holds files that are not part of a result: {names}.", "folder_not_empty")
    if not overwrite:
        raise InputError(
            f"{target} holds a result already.",
            suggestion="Choose another folder, or say that it may be overwritten (--overwrite).",
            reason="result_exists",
        )


def _refused(message: str, reason: str) -> InputError:
    return InputError(message, suggestion="Choose a new or empty folder.", reason=reason)


def _strangers(folder: Path) -> list[str]:
    """Files in a folder that its manifest does not list; all of them where there is no manifest."""
    files = {path.relative_to(folder).as_posix() for path in result_files(folder)}
    try:
        manifest = Manifest.from_bytes((folder / MANIFEST_NAME).read_bytes())
    except (OSError, IncompleteResults):
        return sorted(files) or [path.name for path in folder.iterdir()]
    return sorted(files - {entry.path for entry in manifest.outputs})


def _publish(temporary: Path, target: Path) -> None:
    """Rename into place; an old result steps aside first and comes back if the rename fails."""
    if not target.exists():
        temporary.rename(target)
    elif not any(target.iterdir()):
        target.rmdir()
        temporary.rename(target)
    else:
        aside = target.parent / f"{temporary.name}.old"
        target.rename(aside)
        try:
            temporary.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    _sync(target.parent)


def _flush(folder: Path) -> None:
    """Have the system write all files and folders to the disk before they get their name."""
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    # A folder cannot be opened on Windows, and some network file systems refuse to sync: neither is a fault.
    with suppress(PermissionError, IsADirectoryError):
        handle = os.open(path, os.O_RDONLY)
        try:
            with suppress(OSError):
                os.fsync(handle)
        finally:
            os.close(handle)
