"""What every test shares: reproducible hypothesis runs, and small captures of the procedural sample."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("meshwright", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile("meshwright")


def write_small_sample(folder: Path, **options: object) -> Path:
    """A capture of the sample, small enough to be reconstructed in a second or two."""
    from meshwright.sample.capture import write_sample
    from meshwright.sample.scene import SampleOptions

    write_sample(folder, SampleOptions(rgb_size=192, depth_size=96, novel=0, **options), truth=False)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="session")
def posed_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six canonical views with cameras and metric depth; read only."""
    return write_small_sample(tmp_path_factory.mktemp("posed") / "capture", format="metric")


@pytest.fixture(scope="session")
def ring_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight views around the object with cameras and metric depth, enough for held-out views; read only."""
    return write_small_sample(tmp_path_factory.mktemp("ring") / "capture", format="metric", views=8)
