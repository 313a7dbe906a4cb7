"""Where inputs and results lie: a folder of this machine, or S3; both behind one protocol."""

from __future__ import annotations

from meshwright.service.storage.store import Store, open_store

__all__ = ["Store", "open_store"]
