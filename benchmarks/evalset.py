"""Run an evaluation folder through the public API and score every result with the set's own tools/evaluate.py.

    python benchmarks/evalset.py DIR [--cameras given|withheld] [--engine fusion] [--depth noisy|withheld]
                                     [--only NAME ...] [--json FILE|-]

DIR is a folder of cases or one case. Each case runs in a process of its own, from a folder that holds only what its
case.json allows. With cameras withheld (or hidden by the case), the mesh is moved by the one similarity that takes the
result's camera centres to the true ones before it is scored. A case that crashes or finds no cameras is a row that
counts as worst in every mean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evalcase import Alignment, Case, align, find_cases, find_evaluator, move_glb, score, spoil_depth, stage

HERE = Path(__file__).resolve().parent
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A figure of a row: its key, heading and digits, what a failed case counts as, and whether more is better."""

    key: str
    heading: str
    digits: int
    failed: float | None
    higher: bool = True


# A failed case counts as a mesh a whole diagonal away that shows nothing.
COLUMNS = (
    Column("chamfer", "vis CD x100", 3, 100.0, higher=False),
    Column("f_one", "vis F 1 %", 4, 0.0),
    Column("f_half", "vis F 0.5 %", 4, 0.0),
    Column("normals", "vis NC", 4, 0.0),
    Column("all_normals", "all NC", 4, 0.0),
    Column("psnr", "PSNR", 2, 0.0),
    Column("fg_psnr", "fg PSNR", 2, 0.0),
    Column("ssim", "SSIM", 4, 0.0),
    Column("mask_iou", "IoU", 4, 0.0),
    Column("faces", "faces", 0, None, higher=False),
    Column("seconds", "s", 1, None, higher=False),
    Column("cpu_s", "CPU s", 1, None, higher=False),
    Column("peak_mb", "peak MB", 0, None, higher=False),
)
CAMERA_COLUMNS = (
    Column("centre_error_pct", "cam %", 3, 100.0, higher=False),
    Column("rotation_error_deg", "cam deg", 3, 180.0, higher=False),
    Column("fov_error_deg", "fov deg", 3, 180.0, higher=False),
)


def main() -> None:
    args = parse_arguments()
    cases = [case for case in find_cases(args.folder) if not args.only or case.name in args.only]
    if not cases:
        raise SystemExit(f"no cases in {args.folder}")
    evaluator, console = find_evaluator(args.folder), Console(stderr=True, highlight=False)
    rows: list[Row] = []
    for index, case in enumerate(cases):
        console.print(f"{index + 1} of {len(cases)}: {case.name}")
        rows += run_case(case, evaluator, args)
        if rows[-1]["error"]:
            console.print(f"[red]{rows[-1]['error']}[/red]", markup=True)
    report = {"cameras": args.cameras, "engine": args.engine, "rows": rows, "summary": summary(rows)}
    if args.json:
        text = json.dumps(report, indent=1)
        sys.stdout.write(text + "\n") if str(args.json) == "-" else args.json.write_text(text)
    if str(args.json) != "-":
        out = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
        out.print(make_table(rows, f"{args.folder.name}, {args.engine}, cameras {args.cameras}"))
    raise SystemExit(1 if any(row["error"] for row in rows) else 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of cases, or one case")
    parser.add_argument("--cameras", choices=["given", "withheld"], default="given")
    parser.add_argument("--engine", default="fusion")
    parser.add_argument(
        "--depth", choices=["given", "noisy", "withheld"], default="given", help="noisy: 0.5 %%, 5 %% lost"
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--json", type=Path, help="write all figures to this file; - prints them instead of the table")
    parser.add_argument("--save-views", type=Path, help="folder for truth | result pairs of the novel views")
    parser.add_argument("--keep", type=Path, help="keep the results in this folder")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds a case may take")
    return parser.parse_args()


# ---- one case


def run_case(case: Case, evaluator: Path, args: argparse.Namespace) -> list[Row]:
    """A row for each engine that gave a mesh, or one row with the error."""
    with tempfile.TemporaryDirectory(prefix="meshwright-eval-") as folder:
        staged, out = Path(folder) / "capture", (args.keep or Path(folder)).resolve() / f"result-{case.name}"
        shutil.rmtree(out, ignore_errors=True)  # an earlier run's, with its scores beside the mesh
        with_cameras = case.gives_cameras(args.cameras)
        stage(case, staged, with_cameras)
        spoil_depth(staged, args.depth)
        cost, error = run_child(staged, out, args.engine, args.timeout)
        base = {"case": case.name, "cameras": "given" if with_cameras else "withheld", **cost}
        meshes = [] if error else sorted(out.glob("*/mesh.glb"))
        if not meshes:
            return [{**base, "error": error or "no mesh was written"}]
        rows = []
        for mesh in meshes:
            label = case.name if len(meshes) == 1 else f"{case.name} {mesh.parent.name}"
            rows.append({**base, "case": label, **scored(case, mesh, evaluator, with_cameras, args.save_views)})
        return rows


def run_child(capture: Path, out: Path, engine: str, timeout: float) -> tuple[Row, str | None]:
    """Run one capture; returns its cost (seconds of wall clock, peak memory) and its error, if any."""
    words = [sys.executable, str(HERE / "run_case.py"), str(capture), str(out), engine]
    log, began = capture.parent / "log.txt", time.monotonic()
    with log.open("wb") as sink:
        child = subprocess.Popen(words, stdout=sink, stderr=sink)
        usage = wait(child, began + timeout)
    cost: Row = {"seconds": time.monotonic() - began, "peak_mb": usage.ru_maxrss / 1024}
    cost["cpu_s"] = usage.ru_utime + usage.ru_stime
    timings = Path(f"{out}.json")
    if child.returncode == 0 and timings.is_file():
        told = json.loads(timings.read_text())
        timings.unlink()
        return {**cost, "seconds": told["seconds"]["total"], "stages": told["stages"]}, None
    lines = log.read_text(errors="replace").strip().splitlines()
    ending = f"killed by signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
    return cost, f"{ending}: {lines[-1] if lines else 'no output'}"


def wait(child: subprocess.Popen[bytes], deadline: float) -> Any:
    """Wait for the child (killed at the deadline) and return its own resource usage."""
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            child.kill()
        time.sleep(0.05)


def scored(case: Case, mesh: Path, evaluator: Path, with_cameras: bool, views: Path | None) -> Row:
    """The figures of one mesh, moved into the true world first where the cameras were withheld."""
    quality = json.loads((mesh.parent / "quality.json").read_text())
    row: Row = {"verdict": quality["status"], "input_psnr": quality["metrics"]["psnr"], "error": None}
    try:
        placed, alignment = mesh, None
        if not with_cameras:
            alignment = align(case, mesh.parent.parent / "cameras.json")
            placed = mesh.with_name("aligned.glb")
            move_glb(mesh, placed, alignment.matrix)
        result = score(evaluator, placed, case, views and views / case.name)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        return {**row, "error": f"{type(error).__name__}: {error}"}
    return {**row, **figures(result), **camera_figures(alignment)}


def figures(result: dict[str, Any]) -> Row:
    """The figures of evaluate.py that the table shows; nothing visible counts as nothing there."""
    everything, novel = result["all"], result["novel_views"]
    visible = result["visible"] or {"chamfer_l1": 1.0, "fscore_1pct": 0, "fscore_0.5pct": 0, "normal_consistency": 0}
    per_unit = 100 / result["bbox_diagonal"]
    return {
        "chamfer": per_unit * visible["chamfer_l1"],
        "f_one": visible["fscore_1pct"],
        "f_half": visible["fscore_0.5pct"],
        "normals": visible["normal_consistency"],
        "all_chamfer": per_unit * everything["chamfer_l1"],
        "all_f_half": everything["fscore_0.5pct"],
        "all_normals": everything["normal_consistency"],
        "psnr": novel["psnr"],
        "fg_psnr": novel["fg_psnr"],
        "worst_view_fg_psnr": min(view["fg_psnr"] for view in novel["per_view"]),
        "ssim": novel["ssim"],
        "mask_iou": novel["mask_iou"],
        "faces": result["faces"],
    }


def camera_figures(alignment: Alignment | None) -> Row:
    if alignment is None:
        return {}
    return {
        "centre_error_pct": alignment.centre_error_pct,
        "rotation_error_deg": alignment.rotation_error_deg,
        "fov_error_deg": alignment.fov_error_deg,
        "alignment": alignment.matrix.tolist(),
    }


# ---- the table


def value_of(row: Row, column: Column) -> float | None:
    return column.failed if row["error"] and row.get(column.key) is None else row.get(column.key)


def columns_of(rows: list[Row]) -> tuple[Column, ...]:
    """The columns that apply: camera errors where the product had to find the cameras itself."""
    return (*COLUMNS, *CAMERA_COLUMNS) if any(row["cameras"] == "withheld" for row in rows) else COLUMNS


def summary(rows: list[Row]) -> dict[str, Row]:
    """Mean, median and worst of every column; failed cases count with the column's worst value."""
    out: dict[str, Row] = {"mean": {}, "median": {}, "worst": {}}
    for column in columns_of(rows):
        values = sorted(value for row in rows if (value := value_of(row, column)) is not None)
        if not values:
            continue
        middle = len(values) // 2
        out["mean"][column.key] = sum(values) / len(values)
        out["median"][column.key] = values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
        out["worst"][column.key] = values[0] if column.higher else values[-1]
    return out


def make_table(rows: list[Row], title: str) -> Table:
    peers = json.loads((HERE / "peers.json").read_text())
    columns = columns_of(rows)
    table = Table("case", *(column.heading for column in columns), "verdict", "best peer's fg PSNR", title=title)
    for row in rows:
        cells = [show(value_of(row, column), column) for column in columns]
        table.add_row(row["case"], *cells, row.get("verdict") or "[red]failed[/red]", peer_text(row, peers))
    table.add_section()
    for name, values in summary(rows).items():
        table.add_row(name, *(show(values.get(column.key), column) for column in columns), "", "")
    if {row["case"] for row in rows} == set(peers["cases"]):
        table.add_section()
        table.caption = f"Peers: {peers['setting']}. {peers['source']}."
        for name, values in peers["mean"].items():
            table.add_row(f"[dim]{name}[/dim]", *(show(values.get(column.key), column) for column in columns), "", "")
    return table


def peer_text(row: Row, peers: dict[str, Any]) -> str:
    stored = {name: values[row["case"]] for name, values in peers["fg_psnr"].items() if row["case"] in values}
    if not stored:
        return ""
    name = max(stored, key=stored.__getitem__)
    ahead = "" if row["error"] else f" ({row['fg_psnr'] - stored[name]:+.1f})"
    return f"{stored[name]:.1f} {name}{ahead}"


def show(value: float | None, column: Column) -> str:
    return "" if value is None else f"{value:,.{column.digits}f}"


if __name__ == "__main__":
    main()
