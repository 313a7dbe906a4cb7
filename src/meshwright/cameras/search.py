"""From depth maps to the best-fitting rig: score hypotheses cheaply, fit the best, settle ties by colour.

Thresholds are in half-image units (an object spans about one), measured on the development cases: a right 8-bit rig
ends at 1.5e-4 to 5e-4, wrong ones above 2e-3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from meshwright.cameras.evidence import Candidate, Evidence, Outcome
from meshwright.cameras.forced import ForcedRig
from meshwright.cameras.hypotheses import Arrangement
from meshwright.cameras.model import (
    DepthLaw,
    RigModel,
    anchor_values,
    initial_depths,
)
from meshwright.cameras.solve import fit, residual_of, spans_scanned
from meshwright.cameras.ties import by_colour, ties
from meshwright.progress import Context

START_FOVS = (38.0, 58.0)
COARSE = (-0.06, 0.0, 0.06), (0.6, 1.0, 1.6)  # shifts and spans tried when arrangements are only ranked
GOOD = 8e-4  # a fit this close needs no further explanation
PLAIN_SHARE = 0.7  # an anomaly must fit this much better than the best arrangement without one
SIMPLE_SHARE = {1: 0.8, 2: 0.6}  # and so must another depth law, by its unknowns per view
FINAL = ((0.006, 0.02), (0.003, 0.01), (0.002, 0.005))  # (band, violation width) of the last fits
LAWS = (
    (DepthLaw(), False),
    (DepthLaw(ray=True), False),
    (DepthLaw(near_bright=True), False),
    (DepthLaw(inverse=True), False),
    (DepthLaw(offset=True), False),
    (DepthLaw(offset=True), True),
    (DepthLaw(near_bright=True), True),
    (DepthLaw(inverse=True, offset=True), False),
    (DepthLaw(ray=True, offset=True), False),
    (DepthLaw(ray=True, near_bright=True), False),
)  # (law, orthographic), simplest first


def start_model(
    evidence: Evidence, arrangement: Arrangement, law: DepthLaw, orthographic: bool, fov_deg: float
) -> RigModel:
    """A hypothesis before any fit."""
    problem, intrinsics = evidence.problem(arrangement, 100)
    fixed = evidence.fov_deg is not None and not orthographic
    kappa = float(np.tan(np.radians((evidence.fov_deg if fixed and evidence.fov_deg else fov_deg) / 2)))
    rotation = arrangement.rotations()
    anchors = np.array([anchor_values(o, law) for o in evidence.observations])
    depths = initial_depths(evidence.observations, rotation, problem.supports, kappa, law, 1.0 / kappa)
    return RigModel(law, rotation, intrinsics, anchors, kappa, depths, orthographic, fit_kappa=not fixed)


def rank(
    evidence: Evidence, candidates: Sequence[Arrangement], law: DepthLaw, orthographic: bool, check: Callable[[], None]
) -> list[tuple[float, Arrangement, float]]:
    """Score all arrangements before any fit: (residual, arrangement, field of view), best first."""
    scored: list[tuple[float, Arrangement, float]] = []
    for arrangement in candidates:
        check()
        for fov in START_FOVS if law.parameters == 1 else START_FOVS[1:]:
            problem, _ = evidence.problem(arrangement, 100 if law.parameters == 1 else 25)
            model = start_model(evidence, arrangement, law, orthographic, fov)
            if law.parameters == 2:
                model = spans_scanned(problem, model, 1, *COARSE)
            scored.append((residual_of(problem, model), arrangement, fov))
    return sorted(scored, key=lambda s: s[0])


def quick_fit(evidence: Evidence, arrangement: Arrangement, law: DepthLaw, orthographic: bool, fov: float) -> Candidate:
    """A fit on few samples, good enough to compare hypotheses."""
    problem, _ = evidence.problem(arrangement, 250)
    model = start_model(evidence, arrangement, law, orthographic, fov)
    if law.parameters == 2:
        model = spans_scanned(evidence.problem(arrangement, 100)[0], model)
    return Candidate(arrangement, law, orthographic, fit(problem, model))


def final_fit(evidence: Evidence, candidate: Candidate) -> Candidate:
    """The same hypothesis on all samples, down to the narrowest bands (measured: benchmarks/calibration.py)."""
    problem, _ = evidence.problem(candidate.arrangement)
    model, found = candidate.fit.model, None
    for band, violation in FINAL:
        kernel = replace(problem.kernel, coverage=1.0, slack=0.004, violation=violation)
        found = fit(replace(problem, kernel=kernel), model, (band,), 12)
        model = found.model
    assert found is not None
    return replace(candidate, fit=replace(found, residual=residual_of(problem, model)))


def best_of_law(
    evidence: Evidence,
    candidates: Sequence[Arrangement],
    law: DepthLaw,
    orthographic: bool,
    check: Callable[[], None],
    keep: int = 6,
) -> list[Candidate]:
    """Fit the ``keep`` best-scored arrangements under one depth law; best first."""
    chosen: dict[object, tuple[float, Arrangement, float]] = {}
    for entry in rank(evidence, candidates, law, orthographic, check):
        chosen.setdefault(entry[1].key(), entry)
        if len(chosen) >= keep:
            break
    fits: list[Candidate] = []
    for _, arrangement, first in chosen.values():
        for fov in sorted(START_FOVS, key=lambda f: f != first)[: 2 if law.parameters == 1 else 1]:
            check()
            fits.append(quick_fit(evidence, arrangement, law, orthographic, fov))
            if fits[-1].residual < GOOD:
                break
    return sorted(fits, key=lambda c: c.residual)


def search(evidence: Evidence, allowed: Sequence[Arrangement], forced: ForcedRig, context: Context) -> Outcome:
    """Find the rig: plain arrangements and the plain law first, odder ones where those do not explain the views."""
    check = context.check_cancelled
    plain = [a for a in allowed if a.anomaly is None]
    odd = [a for a in allowed if a.anomaly is not None]
    laws = [entry for entry in LAWS if forced.allows_law(*entry)] or [(forced.depth_law(), bool(forced.orthographic))]
    context.report(0.2, "trying the plain rigs")
    pool = best_of_law(evidence, plain or odd, *laws[0], check)
    if _poor(pool) and plain and odd:
        context.report(0.3, "trying mirrored, swapped and turned views")
        pool += best_of_law(evidence, odd, *laws[0], check)
    if _poor(pool):
        pool += _other_laws(evidence, plain or odd, odd if plain else [], laws[1:], context)
    best = preferred(pool)
    context.report(0.6, "comparing depth laws")
    known = {(c.law, c.orthographic) for c in pool if c.arrangement.key() == best.arrangement.key()}
    pool += [_same_under(evidence, best, law) for law in laws if law not in known and _rival(best, *law)]
    best = preferred([settled(evidence, c) for c in contenders(pool)])
    context.report(0.65, "looking for ties")
    best, tied, margin = _untied(evidence, best, plain, odd, check)
    context.report(0.7, "fitting the rig")
    final = refine_poses(evidence, final_fit(evidence, best))
    return Outcome(final, _runner_up(pool, best, tied), tuple(c for c in tied if c is not best), margin, len(allowed))


def _untied(
    evidence: Evidence,
    best: Candidate,
    plain: Sequence[Arrangement],
    odd: Sequence[Arrangement],
    check: Callable[[], None],
) -> tuple[Candidate, list[Candidate], float | None]:
    """The best of all that depth cannot tell apart, all of these, and the colours' margin.

    Plain arrangements first; then the anomalies of the one that colour chose. A round object would tie with every one.
    """
    tied: list[Candidate] = []
    margins: list[float] = []
    for group in (plain, odd):
        near = [a for a in group if group is plain or _differing_views(a, best.arrangement) <= 2]
        found = ties(evidence, best, near, check)
        best, margin = by_colour(evidence, best, found)
        tied += [c for c in found if c.arrangement.key() not in {t.arrangement.key() for t in tied}]
        margins += [] if margin is None else [margin]
    return best, tied, min(margins) if margins else None


def _differing_views(a: Arrangement, b: Arrangement) -> int:
    return sum(p != q for p, q in zip(a.placements, b.placements, strict=True))


def _poor(pool: Sequence[Candidate]) -> bool:
    """True when no candidate explains the views."""
    return preferred(pool).residual > GOOD


def _other_laws(
    evidence: Evidence,
    plain: Sequence[Arrangement],
    odd: Sequence[Arrangement],
    laws: Sequence[tuple[DepthLaw, bool]],
    context: Context,
) -> list[Candidate]:
    """Plain arrangements under every other depth law, then all of them under the law that fits best."""
    pool: list[Candidate] = []
    for index, law in enumerate(laws):
        context.report(0.35 + 0.15 * index / max(len(laws), 1), "trying other depth laws")
        pool += best_of_law(evidence, plain, *law, context.check_cancelled, keep=2)
    if pool and _poor(pool):
        best = preferred(pool)
        for group in (plain, odd):
            if group and _poor(pool):
                pool += best_of_law(evidence, group, best.law, best.orthographic, context.check_cancelled)
    return pool


def contenders(pool: Sequence[Candidate], most: int = 6) -> list[Candidate]:
    """Of each depth law the best plain and the best odd candidate, as far as they can still win."""
    best: dict[object, Candidate] = {}
    for c in sorted(pool, key=lambda c: c.residual):
        best.setdefault((c.law, c.orthographic, c.arrangement.anomaly is None), c)
    ordered = list(best.values())
    return [c for c in ordered if c.residual < 4 * ordered[0].residual + 5e-4][:most]


def settled(evidence: Evidence, candidate: Candidate) -> Candidate:
    """A converged fit on a third of the samples: quick fits may still be on their way."""
    problem = evidence.problem(candidate.arrangement, 1000)[0]
    long = candidate.law.parameters > 1  # scale against offset is a narrow valley
    found = fit(problem, candidate.fit.model, (0.03, 0.015, 0.006) if long else (0.015, 0.006), 40 if long else 12)
    return replace(candidate, fit=found)


def preferred(pool: Sequence[Candidate]) -> Candidate:
    """The best candidate, where odder ones must be clearly better than plainer ones."""

    def handicap(c: Candidate) -> float:
        plain_law = c.law == DepthLaw() and not c.orthographic
        share = 1.0 if plain_law else SIMPLE_SHARE[c.law.parameters]
        if c.law.ray and c.law.parameters == 2:
            share *= SIMPLE_SHARE[1]
        return 1.0 / (share if c.arrangement.anomaly is None else share * PLAIN_SHARE)

    return min(pool, key=lambda c: (c.residual + 5e-5) * handicap(c))


def _rival(best: Candidate, law: DepthLaw, orthographic: bool) -> bool:
    """Laws close enough to a well-fitting one to be its disguise: the other distance, or no perspective."""
    if best.residual > GOOD:
        return True
    return law.encoding == best.law.encoding and (law.parameters == best.law.parameters or orthographic)


def _same_under(evidence: Evidence, best: Candidate, law: tuple[DepthLaw, bool]) -> Candidate:
    fov = float(np.degrees(2 * np.arctan(best.fit.model.kappa)))
    return quick_fit(evidence, best.arrangement, *law, fov if 15 < fov < 90 else 45.0)


def refine_poses(evidence: Evidence, candidate: Candidate) -> Candidate:
    """Let every camera turn and move a little, kept only where the rig as such leaves a clear misfit."""
    if candidate.residual < GOOD:
        return candidate
    model, n = candidate.fit.model, candidate.fit.model.count
    free = replace(model, fit_poses=True, turn=np.zeros((n, 3)), shift=np.zeros((n, 3)))
    found = fit(evidence.problem(candidate.arrangement, 600)[0], free, (0.015, 0.006), 8)
    residual = residual_of(evidence.problem(candidate.arrangement)[0], found.model)
    return (
        replace(candidate, fit=replace(found, residual=residual)) if residual < 0.7 * candidate.residual else candidate
    )


def _runner_up(pool: Sequence[Candidate], best: Candidate, tied: Sequence[Candidate]) -> Candidate | None:
    same = {c.arrangement.key() for c in (best, *tied)}
    others = [c for c in pool if c.arrangement.key() not in same]
    return min(others, key=lambda c: c.residual) if others else None
