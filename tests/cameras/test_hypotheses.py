"""Hypotheses about a rig: which there are, and that no two of them are the same rig."""

from __future__ import annotations

import numpy as np
import pytest

from cameras.scenes import all_arrangements, plain_arrangement
from meshwright.cameras.hypotheses import arrangements, plain_arrangements, relation, slots_of_names, with_anomalies
from meshwright.cameras.rigs import CANONICAL_NAMES


def test_names_say_the_slot_in_any_case_and_after_a_prefix() -> None:
    assert slots_of_names(["Shoe_Front", "shoe-TOP", "left"]) == ("front", "top", "left")


def test_six_unknown_names_are_taken_in_the_canonical_order() -> None:
    assert slots_of_names([f"image_{k}" for k in range(6)]) == CANONICAL_NAMES


@pytest.mark.parametrize("names", [["a", "b", "c"], ["front", "front"], [f"img{k}" for k in range(12)]])
def test_other_names_are_no_canonical_rig(names: list[str]) -> None:
    assert slots_of_names(names) is None


def test_there_are_both_namings_and_every_roll_of_top_and_bottom() -> None:
    plain = list(plain_arrangements(CANONICAL_NAMES))
    assert len(plain) == 2 * 4 * 4
    assert {a.naming for a in plain} == {"viewer", "object"}


def test_no_two_arrangements_are_one_rig_turned_as_a_whole() -> None:
    found = all_arrangements()
    assert len({a.key() for a in found}) == len(found)
    assert found[0] == plain_arrangement()


def test_anomalies_change_what_they_say() -> None:
    base = plain_arrangement()
    for odd in with_anomalies(base, CANONICAL_NAMES):
        changed = [n for n, a, b in zip(CANONICAL_NAMES, base.placements, odd.placements, strict=True) if a != b]
        assert odd.anomaly is not None
        assert changed
        assert all(name in odd.anomaly for name in changed)


def test_the_key_forgets_a_turn_of_the_world() -> None:
    views = ["front", "back", "left", "right"]
    turned = ["back", "front", "right", "left"]  # half a turn about +Y
    assert plain_arrangement(views).key() == plain_arrangement(turned).key()
    assert plain_arrangement(views).key() != plain_arrangement(["front", "back", "right", "left"]).key()


def test_a_relation_is_the_rotation_between_two_placements() -> None:
    front, right = plain_arrangement(["front", "right"]).placements
    turn = np.array(relation(front, right), float).reshape(3, 3)
    np.testing.assert_allclose(front.rotation() @ turn, right.rotation(), atol=1e-12)


def test_anomalies_can_be_left_out() -> None:
    assert len(arrangements(CANONICAL_NAMES, CANONICAL_NAMES, anomalies=False)) == 32
