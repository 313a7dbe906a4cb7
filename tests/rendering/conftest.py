"""torch on one thread: tests share the cores, and its threads wait for each other busily."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest


@pytest.fixture(autouse=True)
def one_torch_thread() -> Generator[None]:
    """For tests of modules that have imported torch."""
    torch = sys.modules.get("torch")
    before = 0 if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    yield
    if torch is not None:
        torch.set_num_threads(before)
