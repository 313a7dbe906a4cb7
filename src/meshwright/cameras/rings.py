"""Ring rigs: N views evenly around +Y at one unknown elevation, the first at the front (+Z).

Hypotheses are the direction of travel and a grid of elevations, each fitted shortly; the best are fitted fully and
their elevation is refined by golden sections (the rotations depend on it, so it stays outside the vector of unknowns).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meshwright.cameras.evidence import Candidate, Evidence, Outcome
from meshwright.cameras.forced import ForcedRig
from meshwright.cameras.hypotheses import Arrangement, Placement
from meshwright.cameras.model import DepthLaw
from meshwright.cameras.residuals import SKIPPED
from meshwright.cameras.rigs import CANONICAL_NAMES, ring_rotation
from meshwright.cameras.search import SIMPLE_SHARE, start_model
from meshwright.cameras.solve import Problem, fit, scanned, spans_scanned
from meshwright.errors import InputError
from meshwright.progress import Context

LEAST, MOST = 3, 64
ELEVATIONS = tuple(float(e) for e in range(-30, 61, 10))
START_FOV = 48.0
BANDS = (0.015, 0.006)
# Mean violation in half-image units, measured on the sample's ring of 8: right 6e-4, elevation 10 degrees off 4e-3 and
# more, wrong direction 1e-2.
GOOD, UNSOLVED = 1.5e-3, 3e-3
WIDEST_DEG = 100.0  # wider rings hide every surface behind another one
LAWS = (DepthLaw(), DepthLaw(ray=True), DepthLaw(inverse=True))  # an offset as well is not well-posed on a ring
GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class RingPlacement(Placement):
    """A view on the ring; its ``slot`` says the azimuth, for people."""

    azimuth_deg: float = 0.0
    elevation_deg: float = 0.0

    def rotation(self) -> np.ndarray:
        """Camera-to-world rotation."""
        return ring_rotation(self.azimuth_deg, self.elevation_deg)


@dataclass(frozen=True)
class RingArrangement(Arrangement):
    """All views of a ring; ``naming`` is ``to_right`` (azimuth grows towards +X) or ``to_left``."""

    elevation_deg: float = 0.0

    @staticmethod
    def of(count: int, to_right: bool, elevation_deg: float) -> RingArrangement:
        """``count`` evenly spaced views."""
        azimuths = [(360.0 if to_right else -360.0) * k / count for k in range(count)]
        placements = tuple(RingPlacement(f"azimuth {a:g}", 0, False, a, elevation_deg) for a in azimuths)
        return RingArrangement(placements, "to_right" if to_right else "to_left", None, elevation_deg)

    def key(self) -> tuple[object, ...]:
        """Rings of one direction are one hypothesis."""
        return (self.naming,)

    def describe(self, names: Sequence[str]) -> dict[str, object]:
        """JSON form for reports."""
        views = {n: {"slot": p.slot, "mirrored": p.mirrored} for n, p in zip(names, self.placements, strict=True)}
        return {
            "rig": "ring",
            "naming": self.naming,
            "anomaly": None,
            "elevation_deg": round(self.elevation_deg, 3),
            "views": views,
        }


def is_ring(names: Sequence[str], forced: ForcedRig) -> bool:
    """True for a ring by wish or by name; else for 3 to 64 views, other than six, none of which is named as a slot."""
    if not LEAST <= len(names) <= MOST:
        return False
    if forced.ring or all(re.match(r"ring[ _-]?\d+$", n.lower()) for n in names):
        return True
    named = any(n.lower().strip().endswith(CANONICAL_NAMES) for n in names)
    return len(names) != len(CANONICAL_NAMES) and not named


def search_ring(evidence: Evidence, forced: ForcedRig, context: Context) -> Outcome:
    """Find direction, elevation, field of view and depth law of a ring.

    Raises:
        InputError: no ring explains the views (reason ``cameras_unsolvable``).
    """
    check = context.check_cancelled
    laws = [law for law in LAWS if forced.allows_law(law, False)] or [forced.depth_law()]
    found: list[Candidate] = []
    for index, law in enumerate(laws):
        context.report(0.2 + 0.4 * index / len(laws), "trying rings")
        found += ring_candidates(evidence, law, forced.elevation_deg, check)
        if min(c.residual for c in found) < GOOD:
            break
    best = min(found, key=lambda c: c.residual / SIMPLE_SHARE[c.law.parameters])
    if best.residual > UNSOLVED or np.degrees(2 * np.arctan(best.fit.model.kappa)) > WIDEST_DEG:
        raise InputError(
            f"The depth maps of the {len(evidence.observations)} views do not fit together as an evenly spaced ring.",
            reason="cameras_unsolvable",
            suggestion="Add a cameras.json or a COLMAP model; for a ring, name the views in order around the object.",
        )
    context.report(0.7, "fitting the ring")
    others = [c for c in found if c.arrangement.key() != best.arrangement.key()]
    runner_up = min(others, key=lambda c: c.residual) if others else None
    return Outcome(_final(evidence, best), runner_up, (), None, 2 * len(ELEVATIONS) * len(laws))


def ring_candidates(
    evidence: Evidence, law: DepthLaw, elevation_deg: float | None, check: Callable[[], None]
) -> list[Candidate]:
    """The best ring of each direction under one depth law."""
    found: list[Candidate] = []
    for to_right in (True, False):
        starts: list[Candidate] = []
        for elevation in ELEVATIONS if elevation_deg is None else (elevation_deg,):
            check()
            starts.append(_start(evidence, RingArrangement.of(len(evidence.observations), to_right, elevation), law))
        starts.sort(key=lambda c: c.residual)
        fitted = [_refit(evidence, _scanned(evidence, c), (0.04, 0.015, 0.006), 12) for c in starts[:2]]
        best = min(fitted, key=lambda c: c.residual)
        found.append(best if elevation_deg is not None else _refined(evidence, best, to_right, check))
    return found


def _start(evidence: Evidence, arrangement: RingArrangement, law: DepthLaw) -> Candidate:
    """A rough fit on few samples."""
    problem, _ = evidence.problem(arrangement, 40)
    model = start_model(evidence, arrangement, law, False, START_FOV)
    if law.parameters == 2:
        model = spans_scanned(problem, model, 1, (-0.06, 0.0, 0.06), (0.6, 1.0, 1.6))
    return Candidate(arrangement, law, False, fit(problem, model, (0.04,), 5))


def _scanned(evidence: Evidence, candidate: Candidate) -> Candidate:
    """Each view's scale at the best of a grid: neighbours on a ring overlap so much that a wrong scale is a valley."""
    problem, _ = evidence.problem(candidate.arrangement, 40)
    model = scanned(problem, candidate.fit.model)
    return replace(candidate, fit=replace(candidate.fit, model=model))


def _refit(evidence: Evidence, candidate: Candidate, bands: tuple[float, ...], iterations: int) -> Candidate:
    problem, _ = evidence.problem(candidate.arrangement, 200)
    return _judged(problem, replace(candidate, fit=fit(problem, candidate.fit.model, bands, iterations)))


def _judged(problem: Problem, candidate: Candidate) -> Candidate:
    """Violations alone judge a ring: it leaves parts of the object unseen, so reach stays uncovered at the truth."""
    r, state, _ = problem.residuals(candidate.fit.model)
    live = state != SKIPPED
    residual = float(np.clip(r[live], 0.0, 0.12).mean()) if live.any() else 1.0
    return replace(candidate, fit=replace(candidate.fit, residual=residual))


def _final(evidence: Evidence, candidate: Candidate) -> Candidate:
    """All samples, narrow bands, and little weight on reach."""
    problem, _ = evidence.problem(candidate.arrangement, 1000)
    for band, violation in ((0.006, 0.02), (0.003, 0.01)):
        kernel = replace(problem.kernel, coverage=0.03, violation=violation)
        candidate = replace(candidate, fit=fit(replace(problem, kernel=kernel), candidate.fit.model, (band,), 10))
    return _judged(problem, candidate)


def _refined(evidence: Evidence, start: Candidate, to_right: bool, check: Callable[[], None]) -> Candidate:
    """The elevation within 10 degrees that fits best, each trial starting from the best fit so far."""
    best = start

    def at(elevation: float) -> float:
        nonlocal best
        check()
        arrangement = RingArrangement.of(len(evidence.observations), to_right, elevation)
        model = replace(best.fit.model, rotation=arrangement.rotations())
        trial = _refit(evidence, replace(best, arrangement=arrangement, fit=replace(best.fit, model=model)), BANDS, 5)
        best = min(best, trial, key=lambda c: c.residual)
        return trial.residual

    arrangement = start.arrangement
    assert isinstance(arrangement, RingArrangement)
    low, high = arrangement.elevation_deg - 10, arrangement.elevation_deg + 10
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    fa, fb = at(a), at(b)
    while high - low > 0.1:
        if fa < fb:
            high, b, fb = b, a, fa
            a = high - GOLDEN * (high - low)
            fa = at(a)
        else:
            low, a, fa = a, b, fb
            b = low + GOLDEN * (high - low)
            fb = at(b)
    return best
