"""nvdiffrec beside fusion on an evaluation folder: with the depth as given, with noise, and without depth.

    python benchmarks/nvdiffrec.py DIR [--only NAME ...] [--depth given noisy withheld]

Both engines run in jobs of their own, scored by the set's tools/evaluate.py (evalset.py). Without depth fusion is the
silhouette hull. IoU is that of novel views, input IoU that of the views that the job was given (quality.json). "excess"
is the Chamfer distance above what the truth itself scores: about .15 comes of comparing samples, whatever the mesh.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from evalcase import find_cases, find_evaluator, score

HERE = Path(__file__).resolve().parent
KEYS = {
    "fg_psnr": "fg PSNR",
    "mask_iou": "IoU",
    "input_iou": "input IoU",
    "f_half": "vis F 0.5 %",
    "normals": "vis NC",
    "chamfer": "vis CD x100",
    "excess": "excess CD x100",
}


def rows(folder: Path, engine: str, depth: str, only: list[str]) -> dict[str, dict[str, Any]]:
    """A row of figures for each case."""
    with tempfile.TemporaryDirectory() as scratch:
        report, kept = Path(scratch) / "report.json", Path(scratch) / "kept"
        words = [sys.executable, str(HERE / "evalset.py"), str(folder), "--engine", engine, "--depth", depth]
        words += ["--json", str(report), "--keep", str(kept), *(["--only", *only] if only else [])]
        subprocess.run(words, check=False, stdout=subprocess.DEVNULL)  # a case that fails is a row
        table = {row["case"]: row for row in json.loads(report.read_text())["rows"]}
        for case, row in table.items():
            row["input_iou"] = input_iou(kept / f"result-{case}" / engine)
            row["excess"] = None if row.get("chamfer") is None else row["chamfer"] - sampling(folder, case)
        return table


@cache
def sampling(folder: Path, name: str) -> float:
    """The Chamfer distance, in percent of the diagonal, that the truth scores beside itself."""
    case = next(case for case in find_cases(folder) if case.name == name)
    with tempfile.TemporaryDirectory() as scratch:
        truth = Path(shutil.copy(case.folder / "gt.glb", scratch))
        result = score(find_evaluator(folder), truth, case, None)
    return 100 * result["visible"]["chamfer_l1"] / result["bbox_diagonal"]


def input_iou(result: Path) -> float | None:
    """The mean mask IoU of the input views, as the job itself measured it; None if the case failed."""
    report = result / "quality.json"
    return json.loads(report.read_text())["metrics"]["mask_iou"] if report.is_file() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--depth", nargs="*", default=["given", "noisy", "withheld"])
    options = parser.parse_args()
    for depth in options.depth:
        both = {engine: rows(options.folder, engine, depth, options.only) for engine in ("fusion", "nvdiffrec")}
        print(f"\nDepth {depth}: fusion -> nvdiffrec")
        print(f"{'case':<14}" + "".join(f"{name:>22}" for name in [*KEYS.values(), "s"]))
        for case in both["fusion"]:
            one, two = (both[engine][case] for engine in both)
            figures = [f"{one.get(k) or 0:.4f} -> {two.get(k) or 0:.4f}" for k in KEYS]
            seconds = f"{one.get('seconds') or 0:.0f} -> {two.get('seconds') or 0:.0f}"
            print(f"{case:<14}" + "".join(f"{text:>22}" for text in [*figures, seconds]), flush=True)
        for key, name in KEYS.items():
            means = [sum(row.get(key) or 0.0 for row in table.values()) / len(table) for table in both.values()]
            print(f"mean {name}: {means[0]:.4f} -> {means[1]:.4f}")


if __name__ == "__main__":
    main()
