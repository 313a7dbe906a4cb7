"""``--rig``: every fact it can state, and that it refuses what it does not understand."""

from __future__ import annotations

import pytest

from cameras.scenes import all_arrangements
from meshwright.cameras.forced import ForcedRig, parse_rig
from meshwright.cameras.model import DepthLaw
from meshwright.cameras.rigs import CANONICAL_NAMES
from meshwright.errors import InputError


@pytest.mark.parametrize(
    ("text", "rig"),
    [
        (None, ForcedRig()),
        ("", ForcedRig()),
        ("auto", ForcedRig()),
        ("solve", ForcedRig()),
        ("canonical6", ForcedRig()),
        ("viewer", ForcedRig(naming="viewer")),
        ("object", ForcedRig(naming="object")),
        ("naming=Object", ForcedRig(naming="object")),
        ("fov=60", ForcedRig(fov_deg=60.0)),
        ("law=inverse", ForcedRig(encoding="inverse")),
        ("ray=yes, offset=no", ForcedRig(ray=True, offset=False)),
        ("projection=orthographic", ForcedRig(orthographic=True)),
        ("mirror=back", ForcedRig(mirror="back")),
        ("mirror=none", ForcedRig(mirror="none")),
        ("top=180,bottom=0", ForcedRig(rolls={"top": 180, "bottom": 0})),
        ("object,top=90,fov=35.5", ForcedRig(naming="object", fov_deg=35.5, rolls={"top": 90})),
    ],
)
def test_facts_are_read(text: str | None, rig: ForcedRig) -> None:
    assert parse_rig(text) == rig


@pytest.mark.parametrize(
    "text",
    ["sideways", "naming=mine", "fov=0", "fov=wide", "fov=nan", "law=quadratic", "ray=perhaps", "projection=fisheye",
     "top=45", "top=", "=90"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_rig(text)
    assert caught.value.reason == "rig_unreadable"
    assert "--rig" in caught.value.suggestion


def allowed(text: str) -> list:
    return [a for a in all_arrangements() if parse_rig(text).allows(a, CANONICAL_NAMES)]


def test_facts_leave_only_the_arrangements_that_agree() -> None:
    assert {a.naming for a in allowed("object")} == {"object"}
    assert {a.placements[5].mirrored for a in allowed("mirror=bottom")} == {True}
    assert not any(p.mirrored for a in allowed("mirror=none") for p in a.placements)
    assert {a.placements[4].roll_deg for a in allowed("top=180")} == {180}
    assert len([a for a in allowed("viewer,top=0,bottom=0,mirror=none") if a.anomaly is None]) == 1


def test_facts_leave_only_the_laws_that_agree() -> None:
    assert parse_rig("law=inverse").allows_law(DepthLaw(inverse=True), False)
    assert not parse_rig("law=inverse").allows_law(DepthLaw(), False)
    assert not parse_rig("ray=no").allows_law(DepthLaw(ray=True), False)
    assert parse_rig("offset=yes").allows_law(DepthLaw(near_bright=True), False)
    assert not parse_rig("projection=perspective").allows_law(DepthLaw(), True)
    assert parse_rig("law=near_bright,ray=yes").depth_law() == DepthLaw(near_bright=True, ray=True)
