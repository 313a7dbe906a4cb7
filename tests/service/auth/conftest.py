from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from meshwright.service.auth.keys import KeyBook
from meshwright.service.db import Database, upgrade
from meshwright.service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", _env_file=None)


@pytest.fixture
def database(settings: Settings) -> Generator[Database]:
    database = Database(settings.database)
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def keys(database: Database, settings: Settings) -> KeyBook:
    return KeyBook(database, settings)
