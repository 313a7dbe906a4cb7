"""torch on one thread: tests share the cores, and its threads wait for each other busily."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for a torch that is imported later


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
