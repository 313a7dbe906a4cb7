"""Robust Levenberg-Marquardt on depth, free-space and silhouette residuals.

Cost in squared half-image units: the mean over all (sample, view) pairs of a Geman-McClure kernel, wide for points in
free space or outside a silhouette (they are wrong), narrow for points behind a surface (mostly just hidden); plus the
silhouettes' reach that the other views' points fail to fill. Without that last term a fit may hide all surfaces
behind each other (research/calibration.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8

from meshwright.cameras.model import RigModel
from meshwright.cameras.observations import DIRECTIONS
from meshwright.cameras.residuals import (
    INSIDE,
    SKIPPED,
    Maps,
    PairEvidence,
    Residuals,
    Samples,
    evaluate_pairs,
    pair_residuals,
)
from meshwright.workers import mapped

WORTH_THREADS = 4000  # samples below which a Jacobian's columns are done before threads have started
Pairs = Float[np.ndarray, "m n"]  # one number per sample and view


@dataclass(frozen=True)
class Kernel:
    """Widths of the robust kernels and weights, in half-image units (an object spans about one)."""

    violation: float = 0.06
    behind: float = 0.015
    coverage: float = 0.3
    slack: float = 0.012
    pose_turn: float = 0.01
    pose_shift: float = 0.01


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model, its robust cost and the plain residual in half-image units (violations and uncovered reach)."""

    model: RigModel
    cost: float
    residual: float
    iterations: int


@dataclass(frozen=True, eq=False)
class Problem:
    """The evidence of all views."""

    samples: Samples
    maps: Maps
    supports: Float[np.ndarray, "n k"]
    kernel: Kernel = Kernel()

    def residuals(self, model: RigModel) -> Residuals:
        """Residual and state of all pairs at a model, and the support functions."""
        return pair_residuals(self.samples, model.poses(), self.maps, DIRECTIONS)

    def evidence(self, model: RigModel, base: PairEvidence | None = None, only: int = -1) -> PairEvidence:
        """The same pair by pair; with ``base``, renewed only where view ``only`` takes part."""
        return evaluate_pairs(self.samples, model.poses(), self.maps, DIRECTIONS, base, only)


def _weights(
    r: Pairs, state: UInt8[np.ndarray, "m n"], near: Bool[np.ndarray, "m n"], kernel: Kernel
) -> tuple[Pairs, float]:
    """Square-root weights and the robust cost of the pairs; points behind count only where ``near`` holds."""
    width = np.where(r > 0, kernel.violation, kernel.behind)
    share = 1.0 / (1.0 + (r / width) ** 2)
    pairs = max(int((state != SKIPPED).sum()), 1)
    live = (state != SKIPPED) & ((r > 0) | near)
    cost = float((r**2 * share)[live].sum() / pairs)
    return np.where(live, share / np.sqrt(pairs), 0.0), cost


def _near(r: Pairs, state: UInt8[np.ndarray, "m n"], kernel: Kernel) -> Bool[np.ndarray, "m n"]:
    """Pairs that look at one surface: chosen once per step, so that a pair which turns hidden cannot pay for itself."""
    return (state == INSIDE) & (np.abs(r) < 2.5 * kernel.behind)


def _gaps(support: Float[np.ndarray, "n k"], problem: Problem) -> Float[np.ndarray, "g"]:
    gap = problem.supports - np.maximum(support, -2.0) - problem.kernel.slack
    return (np.clip(gap, 0.0, 0.5) * np.sqrt(problem.kernel.coverage / gap.size)).ravel()


def _prior(model: RigModel, kernel: Kernel) -> Float[np.ndarray, "q"]:
    if not model.fit_poses:
        return np.zeros(0)
    scale = 0.004 / np.sqrt(model.turn.size)
    return np.concatenate([model.turn.ravel() / kernel.pose_turn, model.shift.ravel() / kernel.pose_shift]) * scale


def residual_of(problem: Problem, model: RigModel) -> float:
    """Mean violation (clipped at 0.12, 6 % of an image) + 0.3 x mean uncovered reach: what hypotheses are judged by."""
    r, state, support = problem.residuals(model)
    live = state != SKIPPED
    violation = np.clip(r, 0.0, 0.12)[live].mean() if live.any() else 1.0
    gap = np.clip(problem.supports - support - problem.kernel.slack, 0.0, 0.5)
    return float(violation + 0.3 * gap.mean())


def _jacobian(problem: Problem, model: RigModel, base: PairEvidence, weights: Pairs) -> Float[np.ndarray, "f p"]:
    x = model.vector()
    gaps, prior = _gaps(base.support, problem), _prior(model, problem.kernel)

    def column(unknown: tuple[int, int]) -> Float[np.ndarray, "f"]:
        step = np.zeros_like(x)
        step[unknown[0]] = 1e-4
        moved = model.with_vector(x + step)
        there = problem.evidence(moved, base, unknown[1])
        # a pair that jumps to another surface, or slips behind one, has no derivative
        change = there.residual - base.residual
        smooth = (there.state == base.state) & (np.abs(change) < 30 * 1e-4)
        dr = np.where(smooth, change * weights, 0.0)
        moved_prior = _prior(moved, problem.kernel)
        return np.concatenate([dr.ravel(), _gaps(there.support, problem) - gaps, moved_prior - prior]) / 1e-4

    unknowns = list(enumerate(model.view_of_parameter()))
    small = len(problem.samples.view) < WORTH_THREADS
    return np.stack(list(map(column, unknowns) if small else mapped(column, unknowns)), -1)


def fit(
    problem: Problem, model: RigModel, schedule: tuple[float, ...] = (0.04, 0.015, 0.006), iterations: int = 8
) -> Fit:
    """Minimise the cost from ``model``, once per width of the band in which two surfaces count as one."""
    used, cost = 0, np.inf
    for width in schedule:
        stage = replace(problem, kernel=replace(problem.kernel, behind=width))
        model, cost, n = _descend(stage, model, iterations)
        used += n
    return Fit(model, cost, residual_of(problem, model), used)


def _descend(
    problem: Problem, model: RigModel, iterations: int, tolerance: float = 3e-4
) -> tuple[RigModel, float, int]:
    kernel, damping, cost, used = problem.kernel, 1e-3, np.inf, 0
    base = problem.evidence(model)
    for _ in range(iterations):
        used += 1
        near = _near(base.residual, base.state, kernel)
        weights, data = _weights(base.residual, base.state, near, kernel)
        gaps, prior = _gaps(base.support, problem), _prior(model, kernel)
        cost = data + float(gaps @ gaps) + float(prior @ prior)
        f = np.concatenate([(base.residual * weights).ravel(), gaps, prior])
        jac = _jacobian(problem, model, base, weights)
        normal, gradient = jac.T @ jac, jac.T @ f
        gained = 0.0
        for _ in range(6):
            delta = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -gradient)
            trial = model.with_vector(model.vector() + np.clip(delta, -0.2, 0.2))
            out = problem.evidence(trial)
            gaps, prior = _gaps(out.support, problem), _prior(trial, kernel)
            total = _weights(out.residual, out.state, near, kernel)[1] + float(gaps @ gaps) + float(prior @ prior)
            if total < cost:
                gained = (cost - total) / cost
                model, base, damping = trial, out, max(damping / 4, 1e-7)
                break
            damping *= 8
        if gained < tolerance:
            break
    return model, cost, used


def scanned(problem: Problem, model: RigModel, reach: float = 0.12, steps: int = 17, sweeps: int = 2) -> RigModel:
    """Depth scales of one view after the other set to the best of a grid: out of side valleys."""
    best = residual_of(problem, model)
    for _ in range(sweeps):
        for view in range(model.count):
            for factor in np.exp(np.linspace(-reach, reach, steps)):
                depths = model.depths.copy()
                depths[view] *= factor
                trial = replace(model, depths=depths)
                residual = residual_of(problem, trial)
                if residual < best:
                    best, model = residual, trial
    return model


SHIFTS, SPANS = (-0.12, -0.06, -0.03, 0.0, 0.03, 0.06, 0.12), (0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0)


def spans_scanned(
    problem: Problem,
    model: RigModel,
    sweeps: int = 2,
    shifts: tuple[float, ...] = SHIFTS,
    spans: tuple[float, ...] = SPANS,
) -> RigModel:
    """Near depth and depth span of one view after the other set to the best of a grid.

    For laws with an offset: how deep the visible surface is cannot be told from the values, and a descent from a wrong
    guess runs to a wide-angle rig with a residual a hundred times that of the truth.
    """
    best = residual_of(problem, model)
    for _ in range(sweeps):
        for view in range(model.count):
            near, far = model.depths[view]
            for shift in shifts:
                for span in spans:
                    depths = model.depths.copy()
                    depths[view] = near + shift, near + shift + (far - near) * span
                    trial = replace(model, depths=np.maximum(depths, 1e-3))
                    residual = residual_of(problem, trial)
                    if residual < best:
                        best, model = residual, trial
    return model


def pair_table(problem: Problem, model: RigModel, diagonal: float) -> Float[np.ndarray, "n n"]:
    """Mean violation of view i's points in view j, percent of the object's diagonal (0 where nothing met)."""
    r, state, _ = problem.residuals(model)
    n = model.count
    table = np.zeros((n, n))
    for i in range(n):
        rows = problem.samples.view == i
        for j in range(n):
            live = rows & (state[:, j] != SKIPPED)
            if i != j and live.any():
                table[i, j] = 100.0 * float(np.clip(r[live, j], 0.0, None).mean()) / diagonal
    return table


def agreement(problem: Problem, model: RigModel, band: float = 0.01) -> float:
    """Share of pairs that land on the other view's surface within ``band``: how much the views really overlap."""
    r, state, _ = problem.residuals(model)
    return float(((np.abs(r) < band) & (state == INSIDE)).mean())
