"""Alembic's entry: runs on the connection, and in the transaction, that :func:`..migrate.upgrade` hands in."""

from __future__ import annotations

from alembic import context

from meshwright.service.db.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
