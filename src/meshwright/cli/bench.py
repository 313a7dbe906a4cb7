"""``meshwright bench``: many captures with the same settings, as a table that can be resumed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from meshwright.cli.exits import CANCELLED
from meshwright.cli.output import emit_json, stderr, stdout, verdict_text
from meshwright.errors import Cancelled, EngineUnavailable, InputError

Row = dict[str, Any]
ROWS_NAME = "bench.jsonl"
METRICS = {"psnr": "PSNR", "ssim": "SSIM", "mask_iou": "IoU", "depth_mae": "depth"}


def bench(
    folder: Annotated[Path, typer.Argument(help="A folder of captures: each a folder or a ZIP.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where results and bench.jsonl go.")] = Path("out/bench"),
    engine: Annotated[str, typer.Option(help="As for reconstruct.")] = "fusion",
    faces: Annotated[int | None, typer.Option(help="Triangles of each result, at most.")] = None,
    texture_size: Annotated[int | None, typer.Option(help="Texels on each side of each texture.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Voxels along the longest side (fusion).")] = None,
    again: Annotated[bool, typer.Option("--again", help="Run captures again that have a row already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON row a line instead of a table.")] = False,
) -> None:
    """Reconstruct every capture in a folder and print verdicts, metrics, time and memory.

    Each runs in a process of its own, so that one that crashes is a row and no end. Stopped by Ctrl-C or power, the
    same command goes on where it was; a row counts as done when it was made with the same settings.

    Example: `meshwright bench captures/ -o out/bench --faces 20000`
    """
    captures = find_captures(folder)
    _check(out, engine)
    places = dict(zip(captures, result_names(captures), strict=True))
    chosen = {"--engine": engine, "--faces": faces, "--texture-size": texture_size, "--resolution": resolution}
    settings = {name: str(value) for name, value in chosen.items() if value is not None}
    done = {} if again else _read_rows(out / ROWS_NAME, settings)
    rows: list[Row] = []
    for index, capture in enumerate(captures):
        row = done.get(capture.name)
        if row is None:
            if not as_json:
                stderr.print(f"{index + 1} of {len(captures)}: {capture.name}")
            row = _run_one(capture, out / places[capture], settings)
            _append(out / ROWS_NAME, row)
        rows.append(row)
        if as_json:
            emit_json(row)
    if not as_json:
        stdout.print(_table(rows))


def find_captures(folder: Path) -> list[Path]:
    """The captures in a folder, by name: its sub-folders and ZIPs, hidden ones left out."""
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [
        child
        for child in children
        if not child.name.startswith(".") and (child.is_dir() or child.suffix.lower() == ".zip")
    ]
    if not found or (folder / "multi_views").is_dir():
        raise InputError(
            f"{folder} holds no captures.",
            suggestion="Give a folder whose sub-folders or ZIPs are captures; for one capture use reconstruct.",
            reason="no_captures",
        )
    return found


def result_names(captures: Sequence[Path]) -> list[str]:
    """A folder for each capture's result: its name, without a ZIP's suffix where no other capture is called so."""
    folders = {capture.name for capture in captures if capture.is_dir()}
    zips = Counter(capture.stem for capture in captures if not capture.is_dir())
    return [
        capture.name if capture.is_dir() or capture.stem in folders or zips[capture.stem] > 1 else capture.stem
        for capture in captures
    ]


def _check(out: Path, engine: str) -> None:
    """What would fail for every capture fails before the first."""
    from meshwright.engines.registry import BOTH, find_engine

    names = BOTH if engine in ("auto", "both") else tuple(name.strip() for name in engine.split(","))
    for name in names:
        try:
            find_engine(name)
        except EngineUnavailable:
            continue
    if out.exists() and not out.is_dir():
        raise InputError(
            f"{out} is a file, not a folder.", suggestion="Choose a folder with --out.", reason="out_is_a_file"
        )


def _run_one(capture: Path, result: Path, settings: dict[str, str]) -> Row:
    words = [sys.executable, "-m", "meshwright", "reconstruct", str(capture), "-o", str(result)]
    options = [word for pair in settings.items() for word in pair]
    began = time.monotonic()
    run = subprocess.run([*words, *options, "--overwrite", "--json"], capture_output=True, text=True, check=False)
    if run.returncode == CANCELLED:
        raise Cancelled("Stopped.", suggestion="The same command goes on where this one was.")
    row: Row = {"capture": capture.name, "settings": settings, "seconds": round(time.monotonic() - began, 2)}
    return row | _outcome(run, result)


def _outcome(run: subprocess.CompletedProcess[str], result: Path) -> Row:
    lines = run.stdout.splitlines()
    try:
        last: Row = json.loads(lines[-1])
    except (IndexError, ValueError):
        last = {"event": "error", "error": {"code": "ENGINE_CRASHED", "message": f"ended with {run.returncode}"}}
    if last.get("event") != "result":
        return {"verdict": None, "error": last["error"]}
    manifest = json.loads((result / "manifest.json").read_text())
    metrics = {name: values.get("metrics") for name, values in last["engines"].items()}
    return {"verdict": last["verdict"], "peak_memory_bytes": manifest["peak_memory_bytes"], "metrics": metrics}


def _read_rows(path: Path, settings: dict[str, str]) -> dict[str, Row]:
    rows = [_parsed(line) for line in path.read_text(errors="replace").splitlines()] if path.exists() else []
    return {row["capture"]: row for row in rows if row.get("settings") == settings and row.get("verdict") is not None}


def _parsed(line: str) -> Row:
    """A row; empty for a line that a power cut tore, whose capture is then run again."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) and "capture" in row else {}


def _append(path: Path, row: Row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        torn = stream.tell() > 0 and path.read_bytes()[-1:] != b"\n"
        stream.write((b"\n" if torn else b"") + json.dumps(row, allow_nan=False).encode() + b"\n")


def _table(rows: list[Row]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)  # fits into 80 columns
    for name in ("capture", "engine", "verdict", *METRICS.values(), "s", "MB"):
        table.add_column(name, overflow="fold", justify="left" if name in ("capture", "engine", "verdict") else "right")
    for row in rows:
        seconds, peak = f"{row['seconds']:.1f}", f"{(row.get('peak_memory_bytes') or 0) / 1e6:.0f}"
        for name, metrics in (row.get("metrics") or {"": None}).items():
            cells = [_number(metrics.get(key)) if metrics else "-" for key in METRICS]
            error = row.get("error", {}).get("code")
            table.add_row(row["capture"], name or str(error), verdict_text(row["verdict"]), *cells, seconds, peak)
    for label, pick in (("mean", _mean), ("worst", _worst)):
        table.add_row(label, "", "", *[_number(pick(_column(rows, key), key)) for key in METRICS], "", "", style="dim")
    return table


def _column(rows: list[Row], key: str) -> list[float]:
    values = [metrics[key] for row in rows for metrics in (row.get("metrics") or {}).values() if metrics]
    return [value for value in values if value is not None]


def _mean(values: list[float], key: str) -> float | None:
    return sum(values) / len(values) if values else None


def _worst(values: list[float], key: str) -> float | None:
    return (max if key == "depth_mae" else min)(values, default=None)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
