"""Canonical slots, rings and image turns: known answers and group laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.cameras.rigs import CANONICAL_NAMES, SLOTS, image_roll, ring_rotation, slot_rotation
from meshwright.geometry.rotations import look_at, rotation_angle_deg


@pytest.mark.parametrize("slot", CANONICAL_NAMES)
@pytest.mark.parametrize("roll", [0, 90, 180, 270])
def test_a_slot_is_a_rotation_that_looks_at_the_origin(slot: str, roll: int) -> None:
    rotation = slot_rotation(slot, roll)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation[:, 2], -np.array(SLOTS[slot][0]), atol=1e-12)


@pytest.mark.parametrize("slot", CANONICAL_NAMES)
def test_slots_are_the_look_at_poses_of_their_directions(slot: str) -> None:
    direction, up = (np.array(v, float) for v in SLOTS[slot])
    np.testing.assert_allclose(slot_rotation(slot), look_at(direction * 2, np.zeros(3), up)[:3, :3], atol=1e-12)


def test_right_is_seen_from_plus_x_and_the_front_is_at_the_lower_edge_of_top() -> None:
    assert SLOTS["right"][0] == (1, 0, 0)
    front_in_top = slot_rotation("top").T @ np.array([0.0, 0.0, 1.0])
    np.testing.assert_allclose(front_in_top, [0, 1, 0], atol=1e-12)  # image y points down


def test_an_image_turned_clockwise_by_a_quarter_has_its_former_up_on_the_right() -> None:
    former_up = np.array([0.0, -1.0, 0.0])
    np.testing.assert_allclose(image_roll(90).T @ former_up, [1, 0, 0], atol=1e-12)


@given(st.sampled_from((0, 90, 180, 270)), st.sampled_from((0, 90, 180, 270)))
def test_turns_of_images_add_up(a: int, b: int) -> None:
    np.testing.assert_allclose(image_roll(a) @ image_roll(b), image_roll(a + b), atol=1e-11)


@given(st.floats(-180, 180), st.floats(-80, 80))
def test_a_ring_camera_looks_at_the_origin_with_up_upwards(azimuth: float, elevation: float) -> None:
    rotation = ring_rotation(azimuth, elevation)
    assert np.linalg.det(rotation) == pytest.approx(1)
    a, e = np.radians([azimuth, elevation])
    direction = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    np.testing.assert_allclose(rotation[:, 2], -direction, atol=1e-12)
    assert rotation[1, 0] == pytest.approx(0, abs=1e-12)
    assert rotation[1, 1] < 0  # image y points down


def test_the_ring_begins_at_the_front_and_goes_to_the_right() -> None:
    assert rotation_angle_deg(ring_rotation(0, 0).T @ slot_rotation("front")) < 1e-5
    assert rotation_angle_deg(ring_rotation(90, 0).T @ slot_rotation("right")) < 1e-5
