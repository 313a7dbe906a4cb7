"""The residual kernel: it equals its readable twin, vanishes at the truth and grows away from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cameras.scenes import evidence_of, plain_arrangement, sample, true_model
from meshwright.cameras.observations import DIRECTIONS
from meshwright.cameras.residuals import INVERSE, LINEAR, SKIPPED, Maps, Poses, Samples, evaluate_pairs, pair_residuals
from meshwright.cameras.residuals_reference import pair_residuals_reference
from meshwright.cameras.rigs import slot_rotation
from meshwright.cameras.solve import residual_of
from meshwright.geometry.rotations import exp_so3


def random_scene(seed: int, kind: int, ray: bool, orthographic: bool) -> tuple[Samples, Poses, Maps]:
    """Four noisy views of a bumpy disc from random poses near the slots, with maps of different sizes."""
    rng = np.random.default_rng(seed)
    sizes = np.array([[40, 30], [33, 37], [28, 28], [40, 37]])
    values, distance = np.zeros((4, 37, 40), np.float32), np.full((4, 37, 40), 1e3, np.float32)
    for j, (w, h) in enumerate(sizes):
        x, y = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
        gap = np.hypot(x - w / 2 + rng.normal(), y - h / 2 + rng.normal()) - 0.47 * min(w, h)
        gap = gap - (9.0 if j == 3 else 0.0)  # the last silhouette leaves its image
        distance[j, :h, :w] = gap
        values[j, :h, :w] = np.where(gap < 0, 100 + 20 * rng.random((h, w)) + 60 * (x > w / 2), 0)
    rotation = np.stack(
        [slot_rotation(slot) @ exp_so3(0.1 * rng.normal(size=3)) for slot in ("front", "left", "top", "back")]
    )
    kappa = float(rng.uniform(0.3, 0.8))
    half = 0.5 * sizes.max(1)
    intrinsics = np.stack([half, half, sizes[:, 0] / 2, sizes[:, 1] / 2], -1)
    intrinsics[1, 0] *= -1  # a mirrored view
    depth = rng.uniform(0.7, 1.1, 4) / kappa
    law = np.stack([depth / 130, 0.05 * depth], -1) if kind == LINEAR else np.stack([1 / depth / 130, 0.05 / depth], -1)
    centre = -rotation[:, :, 2] / kappa + 0.02 * rng.normal(size=(4, 3))
    poses = Poses(rotation, centre, intrinsics, law, kappa, kind, ray, orthographic)
    view = rng.integers(0, 4, 400)
    uv = rng.uniform(1, sizes[view] - 1)
    return Samples(view, uv, rng.uniform(80, 200, 400)), poses, Maps(values, distance, sizes, np.full(4, 30.0))


@pytest.mark.parametrize("kind", [LINEAR, INVERSE])
@pytest.mark.parametrize("ray", [False, True])
@pytest.mark.parametrize("orthographic", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_kernel_equals_its_readable_twin(seed: int, kind: int, ray: bool, orthographic: bool) -> None:
    samples, poses, maps = random_scene(seed, kind, ray, orthographic)
    r, state, support = pair_residuals(samples, poses, maps, DIRECTIONS)
    r2, state2, support2 = pair_residuals_reference(samples, poses, maps, DIRECTIONS)
    assert {0, 1, 2} <= set(np.unique(state).tolist())
    # a sample may fall on the boundary between two states by rounding: none of these 1,200 pairs does
    np.testing.assert_array_equal(state, state2)
    # the kernel clamps a little inside the last pixel (0.501 for 0.5), and maps are float32 there
    np.testing.assert_allclose(r, r2, atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(support, support2, atol=1e-9)


def test_the_kernel_updates_just_the_pairs_of_one_view() -> None:
    samples, poses, maps = random_scene(3, LINEAR, False, False)
    base = evaluate_pairs(samples, poses, maps, DIRECTIONS)
    centre = poses.centre.copy()
    centre[2] += 0.01
    moved = replace(poses, centre=centre)
    partly = evaluate_pairs(samples, moved, maps, DIRECTIONS, base, 2)
    whole = evaluate_pairs(samples, moved, maps, DIRECTIONS)
    np.testing.assert_array_equal(partly.residual, whole.residual)
    np.testing.assert_array_equal(partly.state, whole.state)
    np.testing.assert_array_equal(partly.support, whole.support)
    assert not np.array_equal(whole.residual, base.residual)


def test_views_do_not_judge_themselves() -> None:
    samples, poses, maps = random_scene(4, LINEAR, False, False)
    _, state, _ = pair_residuals(samples, poses, maps, DIRECTIONS)
    assert (state[np.arange(len(samples.view)), samples.view] == SKIPPED).all()


def test_the_residual_is_nearly_zero_at_the_truth_and_grows_away_from_it() -> None:
    truth = sample()
    evidence = evidence_of(truth.capture())
    problem, _ = evidence.problem(plain_arrangement())
    model = true_model(truth, evidence)
    at_truth = residual_of(problem, model)
    assert at_truth < 6e-4  # of half an image; a level of 8 bits is 5e-3
    for step in (0.02, 0.06):
        far = [residual_of(problem, replace(model, depths=model.depths * f)) for f in (1 - step, 1 + step)]
        assert min(far) > 3 * at_truth
        at_truth = max(at_truth, min(far) / 3)


def test_one_wrong_scale_or_turned_view_shows() -> None:
    truth = sample()
    evidence = evidence_of(truth.capture())
    problem, _ = evidence.problem(plain_arrangement())
    model = true_model(truth, evidence)
    depths = model.depths.copy()
    depths[2] *= 1.03
    turned = model.rotation.copy()
    turned[4] = slot_rotation("top", 90)
    at_truth = residual_of(problem, model)
    assert residual_of(problem, replace(model, depths=depths)) > 3 * at_truth
    assert residual_of(problem, replace(model, rotation=turned)) > 10 * at_truth
