from __future__ import annotations

import pytest

from meshwright.sample.scene import Sample, SampleOptions, make_sample

SMALL = dict(cells=56, texture_size=256, rgb_size=128, depth_size=96, novel=2, novel_size=64)


@pytest.fixture(scope="session")
def robot_sample() -> Sample:
    return make_sample(SampleOptions(**SMALL))
