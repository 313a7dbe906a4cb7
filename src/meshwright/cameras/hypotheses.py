"""Discrete hypotheses about a rig: which slot each view took, and how its image was turned or mirrored.

The plain hypotheses (both left/right namings, any roll of top and bottom) need no excuse. Each of the others adds ONE
anomaly to a plain one: a mirrored view, two views swapped, a side view turned. They are chosen only where they fit
clearly better.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float

from meshwright.cameras.rigs import CANONICAL_NAMES, slot_rotation

ROLLS = (0, 90, 180, 270)
SWAPPED_SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Placement:
    """Where one view stands: slot in the viewer's naming, clockwise turn of its image, mirrored or not."""

    slot: str
    roll_deg: int = 0
    mirrored: bool = False

    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """Camera-to-world rotation of the un-mirrored image."""
        return slot_rotation(self.slot, self.roll_deg)


@cache
def relation(first: Placement, other: Placement) -> tuple[int, ...]:
    """Rotation between two placements as nine whole numbers."""
    return tuple(int(x) for x in np.rint(first.rotation().T @ other.rotation()).ravel())


@dataclass(frozen=True)
class Arrangement:
    """All views' placements, with the naming that leads to them and the anomaly, if any."""

    placements: tuple[Placement, ...]
    naming: str
    anomaly: str | None = None

    def rotations(self) -> Float[np.ndarray, "n 3 3"]:
        """Camera-to-world rotations."""
        return np.stack([p.rotation() for p in self.placements])

    def key(self) -> tuple[object, ...]:
        """Equal for arrangements that differ only by a turn of the whole world."""
        first = self.placements[0]
        return tuple((*relation(first, p), p.mirrored) for p in self.placements)

    def describe(self, names: Sequence[str]) -> dict[str, object]:
        """JSON form for reports."""
        views = {
            n: {"slot": p.slot, "roll_deg": p.roll_deg, "mirrored": p.mirrored}
            for n, p in zip(names, self.placements, strict=True)
        }
        return {"rig": "canonical6", "naming": self.naming, "anomaly": self.anomaly, "views": views}


def slots_of_names(names: Sequence[str]) -> tuple[str, ...] | None:
    """Slots of canonically named views (any case), or by order for six unknown names; None if there is no such rig."""
    lowered = [n.lower().strip() for n in names]
    found = [next((s for s in CANONICAL_NAMES if s == n or n.endswith(("_" + s, "-" + s))), None) for n in lowered]
    if all(found) and len(set(found)) == len(found):
        return tuple(s for s in found if s)
    return CANONICAL_NAMES if len(names) == len(CANONICAL_NAMES) else None


def plain_arrangements(slots: Sequence[str]) -> Iterator[Arrangement]:
    """Both namings and every roll of the top and bottom views."""
    polar = [i for i, s in enumerate(slots) if s in ("top", "bottom")]
    sideways = any(s in SWAPPED_SIDES for s in slots)
    for naming in ("viewer", "object") if sideways else ("viewer",):
        named = [SWAPPED_SIDES.get(s, s) if naming == "object" else s for s in slots]
        for rolls in itertools.product(ROLLS, repeat=len(polar)):
            placements = [Placement(s) for s in named]
            for i, roll in zip(polar, rolls, strict=True):
                placements[i] = replace(placements[i], roll_deg=roll)
            yield Arrangement(tuple(placements), naming)


def with_anomalies(base: Arrangement, names: Sequence[str]) -> Iterator[Arrangement]:
    """A plain arrangement with one view mirrored, two views swapped, or one side view turned."""
    p = base.placements
    for i, name in enumerate(names):
        yield replace(base, placements=_put(p, i, replace(p[i], mirrored=True)), anomaly=f"{name} is mirrored")
    for i, j in itertools.combinations(range(len(p)), 2):
        if {p[i].slot, p[j].slot} != {"left", "right"}:
            swapped = _put(_put(p, i, p[j]), j, p[i])
            yield replace(base, placements=swapped, anomaly=f"{names[i]} and {names[j]} are swapped")
    for i, name in enumerate(names):
        if p[i].slot not in ("top", "bottom"):
            for roll in ROLLS[1:]:
                turned = _put(p, i, replace(p[i], roll_deg=roll))
                yield replace(base, placements=turned, anomaly=f"{name} is turned by {roll} degrees")


def _put(placements: tuple[Placement, ...], index: int, value: Placement) -> tuple[Placement, ...]:
    return (*placements[:index], value, *placements[index + 1 :])


def arrangements(names: Sequence[str], slots: Sequence[str], anomalies: bool = True) -> list[Arrangement]:
    """All arrangements worth testing, plain ones first, without those that only turn the whole world."""
    plain = list(plain_arrangements(slots))
    odd = [a for base in plain for a in with_anomalies(base, names)] if anomalies else []
    unique: dict[tuple[object, ...], Arrangement] = {}
    for a in [*plain, *odd]:
        unique.setdefault(a.key(), a)
    return list(unique.values())
