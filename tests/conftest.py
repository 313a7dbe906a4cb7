"""What every test shares: hypothesis draws the same examples on every run, so that a red run is red again."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("meshwright", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile("meshwright")
