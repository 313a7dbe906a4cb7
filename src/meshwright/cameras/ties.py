"""Arrangements that depth cannot tell apart (near-symmetric objects), settled by the colours that views share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from meshwright.cameras.colours import ANOMALY_MARGIN, COLOUR_FLOOR, COLOUR_MARGIN, colours_at
from meshwright.cameras.evidence import Candidate, Evidence
from meshwright.cameras.hypotheses import Arrangement, relation
from meshwright.cameras.residuals import INSIDE, Samples, project_pairs
from meshwright.cameras.solve import Fit, fit, residual_of

TIE_SHARE, TIE_FLOOR, MOST_TIES = 1.3, 1e-4, 48
CLOSE_COLOURS, MOST_DENSE = 1.5, 8  # ties whose colours are this close are compared again on all pixels
ColourTable = tuple[np.ndarray, np.ndarray]


def ties(
    evidence: Evidence, best: Candidate, allowed: Sequence[Arrangement], check: Callable[[], None]
) -> list[Candidate]:
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


def _choose(tied: Sequence[Candidate], tables: Sequence[ColourTable]) -> int:
    """Index of the arrangement whose colours agree best; an odder one must be clearly better than a plainer one."""
    chosen = 0
    for k in range(1, len(tied)):
        odder = (tied[k].arrangement.anomaly is not None) - (tied[chosen].arrangement.anomaly is not None)
        needed = {1: 1 / (1 + ANOMALY_MARGIN), 0: 1.0, -1: 1 + COLOUR_MARGIN}[odder]
        if _colour_ratio(tied, tables, k, chosen) < needed:
            chosen = k
    return chosen


def _colour_ratio(tied: Sequence[Candidate], tables: Sequence[ColourTable], k: int, other: int) -> float:
    """Colour disagreement of candidate ``k`` over that of ``other``, on the pairs that they relate differently."""
    changed = _changed_pairs(tied[k].arrangement, tied[other].arrangement)
    (total_k, count_k), (total_o, count_o) = tables[k], tables[other]
    cost_k = (total_k[changed].sum() + COLOUR_FLOOR) / max(count_k[changed].sum(), 1)
    cost_o = (total_o[changed].sum() + COLOUR_FLOOR) / max(count_o[changed].sum(), 1)
    return float((cost_k + 0.5) / (cost_o + 0.5))


def _changed_pairs(a: Arrangement, b: Arrangement) -> Bool[np.ndarray, "n n"]:
    """View pairs that two arrangements relate differently."""
    p, q = a.placements, b.placements
    flipped = np.array([x.mirrored != y.mirrored for x, y in zip(p, q, strict=True)])
    turned = np.array(
        [[relation(x, y) != relation(v, w) for y, w in zip(p, q, strict=True)] for x, v in zip(p, q, strict=True)]
    )
    return (turned | flipped[:, None] | flipped[None, :]) & ~np.eye(len(p), dtype=bool)


def colour_table(evidence: Evidence, candidate: Candidate, dense: bool) -> ColourTable:
    """Sum of colour differences (grey levels, capped) of points of view i that view j also sees, and their count."""
    problem, _ = evidence.problem(candidate.arrangement)
    if dense:
        problem = replace(problem, samples=evidence.dense_samples)
    r, state, _ = problem.residuals(candidate.fit.model)
    poses, n = candidate.fit.model.poses(), candidate.fit.model.count
    colours, samples = evidence.map_colours, problem.samples
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
