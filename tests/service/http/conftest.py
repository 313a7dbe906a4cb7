"""The real application on a real socket, with a real database and storage; only the engine's work is done by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from service.http.live import Live, live


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """A server that the tests of a module share."""
    with live(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture
def serve(tmp_path: Path) -> Generator[Callable[..., Live]]:
    """Start a server of its own with other settings."""
    started: list[Any] = []

    def start(**changes: Any) -> Live:
        context = live(tmp_path / f"service-{len(started)}", **changes)
        started.append(context)
        return context.__enter__()

    yield start
    for context in started:
        context.__exit__(None, None, None)
