"""``meshwright reconstruct``: one capture to a measured, textured mesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshwright.cli.exits import BELOW_WANTED
from meshwright.cli.output import emit_json, progress_context
from meshwright.cli.summary import show_result, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshwright.cameras.calibrate import CalibrationOptions

NamedOptions = Annotated[
    list[str] | None,
    typer.Option(help="Another option of the engine as NAME=VALUE, repeatable (`meshwright engines` lists them)."),
]


def reconstruct(
    capture: Annotated[Path, typer.Argument(help="A capture: a folder or a ZIP of views.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write the result to.")],
    engine: Annotated[
        str, typer.Option(help="fusion, nvdiffrec, reconviagen, both, auto, or several with commas.")
    ] = "fusion",
    faces: Annotated[int | None, typer.Option(help="Triangles of the result, at most. Default: the engine's.")] = None,
    texture_size: Annotated[int | None, typer.Option(help="Texels on each side of the texture.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Voxels along the longest side (fusion).")] = None,
    option: NamedOptions = None,
    rig: Annotated[
        str | None, typer.Option(help="Force a rig instead of solving it, e.g. `viewer` or `object` (docs/cameras.md).")
    ] = None,
    holdout: Annotated[
        str, typer.Option(help="Views kept back from the engine and measured apart: a count, or names with commas.")
    ] = "0",
    draco: Annotated[
        bool, typer.Option("--draco", help="Also write mesh.draco.glb (needs the extra `draco`).")
    ] = False,
    usdz: Annotated[
        bool, typer.Option("--usdz", help="Also write mesh.usdz, for AR Quick Look and USD tools.")
    ] = False,
    stl: Annotated[bool, typer.Option("--stl", help="Also write mesh.stl.")] = False,
    turntable: Annotated[
        str | None, typer.Option(help="Also write a film of the turning object: `webp`, or `mp4` (extra `video`).")
    ] = None,
    archive: Annotated[bool, typer.Option("--zip", help="Also pack the result as OUT.zip.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that is already in OUT.")] = False,
    seed: Annotated[int, typer.Option(help="Seed: the same input, settings and seed give the same bytes.")] = 0,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 8 when the verdict is `warning` (or worse) or `failure`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line, then the result.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something goes wrong.")] = False,
) -> None:
    """Reconstruct a textured mesh from a capture, measure it, and write the package.

    Examples:

    * `meshwright reconstruct shoe/ -o out`
    * `meshwright reconstruct shoe.zip -o out --engine auto --faces 60000 --texture-size 4096 --zip`
    * `meshwright reconstruct shoe/ -o out --engine nvdiffrec --option budget=60 --option rounds=40`
    * `meshwright reconstruct shoe/ -o out --json --fail-on failure | tail -1`
    """
    from meshwright.package.staging import check_replaceable
    from meshwright.package.writer import check_formats
    from meshwright.pipeline import VERDICTS, reconstruct
    from meshwright.rendering.turntable import check_film

    if fail_on not in (None, *VERDICTS[1:]):
        raise typer.BadParameter("--fail-on takes warning or failure.")
    more = {"draco": draco, "usdz": usdz, "stl": stl}
    formats = check_formats(("glb", "obj", "ply", *(name for name, on in more.items() if on)))
    film = None if turntable is None else check_film(turntable)
    check_replaceable(out.absolute(), overwrite=overwrite)
    options, held = _given(faces=faces, texture_size=texture_size, resolution=resolution), _parse_holdout(holdout)
    options = _named(option or []) | options
    with progress_context(as_json=as_json, quiet=quiet) as context:
        result = reconstruct(
            capture, engine, options, calibration=_calibration(rig), holdout=held, seed=seed, context=context
        )
        result.save(out, formats=formats, zip=archive, overwrite=overwrite, turntable=film, context=context)
    if as_json:
        emit_json({"event": "result", **summarise(result, out, archive, context)})
    elif not quiet:
        show_result(result, out, archive)
    if fail_on is not None and VERDICTS.index(result.verdict) >= VERDICTS.index(fail_on):
        raise typer.Exit(BELOW_WANTED)


def _given(**options: int | None) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _named(words: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE words as options; the engine's own types read the values."""
    pairs = [word.partition("=") for word in words]
    wrong = next((word for word, (name, equals, _) in zip(words, pairs, strict=True) if not name or not equals), None)
    if wrong is not None:
        raise typer.BadParameter(f"--option takes NAME=VALUE, not {wrong!r}.")
    named = {name.replace("-", "_"): value for name, _, value in pairs}
    if len(named) < len(pairs):
        raise typer.BadParameter("--option was given twice for one name.")
    return named


def _calibration(rig: str | None) -> CalibrationOptions:
    from meshwright.cameras.calibrate import CalibrationOptions

    return CalibrationOptions(rig=rig)


def _parse_holdout(text: str) -> int | tuple[str, ...]:
    text = text.strip()
    return int(text) if text.isdigit() else tuple(name.strip() for name in text.split(",") if name.strip())
