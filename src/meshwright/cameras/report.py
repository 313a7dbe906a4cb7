"""What calibration tells the user: hypothesis, runner-up and margin, residuals per pair of views, findings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from meshwright.cameras.evidence import Candidate, Evidence, Outcome
from meshwright.cameras.model import RigModel
from meshwright.cameras.registration import Registration
from meshwright.cameras.solve import Problem, pair_table
from meshwright.capture.calibrated import CalibrationReport
from meshwright.capture.capture import Finding

POOR_PCT = 0.6  # mean residual above which the views do not fit one object, percent of its diagonal


def describe(candidate: Candidate, names: Sequence[str]) -> dict[str, object]:
    """A hypothesis as JSON."""
    model, law = candidate.fit.model, candidate.law
    return candidate.arrangement.describe(names) | {
        "projection": "orthographic" if candidate.orthographic else "perspective",
        "depth_law": "ray" if law.ray else "z",
        "depth_encoding": law.encoding,
        "offset": law.offset,
        "poses_refined": model.fit_poses,
    }


def residual_rows(
    problem: Problem, model: RigModel, names: Sequence[str], diagonal: float
) -> tuple[dict[str, object], ...]:
    """One row per ordered pair: points of ``from`` against what ``to`` saw, percent of the diagonal."""
    table = pair_table(problem, model, diagonal)
    return tuple(
        {"from": a, "to": b, "violation_pct": round(float(table[i, j]), 4)}
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i != j
    )


def solved_report(
    outcome: Outcome, evidence: Evidence, names: Sequence[str], bounds: Float[np.ndarray, "2 3"]
) -> CalibrationReport:
    """Report of a solved rig; ``bounds`` in the solver's units."""
    best, diagonal = outcome.best, float(np.linalg.norm(bounds[1] - bounds[0]))
    problem, _ = evidence.problem(best.arrangement)
    model = best.fit.model
    other = outcome.runner_up
    residual_pct = 100 * best.residual / diagonal
    return CalibrationReport(
        "estimated",
        describe(best, names),
        describe(other, names) if other else None,
        float(other.residual / max(best.residual, 1e-9) - 1.0) if other else None,
        outcome.tie,
        residual_pct,
        residual_rows(problem, model, names, diagonal),
        None if best.orthographic else float(np.degrees(2 * np.arctan(model.kappa))),
        _findings(outcome, names, residual_pct),
    )


def _findings(outcome: Outcome, names: Sequence[str], residual_pct: float) -> tuple[Finding, ...]:
    found: list[Finding] = []
    anomaly = outcome.best.arrangement.anomaly
    if anomaly:
        message = f"The views only fit together if {anomaly}; it was undone."
        found.append(Finding("view_anomaly", message, "Check how the views were exported."))
    if outcome.tie:
        others = "; ".join(sorted({_difference(outcome.best, c, names) for c in outcome.tied}))
        message = f"Neither depth nor colour tells this rig from: {others}."
        found.append(Finding("rig_tie", message, "Fix it with --rig if the result is turned.", severity="info"))
    if residual_pct > POOR_PCT:
        found.append(Finding(
            "views_inconsistent",
            f"The depth maps disagree by {residual_pct:.2f} % of the object's diagonal under the best rig found.",
            "Check that all views show the same object, unmoved, and that depth and view names belong together.",
        ))  # fmt: skip
    return tuple(found)


def _difference(best: Candidate, other: Candidate, names: Sequence[str]) -> str:
    pairs = zip(names, best.arrangement.placements, other.arrangement.placements, strict=True)
    changed = [
        f"{n} at {b.slot}{f' turned {b.roll_deg}' if b.roll_deg else ''}{' mirrored' if b.mirrored else ''}"
        for n, a, b in pairs
        if a != b
    ]
    return ", ".join(changed) or "the whole rig turned"


def registration_findings(names: Sequence[str], registrations: Sequence[Registration | None]) -> tuple[Finding, ...]:
    """Remarks on RGB images that do not lie on their depth."""
    found: list[Finding] = []
    for name, r in zip(names, registrations, strict=True):
        if r is not None and r.iou < 0.97:
            found.append(Finding(
                "rgb_depth_mismatch",
                f"The RGB silhouette of {name} agrees with its depth only to an IoU of {r.iou:.2f} after registration.",
                "Use RGB and depth of the same shape and camera; expect smeared colour at the rim.",
                name,
            ))  # fmt: skip
        elif r is not None and not r.similarity.is_identity:
            s = r.similarity
            found.append(Finding(
                "rgb_registered",
                f"The RGB of {name} was laid on its depth: scale {s.scale:.3f}, "
                f"turn {np.degrees(s.angle_rad):.2f} degrees, "
                f"shift {100 * s.shift_x:.1f} %, {100 * s.shift_y:.1f} % of the width "
                f"(IoU {r.iou_before:.3f} -> {r.iou:.3f}).",
                view=name,
                severity="info",
            ))  # fmt: skip
    return tuple(found)
