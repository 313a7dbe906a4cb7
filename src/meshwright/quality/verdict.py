"""From scores to a verdict: `normal`, `warning` or `failure`, and the mean and the worst view that say why.

Every criterion is put on one scale, its *severity*: 0 at the line of `normal`, 1 at the line of `warning`, rising
without bound as the score gets worse. A set of scores is as bad as its worst criterion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from meshwright.quality.metrics import Metrics, Score

Status = Literal["normal", "warning", "failure"]

PSNR_OF_IDENTICAL = 60.0  # counts for an identical view in a mean: 8-bit rounding alone leaves 59 dB
CONTRADICTED = 2.0  # severity of a view that shows something else: as far below `warning` as that is below `normal`


@dataclass(frozen=True)
class Criterion:
    """The two lines of one metric: ``normal`` and ``warning``; errors (lower is better) have normal < warning."""

    metric: str
    label: str
    normal: float
    warning: float

    def severity(self, score: Score) -> float | None:
        """Where the score lies: <= 0 normal, <= 1 warning, above failure; None where the criterion does not apply."""
        if score.value is None:
            return {"unbounded": -float("inf"), "undefined": float("inf")}.get(score.kind)
        return (self.normal - score.value) / (self.normal - self.warning)


CRITERIA = (
    Criterion("psnr", "foreground PSNR", 25.0, 20.0),
    Criterion("ssim", "SSIM", 0.85, 0.75),
    Criterion("mask_iou", "mask IoU", 0.90, 0.80),
    Criterion("depth_mae", "depth error", 0.01, 0.02),
)


@dataclass(frozen=True)
class Verdict:
    """The status and why: the worst criterion, and what capped the status if something did."""

    status: Status
    severity: float
    criterion: Criterion
    note: str | None = None


def judge(metrics: Metrics) -> Verdict:
    """The verdict of one set of scores, without regard to single views."""
    rated = [(criterion.severity(getattr(metrics, criterion.metric)), criterion) for criterion in CRITERIA]
    severity, criterion = max(((s, c) for s, c in rated if s is not None), key=lambda pair: pair[0])
    return Verdict(status_of(severity), severity, criterion)


def judge_views(views: Mapping[str, Metrics]) -> Verdict:
    """The verdict of several views, by name: of their means, capped by single views.

    One view in failure allows `warning` at best. Where a quarter of the views, and at least two, show something else
    altogether (severity above 2 each), it is `failure`: two exchanged sides of six can hide in a mean.
    """
    verdict = judge(mean_metrics(views))
    each = {name: judge(metrics) for name, metrics in views.items()}
    wrong = [name for name, single in each.items() if single.severity > CONTRADICTED]
    if verdict.status != "failure" and len(wrong) >= max(2, len(views) / 4):
        note = f"{len(wrong)} of {len(views)} views contradict the mesh: {', '.join(wrong)}"
        return Verdict("failure", verdict.severity, verdict.criterion, note)
    failed = [name for name, single in each.items() if single.status == "failure"]
    if verdict.status == "normal" and failed:
        return Verdict("warning", verdict.severity, verdict.criterion, f"in failure: {', '.join(failed)}")
    return verdict


def status_of(severity: float) -> Status:
    """The status that a severity stands for."""
    return "normal" if severity <= 0 else "warning" if severity <= 1 else "failure"


def worst_view(views: Mapping[str, Metrics]) -> tuple[str, Verdict]:
    """Name and verdict of the view of the highest severity (the first of equals)."""
    judged = {name: judge(metrics) for name, metrics in views.items()}
    return max(judged.items(), key=lambda pair: pair[1].severity)


def mean_metrics(views: Mapping[str, Metrics]) -> Metrics:
    """Means over the views. A view without a score is left out, and the mean's reason says so."""
    names = list(views)
    return Metrics(*(_mean(list(scores), names) for scores in zip(*map(_scores, views.values()), strict=True)))


def _scores(metrics: Metrics) -> list[Score]:
    return [score for _, score in metrics.items()]


def _mean(scores: Sequence[Score], names: Sequence[str]) -> Score:
    if all(score.kind == "unbounded" for score in scores):
        return scores[0]
    values = [PSNR_OF_IDENTICAL if score.kind == "unbounded" else score.value for score in scores]
    known = [value for value in values if value is not None]
    if not known:
        return next((score for score in scores if score.kind == "undefined"), scores[0])
    return Score.of(sum(known) / len(known), _remark(scores, names))


def _remark(scores: Sequence[Score], names: Sequence[str]) -> str | None:
    identical = [name for score, name in zip(scores, names, strict=True) if score.kind == "unbounded"]
    missing = [name for score, name in zip(scores, names, strict=True) if score.kind in ("undefined", "absent")]
    remarks = []
    if identical:
        remarks.append(f"identical views count as {PSNR_OF_IDENTICAL:.0f} dB: {', '.join(identical)}")
    if missing:
        remarks.append(f"without a score, left out of the mean: {', '.join(missing)}")
    return "; ".join(remarks) or None
