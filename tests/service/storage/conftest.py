"""A store in a folder, and the same database as the tests of the jobs; tests/services brings S3."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.service.storage import Store, open_store
from service.jobs.conftest import clock, database, database_url, migrated_file, repository

__all__ = ["clock", "database", "database_url", "migrated_file", "repository"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "storage").as_uri())
