"""``manifest.json``: what went in, what came out, and how; sealed, so that a change of any byte shows."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meshwright.errors import IncompleteResults
from meshwright.package.glb import Frame
from meshwright.package.strict_json import dump_json, load_json
from meshwright.package.versions import collect_versions

MANIFEST_NAME = "manifest.json"
FORMAT = "meshwright-result/1"
SHA256 = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 in lower-case hex")


class FileEntry(BaseModel):
    """A file by its path (with forward slashes), hash and size in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1)
    sha256: str = SHA256
    size: int = Field(ge=0)


class EngineRun(BaseModel):
    """One engine's part of the run: its settings, and either a verdict or the error it ended with."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    status: Literal["completed", "failed"]
    options: dict[str, Any] = Field(default_factory=dict)
    verdict: Literal["normal", "warning", "failure"] | None = None
    error: dict[str, Any] | None = None
    notes: list[str] = Field(default_factory=list)
    assumptions: list[str] = Field(default_factory=list)


class Manifest(BaseModel):
    """The manifest of a run. ``outputs`` and ``seal`` are filled when the result is finished."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    format: Literal["meshwright-result/1"] = FORMAT
    created: datetime = Field(default_factory=lambda: datetime.now(UTC), description="when the run ended, UTC")
    engines: dict[str, EngineRun] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict, description="what was asked for, defaults filled in")
    seed: int | None = None
    frame: Literal["canonical", "given"] = Field(
        "canonical", description="canonical: +Y up, front +Z, bounding-box diagonal 1; given: the input cameras' world"
    )
    axes: str = Field("right-handed, +Y up, front +Z", description="the axes in words")
    scale: Literal["metric", "relative"] = "relative"
    unit: Literal["metre", "unit"] = "unit"
    versions: dict[str, str] = Field(default_factory=collect_versions)
    stage_seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: int | None = Field(None, ge=0)
    inputs: list[FileEntry] = Field(default_factory=list)
    outputs: list[FileEntry] = Field(default_factory=list)
    seal: str = Field(default="", description="sha256 of this file with an empty seal")

    def to_frame(self) -> Frame:
        """The frame as the mesh writers take it."""
        return Frame(axes=self.frame, scale=self.scale)

    def to_bytes(self) -> bytes:
        """The file's bytes, sealed."""
        return _sealed(self.model_dump(mode="json"))

    @staticmethod
    def from_bytes(data: bytes) -> Manifest:
        """Read a manifest.

        Raises:
            IncompleteResults: reason ``manifest_invalid`` when it is no manifest, ``manifest_changed`` when its bytes
                are not those that were sealed.
        """
        try:
            content = load_json(data)
            manifest = Manifest.model_validate(content)
        except (ValidationError, ValueError) as error:
            raise IncompleteResults(
                f"manifest.json is not a manifest of a Meshwright result: {_first_line(error)}",
                suggestion="Download or copy the result again.",
                reason="manifest_invalid",
            ) from error
        if _sealed(content) != data:
            raise IncompleteResults(
                "manifest.json was changed after the result was written.",
                suggestion="Download or copy the result again.",
                reason="manifest_changed",
            )
        return manifest


def file_entry(root: Path, path: Path) -> FileEntry:
    """Hash a file inside ``root``."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileEntry(path=path.relative_to(root).as_posix(), sha256=digest, size=path.stat().st_size)


def result_files(root: Path) -> list[Path]:
    """Every file of a result but the manifest, in the order of their paths."""
    found: Iterable[Path] = (path for path in root.rglob("*") if path.is_file() or path.is_symlink())
    return sorted((path for path in found if path != root / MANIFEST_NAME), key=lambda path: path.as_posix())


def peak_memory_bytes() -> int | None:
    """The largest memory this process has held so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB, macOS bytes


def _sealed(content: dict[str, Any]) -> bytes:
    """The canonical bytes, whose seal is the hash of the same with an empty seal."""
    empty = content | {"seal": ""}
    return dump_json(empty | {"seal": hashlib.sha256(dump_json(empty)).hexdigest()})


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
