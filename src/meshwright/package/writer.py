"""Writes results: one folder an engine, then cameras and the manifest, as CONTRACT.md names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from meshwright.errors import InputError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.baked import baked
from meshwright.package.draco import require_draco, write_draco_glb
from meshwright.package.glb import Frame, GlbOptions, write_glb
from meshwright.package.manifest import MANIFEST_NAME, Manifest, file_entry, result_files
from meshwright.package.obj import MATERIAL_FILE, TEXTURE_FILE, mtl_maps, write_mtl, write_obj
from meshwright.package.pixels import encode_image, write_image
from meshwright.package.ply import write_ply, write_stl
from meshwright.package.prepare import publishable
from meshwright.package.staging import staged_folder
from meshwright.package.strict_json import dump_json
from meshwright.package.usdz import write_usdz
from meshwright.workers import mapped

Format = Literal["glb", "obj", "ply", "stl", "usdz", "draco"]
Images = Mapping[str, UInt8[np.ndarray, "h w *c"]]
DEFAULT_FORMATS: tuple[Format, ...] = ("glb", "obj", "ply")
CAMERAS_NAME, QUALITY_NAME = "cameras.json", "quality.json"


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """What one engine leaves: its mesh, previews and error images by name (without suffix), quality.json, and films as
    they are (``turntable.webp``)."""

    mesh: TexturedMesh
    previews: Images = field(default_factory=dict)
    errors: Images = field(default_factory=dict)
    report_json: Mapping[str, Any] = field(default_factory=dict)
    films: Mapping[str, bytes] = field(default_factory=dict)


def write_result(
    out: str | Path,
    outputs: Mapping[str, EngineOutput],
    manifest: Manifest,
    cameras_json: Mapping[str, Any],
    *,
    formats: Iterable[Format] = DEFAULT_FORMATS,
    overwrite: bool = False,
    glb: GlbOptions | None = None,
) -> Manifest:
    """Write a whole result folder atomically; returns the manifest as written.

    Raises:
        InputError: see `staging.staged_folder`; reason ``format_unknown`` or ``extra_missing`` for ``formats``.
        EngineError: reason ``bad_output``, when a mesh is not fit to be published.
        DiskFull: when the disk is full. In every case nothing is left at or beside ``out``.
    """
    chosen = check_formats(formats)
    with staged_folder(out, overwrite=overwrite) as folder:
        for name, output in outputs.items():
            write_engine_result(
                folder / safe_name(name),
                output.mesh,
                output.previews,
                output.errors,
                output.report_json,
                films=output.films,
                formats=chosen,
                frame=manifest.to_frame(),
                glb=glb,
            )
        return finish_result(folder, manifest, cameras_json)


def write_engine_result(
    folder: Path,
    mesh: TexturedMesh,
    previews: Images,
    errors: Images,
    report_json: Mapping[str, Any],
    *,
    films: Mapping[str, bytes] | None = None,
    formats: Iterable[Format] = DEFAULT_FORMATS,
    frame: Frame | None = None,
    glb: GlbOptions | None = None,
) -> None:
    """Write one engine's folder: the mesh in every format, ``previews/``, ``errors/``, films and ``quality.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = mesh_files(mesh, formats=formats, frame=frame, glb=glb)
    for name, data in {**files, **(films or {})}.items():
        (folder / safe_name(name)).write_bytes(data)
    pictures: dict[Path, UInt8[np.ndarray, "h w *c"]] = {}
    for kind, images in (("previews", previews), ("errors", errors)):
        if images:
            (folder / kind).mkdir(exist_ok=True)
        pictures |= {folder / kind / f"{safe_name(name)}.png": pixels for name, pixels in images.items()}
    list(mapped(lambda path: write_image(path, pictures[path]), pictures))
    (folder / QUALITY_NAME).write_bytes(dump_json(dict(report_json)))


def finish_result(folder: Path, manifest: Manifest, cameras_json: Mapping[str, Any]) -> Manifest:
    """Write ``cameras.json``, hash every file and write the sealed ``manifest.json``; returns it."""
    (folder / CAMERAS_NAME).write_bytes(dump_json(dict(cameras_json)))
    outputs = [file_entry(folder, path) for path in result_files(folder)]
    data = manifest.model_copy(update={"outputs": outputs}).to_bytes()
    (folder / MANIFEST_NAME).write_bytes(data)
    return Manifest.from_bytes(data)


def mesh_files(
    mesh: TexturedMesh,
    *,
    formats: Iterable[Format] = DEFAULT_FORMATS,
    frame: Frame | None = None,
    glb: GlbOptions | None = None,
) -> dict[str, bytes]:
    """The mesh's files by name (``mesh.glb``, ``mesh.obj``, …), all from one `publishable` mesh."""
    chosen, frame, options = check_formats(formats), frame or Frame(), glb or GlbOptions()
    mesh = publishable(mesh)
    flat = baked(mesh)
    texture = _png(mesh) if {"glb", "obj", "usdz"} & {*chosen} else None
    flat_texture = texture if flat.texture is mesh.texture else _png(flat)
    writers: dict[Format, Callable[[], dict[str, bytes]]] = {
        "glb": lambda: {"mesh.glb": write_glb(mesh, frame=frame, options=options, texture_png=texture)},
        "obj": lambda: {"mesh.obj": write_obj(flat), **_mtl_files(flat, flat_texture)},
        "ply": lambda: {"mesh.ply": write_ply(flat)},
        "stl": lambda: {"mesh.stl": write_stl(mesh)},
        "usdz": lambda: {"mesh.usdz": write_usdz(flat, frame=frame, texture_png=flat_texture)},
        "draco": lambda: {"mesh.draco.glb": write_draco_glb(mesh, frame=frame)},
    }
    return {name: data for kind in chosen for name, data in writers[kind]().items()}


def _png(mesh: TexturedMesh) -> bytes | None:
    return None if mesh.texture is None else encode_image(mesh.texture)


def _mtl_files(mesh: TexturedMesh, texture: bytes | None) -> dict[str, bytes]:
    """``mesh.mtl`` and the pictures that it names; nothing for a mesh without a texture."""
    if texture is None:
        return {}
    maps = {name: encode_image(pixels) for name, pixels in mtl_maps(mesh.material).items()}
    return {MATERIAL_FILE: write_mtl(material=mesh.material), TEXTURE_FILE: texture, **maps}


def check_formats(formats: Iterable[str]) -> tuple[Format, ...]:
    """The formats in a fixed order, without repeats; also raises when a format's extra is missing, before any work."""
    known, asked = get_args(Format), set(formats)
    unknown = sorted(asked - set(known))
    if unknown:
        raise InputError(
            f"The mesh format {unknown[0]!r} is not known.",
            suggestion=f"Choose from {', '.join(known)}.",
            reason="format_unknown",
        )
    if "draco" in asked:
        require_draco()
    return tuple(name for name in known if name in asked)


def safe_name(name: str) -> str:
    """``name`` if it can be one part of a path on every system; raises InputError otherwise."""
    plain = (
        name != ""
        and PurePosixPath(name).name == name
        and not name.startswith(".")
        and not set(name) & set('\\:*?"<>|')
    )
    if not plain or not name.isprintable() or len(name.encode()) > 200:
        raise InputError(
            f"{name!r} cannot be a file name.",
            suggestion="Use letters, digits, dots, dashes and underscores in view names.",
            reason="name_not_safe",
        )
    return name
