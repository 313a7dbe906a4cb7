"""Brings the database to the form that this version needs; safe to run in several processes at once."""

from __future__ import annotations

from sqlalchemy import func, select

from meshwright.service.db.database import Database

LOCK = "meshwright:migrate"


def upgrade(database: Database, revision: str = "head") -> None:
    """Run the migrations that are missing, all in one transaction."""
    from alembic import command  # imported here: a client that only reads needs none of it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "meshwright.service.db:migrations")
    config.set_main_option("path_separator", "os")
    with database.begin() as connection:
        if not database.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(LOCK, 0))))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
