"""``--rig``: what the user already knows about the rig, as facts that hypotheses must agree with.

``viewer``, ``object`` or a list of ``key=value``: ``naming=viewer|object``, ``fov=DEGREES``,
``law=linear|inverse|near_bright``, ``ray=yes|no``, ``offset=yes|no``, ``projection=perspective|orthographic``,
``mirror=VIEW|none``, and ``VIEW=DEGREES`` for the clockwise turn of a view's image. ``ring`` says that the
views stand evenly on a ring, ``elevation=DEGREES`` at which elevation. ``solve`` (or ``withhold``) alone solves the
cameras although the capture has some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from meshwright.cameras.hypotheses import Arrangement
from meshwright.cameras.model import DepthLaw
from meshwright.errors import InputError

KEYS = ("elevation", "naming", "fov", "law", "ray", "offset", "projection", "mirror")
YES_NO = {"yes": True, "no": False, "true": True, "false": False}


@dataclass(frozen=True)
class ForcedRig:
    """Facts; None or an empty table where nothing is known."""

    naming: str | None = None
    fov_deg: float | None = None
    encoding: str | None = None
    ray: bool | None = None
    offset: bool | None = None
    orthographic: bool | None = None
    mirror: str | None = None
    ring: bool = False
    elevation_deg: float | None = None
    rolls: dict[str, int] = field(default_factory=dict)

    def allows(self, arrangement: Arrangement, names: Sequence[str]) -> bool:
        """True when an arrangement agrees with every fact."""
        if self.naming not in (None, arrangement.naming) or not self.known_views(names):
            return False
        for name, placement in zip([n.lower() for n in names], arrangement.placements, strict=True):
            if self.rolls.get(name, placement.roll_deg) != placement.roll_deg:
                return False
            if self.mirror is not None and placement.mirrored != (name == self.mirror):
                return False
        return True

    def known_views(self, names: Sequence[str]) -> bool:
        """True when every view that the facts name is there."""
        stated = {*self.rolls, *({self.mirror} - {None, "none"})}
        return stated <= {n.lower() for n in names}

    def allows_law(self, law: DepthLaw, orthographic: bool) -> bool:
        """True when a depth law and projection agree with every fact."""
        facts = (
            (self.encoding, law.encoding), (self.ray, law.ray), (self.offset, law.offset or law.near_bright),
            (self.orthographic, orthographic),
        )  # fmt: skip
        return all(wanted is None or wanted == has for wanted, has in facts)

    def depth_law(self) -> DepthLaw:
        """The law that the facts name (the plain one where they say nothing)."""
        return DepthLaw(self.encoding == "inverse", bool(self.offset), self.encoding == "near_bright", bool(self.ray))


def parse_rig(text: str | None) -> ForcedRig:
    """Read ``--rig``.

    Raises:
        InputError: an unknown key or value (reason ``rig_unreadable``).
    """
    rig = ForcedRig()
    for item in (part.strip() for part in (text or "").split(",")):
        if item and item not in ("auto", "solve", "withhold", "canonical6"):
            if item.lower() == "ring":
                rig = replace(rig, ring=True)
                continue
            key, _, value = item.partition("=")
            rig = _with_fact(rig, *(("naming", key) if not value else (key.strip().lower(), value.strip().lower())))
    return rig


def _fact(key: str, value: str) -> dict[str, Any]:
    """A field of `ForcedRig` with its value; empty where the key is a view's name or the value is none of the key's."""
    if key == "naming" and value in ("viewer", "object"):
        return {"naming": value}
    if key == "fov" and 1.0 <= float(value) <= 150.0:
        return {"fov_deg": float(value)}
    if key == "elevation" and -85.0 <= float(value) <= 85.0:
        return {"ring": True, "elevation_deg": float(value)}
    if key == "law" and value in ("linear", "inverse", "near_bright"):
        return {"encoding": value}
    if key in ("ray", "offset"):
        return {key: YES_NO[value]}
    if key == "projection" and value in ("perspective", "orthographic"):
        return {"orthographic": value == "orthographic"}
    return {"mirror": value} if key == "mirror" and value else {}


def _with_fact(rig: ForcedRig, key: str, value: str) -> ForcedRig:
    try:
        if fact := _fact(key, value):
            return replace(rig, **fact)
        if key and key not in KEYS and int(value) in (0, 90, 180, 270):
            return replace(rig, rolls={**rig.rolls, key: int(value)})
    except (KeyError, ValueError):
        pass
    raise InputError(
        f"--rig: cannot read '{key}={value}'.",
        reason="rig_unreadable",
        suggestion="Use e.g. --rig object, or --rig naming=object,top=180,bottom=0,fov=60,law=linear,ray=no.",
    )
