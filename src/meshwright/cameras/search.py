"""From depth maps to the best-fitting rig: score every hypothesis cheaply, fit the best, compare, settle ties by colour.

Thresholds are in half-image units (an object spans about one), measured on the development cases: a right 8-bit rig
ends at 1.5e-4 to 5e-4, wrong ones above 2e-3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.cameras.colours import ANOMALY_MARGIN, COLOUR_FLOOR, COLOUR_MARGIN, colours_at, map_colours
from meshwright.cameras.forced import ForcedRig
from meshwright.cameras.hypotheses import Arrangement, relation
from meshwright.cameras.model import (
    DepthLaw,
    RigModel,
    anchor_values,
    initial_depths,
    rig_intrinsics,
    view_supports,
)
from meshwright.cameras.observations import Observation, stack_dense, stack_maps, stack_samples
from meshwright.cameras.residuals import INSIDE, Samples, project_pairs
from meshwright.cameras.solve import Fit, Problem, fit, residual_of
from meshwright.progress import Context

START_FOVS = (38.0, 58.0)
GOOD = 8e-4  # a fit this close needs no further explanation
PLAIN_SHARE = 0.7  # an anomaly must fit this much better than the best arrangement without one
SIMPLE_SHARE = {1: 0.8, 2: 0.6}  # and so must another depth law, by its unknowns per view
TIE_SHARE, TIE_FLOOR, MOST_TIES = 1.3, 1e-4, 32
CLOSE_COLOURS, MOST_DENSE = 1.5, 8  # ties whose colours are this close are compared again on all pixels
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


@dataclass(frozen=True, eq=False)
class Candidate:
    """An arrangement with a depth law and, once fitted, its fit."""

    arrangement: Arrangement
    law: DepthLaw
    orthographic: bool
    fit: Fit

    @property
    def residual(self) -> float:
        """What hypotheses are compared by."""
        return self.fit.residual


@dataclass(frozen=True, eq=False)
class Outcome:
    """The chosen candidate, the next one that is really different, and those that depth cannot tell from it."""

    best: Candidate
    runner_up: Candidate | None
    tied: tuple[Candidate, ...] = ()
    colour_margin: float | None = None
    tested: int = 0

    @property
    def tie(self) -> bool:
        """True when neither depth nor colour tells the best from another."""
        return bool(self.tied) and (self.colour_margin is None or self.colour_margin < COLOUR_MARGIN)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Views ready for the solver; ``problem(mirrored)`` holds the maps with those views' supports mirrored."""

    observations: list[Observation]
    sizes: list[tuple[int, int]]
    rgbs: list[UInt8[np.ndarray, "h w 3"]] = field(default_factory=list)

    def problem(
        self, arrangement: Arrangement, per_view: int | None = None
    ) -> tuple[Problem, Float[np.ndarray, "n 4"]]:
        """The solver's problem and the views' intrinsics under an arrangement."""
        mirrored = tuple(p.mirrored for p in arrangement.placements)
        intrinsics = rig_intrinsics(self.observations, self.sizes, mirrored)
        return Problem(self._samples(per_view), self._maps(), self._supports(mirrored)), intrinsics

    def _cached(self, key: object, make: Callable[[], object]) -> object:
        store: dict[object, object] = self.__dict__.setdefault("_store", {})
        if key not in store:
            store[key] = make()
        return store[key]

    def map_colours(self) -> list[Float[np.ndarray, "h w 3"]]:
        """Blurred colours of every view at map size."""
        return self._cached(
            "colours", lambda: [map_colours(rgb, o) for rgb, o in zip(self.rgbs, self.observations, strict=True)]
        )

    def dense_samples(self) -> Samples:
        """Every second map pixel, up to the contour: where views overlap they see the surface at grazing angles."""
        return self._cached("dense", lambda: stack_dense(self.observations))

    def _maps(self):
        return self._cached("maps", lambda: stack_maps(self.observations))

    def _samples(self, per_view: int | None):
        return self._cached(("samples", per_view), lambda: stack_samples(self.observations, per_view))

    def _supports(self, mirrored: tuple[bool, ...]):
        plain = self._cached("plain", lambda: self._both_supports(False))
        flipped = self._cached("flipped", lambda: self._both_supports(True))
        return np.stack([(flipped if m else plain)[i] for i, m in enumerate(mirrored)])

    def _both_supports(self, flip: bool):
        n = len(self.observations)
        return view_supports(self.observations, rig_intrinsics(self.observations, self.sizes, [flip] * n))


def start_model(
    evidence: Evidence, arrangement: Arrangement, law: DepthLaw, orthographic: bool, fov_deg: float
) -> RigModel:
    """A hypothesis before any fit."""
    problem, intrinsics = evidence.problem(arrangement, 100)
    kappa = float(np.tan(np.radians(fov_deg / 2)))
    rotation = arrangement.rotations()
    anchors = np.array([anchor_values(o, law) for o in evidence.observations])
    depths = initial_depths(evidence.observations, rotation, problem.supports, kappa, law, 1.0 / kappa)
    return RigModel(law, rotation, intrinsics, anchors, kappa, depths, orthographic)


def rank(
    evidence: Evidence, candidates: Sequence[Arrangement], law: DepthLaw, orthographic: bool, check: Callable[[], None]
) -> list[tuple[float, Arrangement, float]]:
    """Score all arrangements before any fit: (residual, arrangement, field of view), best first."""
    scored = []
    for arrangement in candidates:
        check()
        for fov in START_FOVS:
            problem, _ = evidence.problem(arrangement, 100)
            scored.append(
                (residual_of(problem, start_model(evidence, arrangement, law, orthographic, fov)), arrangement, fov)
            )
    return sorted(scored, key=lambda s: s[0])


def quick_fit(evidence: Evidence, arrangement: Arrangement, law: DepthLaw, orthographic: bool, fov: float) -> Candidate:
    """A fit on few samples, good enough to compare hypotheses."""
    problem, _ = evidence.problem(arrangement, 250)
    model = start_model(evidence, arrangement, law, orthographic, fov)
    return Candidate(arrangement, law, orthographic, fit(problem, model))


def final_fit(evidence: Evidence, candidate: Candidate) -> Candidate:
    """The same hypothesis on all samples, down to the narrowest bands (settings measured: benchmarks/calibration.py)."""
    problem, _ = evidence.problem(candidate.arrangement)
    model, found = candidate.fit.model, None
    for band, violation in FINAL:
        kernel = replace(problem.kernel, coverage=1.0, slack=0.004, violation=violation)
        found = fit(replace(problem, kernel=kernel), model, (band,), 12)
        model = found.model
    assert found is not None
    return replace(candidate, fit=replace(found, residual=residual_of(problem, model)))


def best_of_law(evidence, candidates, law, orthographic, check, keep: int = 6) -> list[Candidate]:
    """Fit the ``keep`` best-scored arrangements under one depth law; best first."""
    chosen: dict[object, tuple[float, Arrangement, float]] = {}
    for entry in rank(evidence, candidates, law, orthographic, check):
        chosen.setdefault(entry[1].key(), entry)
        if len(chosen) >= keep:
            break
    fits: list[Candidate] = []
    for _, arrangement, first in chosen.values():
        for fov in sorted(START_FOVS, key=lambda f: f != first):
            check()
            fits.append(quick_fit(evidence, arrangement, law, orthographic, fov))
            if fits[-1].residual < GOOD:
                break
    return sorted(fits, key=lambda c: c.residual)


def search(evidence: Evidence, allowed: Sequence[Arrangement], forced: ForcedRig, context: Context) -> Outcome:
    """Find the rig. Plain arrangements and the plain law first; anything odder only if those do not explain the views."""
    check = context.check_cancelled
    plain = [a for a in allowed if a.anomaly is None]
    odd = [a for a in allowed if a.anomaly is not None]
    laws = [entry for entry in LAWS if forced.allows_law(*entry)] or [(forced.depth_law(), bool(forced.orthographic))]
    context.report(0.2, "trying the plain rigs")
    pool = best_of_law(evidence, plain or odd, *laws[0], check)
    if pool[0].residual > GOOD:
        context.report(0.35, "trying other depth laws")
        for law in laws[1:]:
            pool += best_of_law(evidence, plain or odd, *law, check, keep=4)
    best = preferred(pool)
    if best.residual > GOOD and plain and odd:
        context.report(0.5, "trying mirrored, swapped and turned views")
        pool += best_of_law(evidence, odd, best.law, best.orthographic, check)
        best = preferred(pool)
    context.report(0.6, "comparing depth laws")
    pool += [
        _same_under(evidence, best, law) for law in laws if law != (best.law, best.orthographic) and _rival(best, *law)
    ]
    best = preferred([settled(evidence, c) for c in contenders(pool)])
    context.report(0.65, "looking for ties")
    tied = ties(evidence, best, allowed, check)
    best, margin = by_colour(evidence, best, tied)
    context.report(0.7, "fitting the rig")
    final = refine_poses(evidence, final_fit(evidence, best))
    return Outcome(final, _runner_up(pool, best, tied), tuple(c for c in tied if c is not best), margin, len(allowed))


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
        simple = c.law == DepthLaw() and not c.orthographic
        return (1.0 if simple else 1 / SIMPLE_SHARE[c.law.parameters]) * (
            1.0 if c.arrangement.anomaly is None else 1 / PLAIN_SHARE
        )

    return min(pool, key=lambda c: (c.residual + 5e-5) * handicap(c))


def _rival(best: Candidate, law: DepthLaw, orthographic: bool) -> bool:
    """Laws close enough to a well-fitting one to be its disguise: the other distance, or no perspective."""
    if best.residual > GOOD:
        return True
    return law.encoding == best.law.encoding and (law.parameters == best.law.parameters or orthographic)


def _same_under(evidence: Evidence, best: Candidate, law: tuple[DepthLaw, bool]) -> Candidate:
    fov = float(np.degrees(2 * np.arctan(best.fit.model.kappa)))
    return quick_fit(evidence, best.arrangement, *law, fov if 15 < fov < 90 else 45.0)


def ties(evidence: Evidence, best: Candidate, allowed: Sequence[Arrangement], check) -> list[Candidate]:
    """Arrangements that the depth maps support about as well as the best one (which comes first)."""
    model, near = best.fit.model, []
    limit = 3 * best.residual + 1e-3
    for arrangement in allowed:
        check()
        if arrangement.key() == best.arrangement.key():
            continue
        problem, intrinsics = evidence.problem(arrangement, 100)
        moved = replace(model, rotation=arrangement.rotations(), intrinsics=intrinsics)
        residual = residual_of(problem, moved)
        if residual < limit:
            near.append((residual, arrangement, moved))
    found, reference = [best], _touched_up(evidence, best)
    for _, arrangement, moved in sorted(near, key=lambda entry: (entry[1].anomaly is not None, entry[0]))[:MOST_TIES]:
        check()
        candidate = Candidate(arrangement, best.law, best.orthographic, Fit(moved, 0.0, best.residual, 0))
        # kept with the best one's own numbers: colours are compared on equally well fitted surfaces
        if _touched_up(evidence, candidate).residual < TIE_SHARE * reference.residual + TIE_FLOOR:
            found.append(candidate)
    return found


def _touched_up(evidence: Evidence, candidate: Candidate) -> Candidate:
    """A few steps on few samples: enough to compare arrangements that start from the same numbers."""
    return replace(
        candidate, fit=fit(evidence.problem(candidate.arrangement, 150)[0], candidate.fit.model, (0.006,), 4)
    )


def by_colour(evidence: Evidence, best: Candidate, tied: Sequence[Candidate]) -> tuple[Candidate, float | None]:
    """Among tied arrangements the one whose views agree in colour.

    Two arrangements are compared on the view pairs that they relate differently: the others say nothing. The margin is
    how much worse the closest rival is. An arrangement with an anomaly must beat the plain one by far
    (`ANOMALY_MARGIN`): colours of near-symmetric parts agree by chance.
    """
    if len(tied) < 2 or not evidence.rgbs:
        return best, None
    coarse = [colour_table(evidence, candidate, dense=False) for candidate in tied]
    first = _choose(tied, coarse)
    near = [k for k in range(len(tied)) if k == first or _colour_ratio(tied, coarse, k, first) < CLOSE_COLOURS]
    final = [tied[k] for k in sorted(near, key=lambda k: _colour_ratio(tied, coarse, k, first))[:MOST_DENSE]]
    if len(final) < 2:
        return tied[first], CLOSE_COLOURS - 1.0
    tables = [colour_table(evidence, candidate, dense=True) for candidate in final]
    chosen = _choose(final, tables)
    rivals = [_colour_ratio(final, tables, k, chosen) - 1.0 for k in range(len(final)) if k != chosen]
    return final[chosen], float(min(rivals))


def _choose(tied: Sequence[Candidate], tables) -> int:
    """Index of the arrangement whose colours agree best; the plainer one wins unless the odder one is clearly better."""
    chosen = 0
    for k in range(1, len(tied)):
        odder = (tied[k].arrangement.anomaly is not None) - (tied[chosen].arrangement.anomaly is not None)
        needed = {1: 1 / (1 + ANOMALY_MARGIN), 0: 1.0, -1: 1 + COLOUR_MARGIN}[odder]
        if _colour_ratio(tied, tables, k, chosen) < needed:
            chosen = k
    return chosen


def _colour_ratio(tied: Sequence[Candidate], tables, k: int, other: int) -> float:
    """Colour disagreement of candidate ``k`` over that of ``other``, on the pairs that they relate differently."""
    a, b = tied[k].arrangement.placements, tied[other].arrangement.placements
    n = len(a)
    changed = np.array([
        [i != j and (relation(a[i], a[j]) != relation(b[i], b[j]) or a[i].mirrored != b[i].mirrored or a[j].mirrored != b[j].mirrored)
         for j in range(n)] for i in range(n)
    ])  # fmt: skip
    (total_k, count_k), (total_o, count_o) = tables[k], tables[other]
    cost_k = (total_k[changed].sum() + COLOUR_FLOOR) / max(count_k[changed].sum(), 1)
    cost_o = (total_o[changed].sum() + COLOUR_FLOOR) / max(count_o[changed].sum(), 1)
    return float((cost_k + 0.5) / (cost_o + 0.5))


def colour_table(
    evidence: Evidence, candidate: Candidate, dense: bool
) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """Sum of colour differences (grey levels, capped) of points of view i that view j also sees, and their count."""
    problem, _ = evidence.problem(candidate.arrangement)
    if dense:
        problem = replace(problem, samples=evidence.dense_samples())
    r, state, _ = problem.residuals(candidate.fit.model)
    poses, n = candidate.fit.model.poses(), candidate.fit.model.count
    colours, samples = evidence.map_colours(), problem.samples
    own = colours_at(colours, samples.view, samples.uv)
    band = max(0.003, 4 * candidate.residual) if dense else 0.008
    total, count = np.zeros((n, n)), np.zeros((n, n))
    for j in range(n):
        pick = np.nonzero((state[:, j] == INSIDE) & (np.abs(r[:, j]) < band))[0]
        if len(pick):
            uv, _, _ = project_pairs(Samples(samples.view[pick], samples.uv[pick], samples.value[pick]), poses, j)
            there = colours_at(colours, np.full(len(pick), j), uv)
            gap = np.minimum(np.abs(own[pick] - there).mean(-1), 60.0)
            total[:, j] += np.bincount(samples.view[pick], gap, minlength=n)
            count[:, j] += np.bincount(samples.view[pick], minlength=n)
    return total, count


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
