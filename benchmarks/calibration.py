"""Camera recovery, case by case: cameras and depth scales withheld, compared with the truth after one similarity.

    python benchmarks/calibration.py DIR [--cases spot bob] [--rig FACTS] [--json out.json]

DIR holds cases of the evaluation set's form (``meshwright sample --evalset`` writes one). The product gets names, RGB
and stored depth. `calibration_ladder.py` perturbs the same cases.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ladder.case import load_case
from ladder.score import score

COLUMNS = (
    ("case", "14s"), ("orientation", "12s"), ("fov_error_deg", "14.3f"), ("scale_error_pct", "16.3f"),
    ("centre_error_pct", "17.3f"), ("residual_pct", "13.4f"), ("margin", "8.2f"), ("wall_s", "7.1f"), ("cpu_s", "7.1f"),
)  # fmt: skip


def measure(folder: Path, rig: str | None) -> dict[str, object]:
    """One case."""
    from meshwright.cameras.calibrate import CalibrationOptions, calibrate

    case = load_case(folder)
    capture = case.capture()
    wall, cpu = time.perf_counter(), time.process_time()
    found = calibrate(capture, CalibrationOptions(rig=rig))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    result = score(case, "plain", "plain", found, wall)
    return {
        "case": case.name,
        "orientation": "right" if result.right else "tie" if result.counts else "WRONG",
        "fov_error_deg": result.fov_error_deg,
        "scale_error_pct": result.scale_error_pct,
        "centre_error_pct": result.centre_error_pct,
        "residual_pct": found.report.residual_pct,
        "margin": found.report.margin,
        "wall_s": wall,
        "cpu_s": cpu,
    }


def line(row: dict[str, object]) -> str:
    """A row of the table."""
    cells = []
    for key, form in COLUMNS:
        value, width = row[key], int(form.rstrip("sf").split(".")[0])
        cells.append(f"{'-':>{width}}" if value is None else format(value, form))
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--rig", default=None, help="facts for the solver, as meshwright reconstruct --rig")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(" ".join(f"{key:{form.split('.')[0].rstrip('sf')}s}" for key, form in COLUMNS))
    rows: list[dict[str, object]] = []
    for path in sorted(args.folder.glob("*/case.json")):
        if not args.cases or path.parent.name in args.cases:
            rows.append(measure(path.parent, args.rig))
            print(line(rows[-1]), flush=True)
            if args.json:
                args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
