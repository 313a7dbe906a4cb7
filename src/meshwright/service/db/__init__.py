"""The database: SQLite beside the files by default, PostgreSQL by a setting; its tables and their migrations."""

from __future__ import annotations

from meshwright.service.db.database import Database, DatabaseUnavailable
from meshwright.service.db.migrate import upgrade

__all__ = ["Database", "DatabaseUnavailable", "upgrade"]
