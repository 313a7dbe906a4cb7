"""The same database as the tests of the jobs."""

from __future__ import annotations

from service.jobs.conftest import clock, database, database_url, migrated_file, repository

__all__ = ["clock", "database", "database_url", "migrated_file", "repository"]
