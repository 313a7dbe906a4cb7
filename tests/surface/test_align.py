"""Laws of the last alignment: wrong scales are found, right ones are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.surface.align import rescaled, scale_factors
from meshwright.surface.evidence import gather
from surface.solids import capture_of, sphere

COMMON = 1.2e-3  # at 160 px the smoothed rims lie a little near, in all views alike
WRONG = np.array([1.002, 0.998, 1.003, 0.997, 1.001, 0.999])


@pytest.fixture(scope="module", params=["perspective", "orthographic"])
def views(request):
    capture = capture_of(sphere(0.4), 1.4, size=160, projection=request.param)
    return [gather(view) for view in capture.views]


def test_right_scales_stay(views):
    factor = scale_factors(views, 1.4)
    assert np.ptp(factor) < 2e-4
    assert np.abs(factor - 1).max() < COMMON


def test_wrong_scales_are_recovered(views):
    spoiled = [rescaled(view, factor) for view, factor in zip(views, WRONG, strict=True)]
    factor = WRONG * scale_factors(spoiled, 1.4)
    assert np.ptp(factor) < 2e-4
    assert np.abs(factor - 1).max() < COMMON


def test_one_view_is_left_alone(views):
    assert scale_factors(views[:1], 1.4) == [1.0]
