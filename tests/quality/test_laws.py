"""What the verdict must say, with real renders of a real mesh: right is right, and each way of being wrong is wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.geometry.mesh import TexturedMesh
from meshwright.geometry.rotations import exp_so3
from meshwright.quality.assess import assess

ORDER = ("normal", "warning", "failure")


def turned(mesh: TexturedMesh, axis: tuple[float, ...], degrees: float) -> TexturedMesh:
    motion = np.eye(4)
    motion[:3, :3] = exp_so3(np.radians(degrees) * np.array(axis, float))
    return mesh.transformed(motion)


def mirrored(mesh: TexturedMesh, axis: int) -> TexturedMesh:
    sign = np.ones(3)
    sign[axis] = -1
    return replace(mesh, vertices=mesh.vertices * sign, faces=mesh.faces[:, ::-1], normals=mesh.normals * sign)


def exchanged(capture: CalibratedCapture, a: str, b: str) -> CalibratedCapture:
    """The capture with the pictures of two views exchanged, their cameras left in place."""
    views = {view.name: view for view in capture.views}
    pictures = {name: {"rgb": views[name].rgb, "mask": views[name].mask, "depth": views[name].depth} for name in (a, b)}
    views[a], views[b] = replace(views[a], **pictures[b]), replace(views[b], **pictures[a])
    return replace(capture, views=tuple(views.values()))


def painted(mesh: TexturedMesh, colour: int) -> TexturedMesh:
    assert mesh.texture is not None
    return replace(mesh, texture=np.full_like(mesh.texture, colour))


def empty() -> TexturedMesh:
    none = np.zeros((0, 3))
    return TexturedMesh(none, np.zeros((0, 3), np.int32), none)


def billboard(capture: CalibratedCapture, name: str) -> TexturedMesh:
    """A card in the object's middle plane that shows one view's photo exactly to that view's camera."""
    view = next(view for view in capture.views if view.name == name)
    height, width = view.mask.shape
    rows, columns = np.nonzero(view.mask)
    box = np.array([[x, y] for y in (rows.min(), rows.max() + 1) for x in (columns.min(), columns.max() + 1)], float)
    distance = np.full(4, float(np.linalg.norm(view.camera.center)))
    vertices = view.camera.unproject(box, distance)
    faces = np.array([[0, 2, 1], [1, 2, 3]], np.int32)
    normals = np.tile(-view.camera.forward, (4, 1))
    return TexturedMesh(vertices, faces, normals, uv=box / [width, height], texture=view.rgb)


def test_the_same_mesh_is_perfect(capture: CalibratedCapture, body: TexturedMesh):
    result = assess(capture, body)
    assert result.verdict == "normal"
    for view in result.views:
        scores = view.metrics
        assert (scores.psnr.value, scores.psnr.kind) == (None, "unbounded")
        assert "identical" in scores.psnr.reason
        assert scores.ssim.value == scores.mask_iou.value == scores.depth_overlap.value == 1.0
        assert scores.depth_mae.value == scores.depth_rmse.value == 0.0


def test_a_blank_result_fails(capture: CalibratedCapture):
    result = assess(capture, empty())
    assert result.verdict == "failure"
    assert result.metrics.mask_iou.value == 0.0
    assert result.metrics.depth_mae.kind == "undefined"


@pytest.mark.parametrize("view", ["front", "top"])
def test_a_billboard_fails(capture: CalibratedCapture, view: str):
    result = assess(capture, billboard(capture, view))
    shown = next(single for single in result.views if single.name == view)
    assert shown.metrics.psnr.value > 20, "the card shows its own view well"
    assert result.verdict == "failure"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_result_fails(capture: CalibratedCapture, body: TexturedMesh, axis: int):
    assert assess(capture, mirrored(body, axis)).verdict == "failure"


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_result_fails(capture: CalibratedCapture, body: TexturedMesh, axis: tuple[float, ...], degrees: float):
    assert assess(capture, turned(body, axis, degrees)).verdict == "failure"


@pytest.mark.parametrize("pair", [("front", "back"), ("left", "right"), ("top", "bottom"), ("front", "left")])
def test_exchanged_views_fail(capture: CalibratedCapture, body: TexturedMesh, pair: tuple[str, str]):
    result = assess(exchanged(capture, *pair), body)
    assert result.verdict == "failure"
    assert result.worst_view in pair


@pytest.mark.parametrize("wrong", ["mirrored", "turned", "exchanged"])
def test_wrong_shapes_fail_on_an_object_of_one_colour_too(body: TexturedMesh, make_capture, wrong: str):
    plain = painted(body, 128)
    capture = make_capture(plain)
    mesh = {"mirrored": mirrored(plain, 0), "turned": turned(plain, (0, 1, 0), 90), "exchanged": plain}[wrong]
    seen = exchanged(capture, "left", "right") if wrong == "exchanged" else capture
    assert assess(seen, mesh).verdict == "failure"


def test_the_wrong_colour_on_the_right_shape_fails(capture: CalibratedCapture, body: TexturedMesh):
    result = assess(capture, painted(body, 255))
    assert result.metrics.mask_iou.value == 1.0
    assert result.verdict == "failure"


def test_full_frame_scores_never_decide(capture: CalibratedCapture, body: TexturedMesh):
    """The blank image of a far-away object is good full-frame."""
    far = replace(capture, views=tuple(_in_a_wide_frame(view, 8) for view in capture.views), diagonal=capture.diagonal)
    blank = assess(far, empty())
    assert blank.metrics.psnr_full.value > 20
    assert blank.metrics.ssim_full.value > 0.85
    assert blank.verdict == "failure"


def test_the_room_round_the_object_enters_no_metric(capture: CalibratedCapture, body: TexturedMesh):
    room = assess(replace(capture, views=tuple(_in_a_grey_room(view) for view in capture.views)), body)
    white = assess(capture, body)
    assert room.metrics == white.metrics


def _in_a_wide_frame(view, times: int):
    """The view as a picture ``times`` as wide, white around it."""
    height, width = view.mask.shape
    margin = ((times - 1) * height // 2, (times - 1) * width // 2)
    pad = ((margin[0],) * 2, (margin[1],) * 2)
    K = view.camera.K.copy()
    K[0, 2] += margin[1]
    K[1, 2] += margin[0]
    camera = replace(view.camera, K=K, width=times * width, height=times * height)
    rgb = np.pad(view.rgb, (*pad, (0, 0)), constant_values=255)
    return replace(view, camera=camera, rgb=rgb, mask=np.pad(view.mask, pad), depth=np.pad(view.depth, pad))


def _in_a_grey_room(view):
    noise = np.random.default_rng(1).integers(90, 140, view.rgb.shape, dtype=np.uint8)
    object_and_rim = binary_dilation(view.mask, np.ones((3, 3)), 2)
    return replace(view, rgb=np.where(object_and_rim[..., None], view.rgb, noise))


def test_the_verdict_only_worsens_as_the_mesh_turns_away(capture: CalibratedCapture, body: TexturedMesh):
    angles = (0.0, 0.5, 2.0, 6.0, 15.0, 40.0)
    results = [assess(capture, turned(body, (0.3, 1, 0.1), angle)) for angle in angles]
    assert all(a.judgement.severity <= b.judgement.severity for a, b in pairwise(results))
    ranks = [ORDER.index(result.verdict) for result in results]
    assert ranks == sorted(ranks)
    assert (ranks[0], ranks[-1]) == (0, 2)


def test_the_verdict_only_worsens_as_the_texture_fades(capture: CalibratedCapture, body: TexturedMesh):
    assert body.texture is not None
    faded = [np.rint(body.texture * (1 - a) + 128 * a).astype(np.uint8) for a in (0.0, 0.1, 0.25, 0.5, 0.9)]
    results = [assess(capture, replace(body, texture=texture)) for texture in faded]
    assert all(a.judgement.severity <= b.judgement.severity for a, b in pairwise(results))
    assert (results[0].verdict, results[-1].verdict) == ("normal", "failure")


def moved(capture: CalibratedCapture, similarity: np.ndarray) -> CalibratedCapture:
    scale = float(np.cbrt(np.linalg.det(similarity[:3, :3])))
    views = tuple(
        replace(view, camera=view.camera.transformed(similarity), depth=view.depth * np.float32(scale))
        for view in capture.views
    )
    return replace(capture, views=views, diagonal=capture.diagonal * scale)


def test_scores_do_not_change_with_the_world(capture: CalibratedCapture, body: TexturedMesh):
    """Axes, origin and unit are the user's business: millimetres far from the origin score as metres at it."""
    similarity = np.eye(4)
    similarity[:3, :3] = 1000 * exp_so3(np.array([0.4, -1.1, 2.0]))
    similarity[:3, 3] = (300, -50, 7000)
    wrong = turned(body, (1, 0, 0), 3.0)
    here, there = assess(capture, wrong), assess(moved(capture, similarity), wrong.transformed(similarity))
    for (name, a), (_, b) in zip(here.metrics.items(), there.metrics.items(), strict=True):
        assert a.value == pytest.approx(b.value, rel=2e-3, abs=1e-5), name
    assert here.verdict == there.verdict
    assert here.coverage.seen == pytest.approx(there.coverage.seen, abs=2e-3)
