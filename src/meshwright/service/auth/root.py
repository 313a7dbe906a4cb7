"""The service's root secret: what hashes of keys are keyed with, and what webhooks' secrets are made from.

It is the setting ``key_secret``; where that is empty it is made once and kept in the database, so that all processes
share it. Set it to keep it apart from the hashes: a copy of the database is then of no use for making keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from meshwright.errors import InputError
from meshwright.service.db import Database
from meshwright.service.db.tables import SecretRow
from meshwright.service.settings import Settings

ROOT = "root"
PREFIX = "whsec_"
MIN_WEBHOOK_BYTES = 24  # Standard Webhooks asks for 24 to 64 bytes


def root_secret(database: Database, settings: Settings) -> bytes:
    """The root secret, made on first use where the settings give none."""
    given = settings.key_secret.get_secret_value()
    if given:
        return given.encode()
    with database.read() as session:
        stored = _stored(session)
    return (stored or database.run(lambda session: _make(database, session))).encode()


def webhook_secret(root: bytes, settings: Settings, tenant: str) -> str:
    """What signs a tenant's webhooks (``whsec_...``): the setting, or one of its own derived from the root.

    Raises:
        InputError: reason ``webhook_secret`` when the setting is not of that form.
    """
    given = settings.webhook_secret.get_secret_value()
    if given:
        return _checked(given)
    derived = hmac.new(root, f"webhook:{tenant}".encode(), hashlib.sha256).digest()
    return PREFIX + base64.b64encode(derived).decode()


def _stored(session: Session) -> str | None:
    return session.execute(select(SecretRow.value).where(SecretRow.name == ROOT)).scalar_one_or_none()


def _make(database: Database, session: Session) -> str:
    database.serial(session, "secrets")  # two processes that start at once agree on one
    found = _stored(session)
    if found is None:
        found = secrets.token_hex(32)
        session.add(SecretRow(name=ROOT, value=found, created_at=database.now(session)))
    return found


def _checked(given: str) -> str:
    try:
        raw = base64.b64decode(given.removeprefix(PREFIX), validate=True)
    except ValueError:
        raw = b""
    if not given.startswith(PREFIX) or len(raw) < MIN_WEBHOOK_BYTES:
        raise InputError(
            "MESHWRIGHT_WEBHOOK_SECRET is not whsec_ followed by the base64 of at least 24 bytes.",
            suggestion='Make one: echo "whsec_$(openssl rand -base64 32)".',
            reason="webhook_secret",
        )
    return given
