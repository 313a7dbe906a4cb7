"""Where the time of the main job goes: by stage on a full-size capture, cold and warm, and how it grows.

    python benchmarks/timing.py [--out out/bench] [--quick]

The capture is `meshwright sample --full`: six views, RGB 2048, depth 1024, cameras and depth scales withheld; the job
has default settings (2048 texture, 30k faces) and includes camera solving and the whole package. Each job is a process
of its own, as a user starts it. "cold" means that numba compiles every kernel first.
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
from pathlib import Path
from typing import Any

STAGES = {
    "load": "fewer pixels; decoding in threads",
    "calibrate": "fewer hypotheses in the last round; given cameras skip the search",
    "depth": "smaller depth maps",
    "fuse": "half the resolution (an eighth of the voxels)",
    "extract": "half the resolution (a quarter of the surface)",
    "simplify": "half the resolution; more faces in the result",
    "texture": "half the texture size; fewer faces to unwrap",
    "assess": "fewer views",
    "package": "fewer formats; smaller texture; faster PNG level",
}


def job(capture: Path, out: Path, *options: str, cache: Path | None = None) -> dict[str, Any]:
    """One reconstruction in a process of its own: wall seconds, stages, peak memory, verdict."""
    env = {**os.environ, **({"NUMBA_CACHE_DIR": str(cache)} if cache else {})}
    words = [sys.executable, "-m", "meshwright", "reconstruct", str(capture), "-o", str(out), "--overwrite", "--json"]
    began = time.monotonic()
    done = subprocess.run([*words, *options], capture_output=True, text=True, check=False, env=env)
    seconds = time.monotonic() - began
    last = json.loads(done.stdout.splitlines()[-1])
    if done.returncode:
        raise SystemExit(f"{capture}: {last['error']['message']}")
    manifest = json.loads((out / "manifest.json").read_text())
    # The manifest is written inside the last stage, so that stage is what is left of the whole.
    stages = dict(manifest["stage_seconds"])
    known = sum(stages.get(name, 0.0) for name in ("load", "calibrate", "fusion", "assess"))
    stages["package"] = last["stage_seconds"].get("package", 0.0) or max(seconds - known - start_up(), 0.0)
    return {
        "seconds": seconds,
        "stages": stages,
        "peak_mb": manifest["peak_memory_bytes"] / 1e6,
        "verdict": last["verdict"],
    }


def start_up() -> float:
    """Seconds from nothing to a parsed command line."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "meshwright", "--version"], capture_output=True, check=True)
    return time.monotonic() - began


def sample(folder: Path, *options: str) -> Path:
    subprocess.run([sys.executable, "-m", "meshwright", "sample", str(folder), "--quiet", *options], check=True)
    return folder


def print_stages(title: str, run: dict[str, Any]) -> None:
    print(f"\n{title}: {run['seconds']:.1f} s, peak {run['peak_mb']:.0f} MB, verdict {run['verdict']}")
    print("| stage | s | share | what would halve it |\n| --- | --- | --- | --- |")
    listed = 0.0
    for stage, remedy in STAGES.items():
        seconds = run["stages"].get(stage, 0.0)
        listed += seconds
        print(f"| {stage} | {seconds:.2f} | {seconds / run['seconds']:.0%} | {remedy} |")
    rest = run["seconds"] - listed
    print(f"| start and imports | {rest:.2f} | {rest / run['seconds']:.0%} | a process that stays |")


def print_growth(title: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
    print(f"\n{title}")
    print(
        "| | s | load | calibrate | surface | texture | assess | package | peak MB | verdict |\n" + "| --- " * 10 + "|"
    )
    for label, run in rows:
        parts = [
            f"{run['stages'].get(name, 0.0):.1f}"
            for name in ("load", "calibrate", "surface", "texture", "assess", "package")
        ]
        print(
            f"| {label} | {run['seconds']:.1f} | "
            + " | ".join(parts)
            + f" | {run['peak_mb']:.0f} | {run['verdict']} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--quick", action="store_true", help="only the two tables of the full-size capture")
    options = parser.parse_args()
    shutil.rmtree(options.out / "timing", ignore_errors=True)
    out = options.out / "timing"
    full = sample(out / "full", "--full")
    print(f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as cache:
        print_stages("Full-size capture, numba cold", job(full, out / "result", cache=Path(cache)))
        print_stages("Full-size capture, numba warm", job(full, out / "result", cache=Path(cache)))
        if options.quick:
            return
        grown = [
            (f"{n} views", sample(out / f"views{n}", "--format", "metric", "--full", "--views", str(n)))
            for n in (6, 12, 24)
        ]
        runs = [(label, job(capture, out / "result", cache=Path(cache))) for label, capture in grown]
        print_growth("Growth with views (cameras given; RGB 2048, depth 1024)", runs)
        runs = [
            (f"{n} voxels", job(full, out / "result", "--resolution", str(n), cache=Path(cache)))
            for n in (128, 256, 512)
        ]
        print_growth("Growth with resolution (six views, cameras solved)", runs)


if __name__ == "__main__":
    main()
