"""Camera recovery under the perturbation ladder: cameras and depth scales withheld, scored against the truth.

    python benchmarks/calibration_ladder.py DIR [--cases spot bob] [--steps naming "top rolled"] [--json out.json]

DIR holds cases of the evaluation set's form (``meshwright sample --evalset`` writes such a case). The product gets
names, RGB and stored depth values only; everything else here is for scoring.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ladder.case import Case, load_case
from ladder.perturb import Step, check_rig, steps
from ladder.score import Score, failed, score


def run(case: Case, step: Step) -> Score:
    """One case on one rung."""
    from meshwright.cameras.calibrate import calibrate

    perturbed = step.apply(case)
    check_rig(perturbed)
    capture = perturbed.capture()
    began = time.perf_counter()
    try:
        found = calibrate(capture)
    except Exception as error:  # noqa: BLE001 - a crash is a wrong run, and the others go on
        return failed(perturbed, step.name, step.group, error, time.perf_counter() - began)
    return score(perturbed, step.name, step.group, found, time.perf_counter() - began)


def chosen(wanted: list[str] | None) -> list[Step]:
    """Steps whose group or name is wanted (all without a wish)."""
    return [step for step in steps() if not wanted or step.group in wanted or step.name in wanted]


def line(result: Score) -> str:
    """One run as text."""

    def number(value: float | None, form: str) -> str:
        return "    -" if value is None else format(value, form)

    verdict = "right" if result.right else "tie" if result.counts else "undec" if result.undecidable else "WRONG"
    flags = f"{'' if result.law else 'law!':5s}{'tie' if result.tie else '':3s}"
    return (
        f"{result.case:14s}{result.step:28s}{verdict:6s}{flags}"
        f" fov {number(result.fov_error_deg, '5.2f')}  centre {number(result.centre_error_pct, '6.3f')} %"
        f"  scale {number(result.scale_error_pct, '6.3f')} %  {result.seconds:5.1f} s"
        + ("" if result.right else f"  [{result.error or result.found}]")
    )


def table(results: list[Score]) -> str:
    """Rates per rung and over all."""
    rows = [
        f"{'step':28s}{'counts':>8s}{'right':>7s}{'tie':>5s}{'undec':>7s}"
        f"{'fov':>8s}{'centre %':>10s}{'scale %':>9s}{'s':>7s}"
    ]
    groups = list(dict.fromkeys(result.group for result in results))
    for group in [*groups, "ALL"]:
        some = [r for r in results if group in (r.group, "ALL")]
        rows.append(
            f"{group:28s}{sum(r.counts for r in some):4d}/{len(some):<3d}{sum(r.right for r in some):7d}"
            f"{sum(r.tie for r in some):5d}{sum(r.undecidable for r in some):7d}"
            f"{worst(some, 'fov_error_deg'):8.2f}{worst(some, 'centre_error_pct'):10.3f}"
            f"{worst(some, 'scale_error_pct'):9.3f}{max(r.seconds for r in some):7.1f}"
        )
    rate = sum(r.counts for r in results) / len(results)
    return "\n".join([*rows, f"rate {100 * rate:.1f} % of {len(results)} runs (figures are the worst of right runs)"])


def worst(results: list[Score], key: str) -> float:
    """The largest value of right runs, 0 where there is none."""
    return max((getattr(r, key) or 0.0 for r in results if r.right), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--steps", nargs="*", help="groups or names of rungs; see --list")
    parser.add_argument("--list", action="store_true", help="name the rungs and stop")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{step.group:14s}{step.name}" for step in steps()))
        return
    results = []
    for path in sorted(args.folder.glob("*/case.json")):
        if args.cases and path.parent.name not in args.cases:
            continue
        case = load_case(path.parent)
        for step in chosen(args.steps):
            results.append(run(case, step))
            print(line(results[-1]), flush=True)
            if args.json:
                args.json.write_text(json.dumps([result.row() for result in results], indent=1))
    if results:
        print(table(results))


if __name__ == "__main__":
    main()
