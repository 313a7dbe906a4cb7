"""How much a tenant may keep: stored bytes. (How many of its jobs may wait or run is the repository's to say.)"""

from __future__ import annotations

from meshwright.errors import RateLimited
from meshwright.service.settings import Settings


def check_storage(settings: Settings, stored_bytes: int, incoming_bytes: int) -> None:
    """Refuse an upload with which the tenant would keep more than its quota.

    Raises:
        RateLimited: reason ``storage_quota``.
    """
    limit = settings.storage_quota_bytes
    if limit and stored_bytes + incoming_bytes > limit:
        raise RateLimited(
            f"{stored_bytes:,} bytes are stored; with this upload the quota of {limit:,} bytes would be passed.",
            suggestion="Delete jobs that are no longer needed (meshwright jobs delete ID), or wait until some expire.",
            reason="storage_quota",
            limit_bytes=limit,
            stored_bytes=stored_bytes,
        )
