"""The verdict's arithmetic: thresholds, caps, and that more error never helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.quality.metrics import Metrics, Score
from meshwright.quality.verdict import judge, judge_views, mean_metrics, worst_view

ORDER = ("normal", "warning", "failure")


def metrics(psnr: float = 30.0, ssim: float = 0.95, iou: float = 0.98, depth: float | None = 0.002) -> Metrics:
    depth_score = Score.absent("the view has no depth") if depth is None else Score.of(depth)
    full = Score.of(10.0)
    return Metrics(Score.of(psnr), Score.of(ssim), Score.of(iou), depth_score, depth_score, Score.of(1.0), full, full)


@pytest.mark.parametrize(
    ("scores", "status"),
    [
        (metrics(25.0, 0.85, 0.90, 0.01), "normal"),
        (metrics(psnr=24.999), "warning"),
        (metrics(ssim=0.849), "warning"),
        (metrics(iou=0.899), "warning"),
        (metrics(depth=0.0101), "warning"),
        (metrics(20.0, 0.75, 0.80, 0.02), "warning"),
        (metrics(psnr=19.999), "failure"),
        (metrics(ssim=0.749), "failure"),
        (metrics(iou=0.799), "failure"),
        (metrics(depth=0.0201), "failure"),
        (metrics(depth=None), "normal"),
    ],
)
def test_each_threshold_is_the_contracts(scores: Metrics, status: str):
    assert judge(scores).status == status


def test_full_frame_scores_are_not_looked_at():
    for value in (Score.of(-5.0), Score.of(99.0), Score.undefined("")):
        assert judge(replace(metrics(), psnr_full=value, ssim_full=value)) == judge(metrics())


def test_an_identical_image_is_as_good_as_can_be_and_a_missing_surface_as_bad():
    assert judge(replace(metrics(), psnr=Score.unbounded("identical"))).status == "normal"
    assert judge(replace(metrics(), depth_mae=Score.undefined("no surface"))).status == "failure"


def test_one_view_in_failure_caps_the_verdict_at_warning():
    views = {name: metrics() for name in "abcde"} | {"f": metrics(psnr=19.0)}
    verdict = judge_views(views)
    assert verdict.status == "warning"
    assert "f" in verdict.note
    assert worst_view(views)[0] == "f"


def test_a_quarter_of_contradicting_views_is_a_failure_that_no_mean_hides():
    wrong = metrics(psnr=14.0, ssim=0.80)
    views = {name: metrics(psnr=40.0) for name in "abcd"} | {"e": wrong, "f": wrong}
    assert judge(mean_metrics(views)).status == "normal"
    assert judge_views(views).status == "failure"
    assert "e, f" in judge_views(views).note
    assert judge_views({name: metrics(psnr=40.0) for name in "abcdefg"} | {"h": wrong, "i": wrong}).status == "warning"


def test_means_are_of_the_views_that_have_a_score_and_say_so():
    means = mean_metrics({"a": metrics(20.0), "b": metrics(30.0, depth=None)})
    assert means.psnr.value == 25.0
    assert means.depth_mae.value == 0.002
    assert "b" in means.depth_mae.reason
    assert mean_metrics({"a": metrics(depth=None)}).depth_mae.kind == "absent"


def test_an_identical_view_counts_as_sixty_decibels_in_a_mean():
    identical = replace(metrics(), psnr=Score.unbounded("identical"))
    assert mean_metrics({"a": identical, "b": identical}).psnr.value is None
    means = mean_metrics({"a": identical, "b": metrics(psnr=20.0)})
    assert means.psnr.value == 40.0
    assert "a" in means.psnr.reason


scores = st.builds(metrics, st.floats(0, 59), st.floats(-1, 1), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1)))


@settings(max_examples=200, deadline=None)
@given(st.lists(scores, min_size=1, max_size=9), st.data())
def test_more_error_never_helps(views: list[Metrics], data: st.DataObject):
    """Any view made worse in any deciding score leaves the verdict as it was or makes it worse."""
    named = {str(index): view for index, view in enumerate(views)}
    chosen = data.draw(st.sampled_from(sorted(named)))
    field = data.draw(st.sampled_from(["psnr", "ssim", "mask_iou", "depth_mae"]))
    score = getattr(named[chosen], field)
    if score.value is None:
        return
    loss = data.draw(st.floats(0, 50)) * (-1 if field == "depth_mae" else 1)
    worse = named | {chosen: replace(named[chosen], **{field: Score.of(score.value - loss)})}
    before, after = judge_views(named), judge_views(worse)
    assert ORDER.index(before.status) <= ORDER.index(after.status)
    assert before.severity <= after.severity + 1e-9
