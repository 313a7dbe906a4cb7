"""An assessment in words: the one-sentence summary, and the remarks that a person should read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.quality.coverage import CoverageShares
from meshwright.quality.health import MeshHealth
from meshwright.quality.metrics import Metrics, Score
from meshwright.quality.verdict import CRITERIA, Verdict, judge, judge_views, worst_view

MUCH_INVENTED = 0.25  # share of the surface above which a buyer would ask what is on the other side


@dataclass(frozen=True)
class Remark:
    """One warning of a report: a stable code, a sentence, what to do, and the view it is about."""

    code: str
    message: str
    remedy: str = ""
    view: str | None = None


def summarise(verdict: Verdict, means: Metrics, views: Mapping[str, Metrics]) -> str:
    """One sentence with the verdict, the means and the worst view."""
    worst, single = worst_view(views)
    value = getattr(views[worst], single.criterion.metric)
    numbers = ", ".join(f"{c.label} {number_text(c.metric, getattr(means, c.metric))}" for c in CRITERIA)
    note = f" ({verdict.note})" if verdict.note else ""
    worst_number = number_text(single.criterion.metric, value)
    return (
        f"{verdict.status.capitalize()}{note}: {numbers}; "
        f"the worst view is {worst} ({single.criterion.label} {worst_number}, {single.status})."
    )


def remarks(
    capture: CalibratedCapture,
    verdict: Verdict,
    means: Metrics,
    held_out: Mapping[str, Metrics],
    coverage: CoverageShares,
    health: MeshHealth,
) -> tuple[Remark, ...]:
    """All warnings, those about the verdict first, then the mesh, the cameras and the input."""
    return (
        *_verdict_remarks(verdict, means, held_out),
        *_surface_remarks(coverage, health),
        *_capture_remarks(capture),
    )


def _verdict_remarks(verdict: Verdict, means: Metrics, held_out: Mapping[str, Metrics]) -> list[Remark]:
    found = []
    if verdict.note:
        found.append(Remark("views_cap_the_verdict", f"The verdict is {verdict.status}: {verdict.note}."))
    if means.depth_mae.kind == "absent":
        found.append(
            Remark(
                "no_depth_criterion", "The capture has no depth, so the verdict rests on the images and silhouettes."
            )
        )
    for name, metrics in held_out.items():
        if judge(metrics).status == "failure":
            found.append(Remark("held_out_view_fails", f"The held-out view {name} is in failure.", view=name))
    if held_out and judge_views(held_out).severity > max(verdict.severity, 0):
        found.append(Remark("held_out_worse", "The held-out views fit worse than those that the engine was given."))
    return found


def _surface_remarks(coverage: CoverageShares, health: MeshHealth) -> list[Remark]:
    found = [
        Remark("mesh_unsound", f"{text[0].upper()}{text[1:]}.", "A 3D printer or a physics engine may refuse it.")
        for text in health.complaints
    ]
    if coverage.invented is not None and coverage.invented > MUCH_INVENTED:
        share = f"{100 * coverage.invented:.0f} %"
        found.append(Remark("much_invented", f"No view saw {share} of the surface.", "Add views of the hidden sides."))
    return found


def _capture_remarks(capture: CalibratedCapture) -> list[Remark]:
    found = []
    if capture.report.tie:
        found.append(
            Remark(
                "cameras_tie",
                "Two explanations of the cameras fit the input equally well.",
                "Give a cameras.json, or force one with --rig.",
            )
        )
    seen = set()
    for finding in (*capture.report.findings, *capture.findings):
        key = (finding.code, finding.view, finding.message)
        if finding.severity != "info" and key not in seen:
            seen.add(key)
            found.append(Remark(finding.code, finding.message, finding.remedy, finding.view))
    return found


def metric_text(metrics: Metrics) -> str:
    """The four deciding scores in a short line."""
    names = {"psnr": "PSNR", "ssim": "SSIM", "mask_iou": "IoU", "depth_mae": "depth"}
    return "   ".join(f"{label} {number_text(name, getattr(metrics, name))}" for name, label in names.items())


def number_text(metric: str, score: Score) -> str:
    """A score as a person reads it, with its unit."""
    if score.value is None:
        return "not measured" if score.kind == "absent" else "perfect" if score.kind == "unbounded" else "undefined"
    if metric == "psnr":
        return f"{score.value:.1f} dB"
    if metric == "depth_mae":
        return f"{100 * score.value:.2g} % of the diagonal"
    return f"{score.value:.3f}"
