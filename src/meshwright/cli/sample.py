"""``meshwright sample``: make a capture of a procedural object, with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from meshwright.cli.output import emit_json, progress_context, stdout


def sample(
    out: Annotated[Path, typer.Argument(help="A new or empty folder to write to.")],
    object_name: Annotated[str, typer.Option("--object", help="robot, bottle or scissors.")] = "robot",
    format_name: Annotated[
        str, typer.Option("--format", help="reference (8-bit depth, unknown scale, no cameras) or metric.")
    ] = "reference",
    naming: Annotated[str, typer.Option(help="Whose left and right: viewer (right is +X) or object.")] = "viewer",
    views: Annotated[int, typer.Option(help="Number of views; 6 are the canonical ones.")] = 6,
    layout: Annotated[str | None, typer.Option(help="canonical, ring or sphere.")] = None,
    rgb_size: Annotated[int, typer.Option(help="Pixels on each side of the RGB images.")] = 1024,
    depth_size: Annotated[int, typer.Option(help="Pixels on each side of the depth images.")] = 512,
    full: Annotated[bool, typer.Option("--full", help="Full size: RGB 2048, depth 1024.")] = False,
    fov: Annotated[float, typer.Option(help="Full field of view in degrees.")] = 49.1,
    distance: Annotated[float, typer.Option(help="Camera distance in object diagonals.")] = 1.22,
    diagonal_m: Annotated[float, typer.Option(help="The object's diagonal in metres (metric format).")] = 0.5,
    novel: Annotated[int, typer.Option(min=0, max=1000, help="Number of held-out views in the truth.")] = 12,
    truth: Annotated[
        bool, typer.Option(help="Also write OUT/truth: mesh, cameras, exact depth, held-out views.")
    ] = True,
    evalset: Annotated[bool, typer.Option("--evalset", help="Write an evaluation case (case.json) instead.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the paint's pattern.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line, then the result.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something goes wrong.")] = False,
) -> None:
    """Make a sample capture of a procedural object, with ground truth.

    Examples:

    * `meshwright sample demo`
    * `meshwright sample demo --format metric --views 24 --layout sphere`
    * `meshwright sample case --evalset --object bottle --naming object`
    """
    from meshwright.sample.capture import write_sample
    from meshwright.sample.scene import SampleOptions

    options = SampleOptions(
        object=object_name,
        seed=seed,
        format=_one_of("--format", format_name, ("reference", "metric")),
        naming=_one_of("--naming", naming, ("viewer", "object")),
        views=views,
        layout=_one_of("--layout", layout, ("canonical", "ring", "sphere")) if layout else None,
        rgb_size=2048 if full else rgb_size,
        depth_size=1024 if full else depth_size,
        fov_deg=fov,
        distance=distance,
        diagonal_m=diagonal_m,
        novel=novel if truth or evalset else 0,
    )
    with progress_context(as_json=as_json, quiet=quiet) as context:
        written = write_sample(out, options, context, truth=truth, evalset=evalset)
    names = [shot.name for shot in written.shots]
    if as_json:
        emit_json({"event": "result", "out": str(out), "views": names, "faces": len(written.mesh.faces)})
    elif not quiet:
        stdout.print(f"{out}: {len(names)} views of the {object_name} ({', '.join(names)})")
        stdout.print(f"Next: meshwright reconstruct {out} -o result")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise typer.BadParameter(f"{option} takes {' or '.join(allowed)}, not {value}")
    return value
