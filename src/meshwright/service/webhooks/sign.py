"""Signatures after Standard Webhooks: ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``."""

from __future__ import annotations

from datetime import datetime

from standardwebhooks import Webhook


def signed_headers(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of one try: the id stays over tries, time and signature are new each time."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
        "Content-Type": "application/json",
    }
