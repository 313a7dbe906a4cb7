"""Contact shadows leave a mask; objects, black ones included, are not bitten where nothing dark surrounds them."""

from __future__ import annotations

import numpy as np

from meshwright.capture.shadows import without_contact_shadow

SIZE = 200


def red_box_on_its_shadow() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(photo, the object, the object with the dark part of its shadow)."""
    rgb = np.full((SIZE, SIZE, 3), 250, np.uint8)
    box, shadow = np.zeros((2, SIZE, SIZE), bool)
    box[60:140, 50:150] = True
    shadow[140:147, 54:146] = True
    rgb[shadow] = (30, 28, 29)
    rgb[box] = (180, 30, 25)
    return rgb, box, box | shadow


def test_a_dark_shadow_goes_and_the_object_stays():
    rgb, box, taken = red_box_on_its_shadow()
    assert (without_contact_shadow(rgb, taken) == box).mean() > 0.9995


def test_a_mask_without_shadow_is_returned_as_it_is():
    rgb, box, _ = red_box_on_its_shadow()
    assert without_contact_shadow(rgb, box) is box
    nothing = np.zeros_like(box)
    assert without_contact_shadow(rgb, nothing) is nothing


def test_white_rubber_on_white_paper_stays():
    rgb, box, _ = red_box_on_its_shadow()
    rgb[box] = (222, 221, 217)
    assert without_contact_shadow(rgb, box) is box
