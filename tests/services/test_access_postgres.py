"""Keys and webhooks on PostgreSQL: the same tests as on SQLite, but for those that look into its file."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from meshwright.service.db import Database, upgrade
from meshwright.service.db.tables import Base
from meshwright.service.settings import Settings
from meshwright.service.webhooks.outbox import Outbox
from service.auth.conftest import keys  # noqa: F401
from service.auth.test_keys import *  # noqa: F403
from service.webhooks.conftest import calendar, database, finish_job, listener, receiver  # noqa: F401
from service.webhooks.test_deliver import *  # noqa: F403

pytestmark = pytest.mark.services
del test_the_database_holds_no_secret  # type: ignore[name-defined]
del test_a_root_from_the_settings_is_not_in_the_database  # type: ignore[name-defined]
del test_the_secret_is_in_no_row  # type: ignore[name-defined]


@pytest.fixture
def settings(postgres_url: str, tmp_path: Path) -> Settings:
    with closing(Database(postgres_url)) as opened:
        upgrade(opened)
        with opened.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)}"))
    return Settings(
        data_dir=tmp_path, database_url=postgres_url, webhook_private=True, webhook_timeout_s=5, _env_file=None
    )


def test_processes_that_claim_at_once_never_get_the_same_webhook(
    settings: Settings,
    database: Database,  # noqa: F811
    finish_job: Finish,  # noqa: F405, F811
) -> None:
    """Rows that another transaction holds are left out, not waited for."""
    for _ in range(24):
        finish_job("http://127.0.0.1:9/")
    claimed: list[str] = []
    start = threading.Barrier(4)

    def claim() -> None:
        with closing(Database(settings.database)) as own:
            start.wait()
            claimed.extend(delivery.id for delivery in Outbox(own).claim(limit=10))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed))
    assert claimed
