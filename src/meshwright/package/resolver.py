"""What a mesh file may pull in: files of its own folder, and nothing else; what was asked for is remembered."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote

from meshwright.errors import InvalidFileFormat

MAX_BYTES = 2**29


def folder_resolver(source: Path) -> Any:
    """A trimesh resolver for ``source`` with `raise_refused`: trimesh itself passes over failed references."""
    from trimesh.resolvers import Resolver

    class FolderResolver(Resolver):
        """Reads names below the folder of ``source``."""

        def __init__(self) -> None:
            self.root = source.parent.resolve()
            self.file_name = source.name
            self.refused: list[InvalidFileFormat] = []

        def get(self, key: str) -> bytes:
            """The bytes of a referenced file."""
            try:
                return _inside(self.root, key, source.name)
            except InvalidFileFormat as error:
                self.refused.append(error)
                raise FileNotFoundError(key) from error

        def raise_refused(self) -> None:
            """Raise the first refusal, if there was one."""
            if self.refused:
                raise self.refused[0]

        def keys(self) -> list[str]:
            return []

        def write(self, name: str, data: Any) -> None:
            raise PermissionError(name)

        def namespaced(self, namespace: str) -> FolderResolver:
            return self

    return FolderResolver()


def _inside(root: Path, name: str, file: str) -> bytes:
    """Read ``name`` below ``root``; links may not lead out of it."""
    clean = unquote(str(name)).strip().replace("\\", "/")
    parts = PurePosixPath(clean).parts
    absolute = clean.startswith("/") or bool(PureWindowsPath(clean).drive) or ":" in clean
    if absolute or ".." in parts or "\0" in clean:
        raise _refused(file, clean, "which lies outside its folder", "reference_outside")
    path = (root / clean).resolve()
    if not path.is_relative_to(root):
        raise _refused(file, clean, "which lies outside its folder", "reference_outside")
    if not path.is_file():
        raise _refused(file, clean, "which is not there", "reference_missing")
    if path.stat().st_size > MAX_BYTES:
        raise _refused(file, clean, "which is over 512 MiB", "reference_too_large")
    return path.read_bytes()


def _refused(file: str, name: str, what: str, reason: str) -> InvalidFileFormat:
    return InvalidFileFormat(
        f"{file} refers to {name[:200]!r}, {what}.",
        suggestion="Put every file that the mesh uses beside it and refer to it by its plain name, or export a GLB.",
        reason=reason,
    )
