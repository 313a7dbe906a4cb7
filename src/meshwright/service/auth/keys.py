"""The keys of the service: made, listed, rotated and revoked."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from meshwright.errors import InputError
from meshwright.service.auth.principal import DEFAULT_SCOPES, Scope
from meshwright.service.auth.root import root_secret
from meshwright.service.auth.token import Token, new_token, token_hash
from meshwright.service.db import Database, DatabaseUnavailable
from meshwright.service.db.tables import ApiKeyRow
from meshwright.service.jobs.job import LOCAL
from meshwright.service.settings import Settings

LAST_USED_STEP = timedelta(minutes=1)  # so that a busy key costs one write a minute
DEFAULT_OVERLAP = timedelta(days=1)


@dataclass(frozen=True)
class KeyInfo:
    """What may be known of a key by those who manage keys; its secret is not in it."""

    id: str
    tenant: str
    label: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaced_by: str | None

    def is_active(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyBook:
    """The keys in a database. One object a process; threads may share it."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    @cached_property
    def root(self) -> bytes:
        """The service's root secret."""
        return root_secret(self.database, self.settings)

    def create(
        self,
        *,
        tenant: str = LOCAL,
        scopes: Iterable[Scope] = DEFAULT_SCOPES,
        label: str = "",
        lifetime: timedelta | None = None,
    ) -> tuple[KeyInfo, Token]:
        """Make a key. The token is not stored: who loses it makes another."""
        token = new_token()
        root = self.root

        def work(session: Session) -> ApiKeyRow:
            now = self.database.now(session)
            row = ApiKeyRow(
                id=token.id,
                tenant=_checked_tenant(tenant),
                label=label[:255],
                digest=token_hash(token, root),
                scopes=sorted(scopes),
                created_at=now,
                expires_at=now + lifetime if lifetime else None,
            )
            session.add(row)
            return row

        return _info(self.database.run(work)), token

    def rotate(self, key_id: str, overlap: timedelta = DEFAULT_OVERLAP) -> tuple[KeyInfo, Token]:
        """Make a key in place of another, which goes on working until the overlap is over.

        Raises:
            InputError: reasons ``key_unknown`` and ``key_revoked``.
        """
        token = new_token()
        root = self.root

        def work(session: Session) -> ApiKeyRow:
            old, now = _row(session, key_id), self.database.now(session)
            if not _info(old).is_active(now) or old.replaced_by:
                raise InputError(
                    f"The key {key_id} is revoked, expired or replaced already.",
                    suggestion="Make a new one: meshwright keys create.",
                    reason="key_revoked",
                )
            lifetime = old.expires_at - old.created_at if old.expires_at else None
            fresh = ApiKeyRow(
                id=token.id,
                tenant=old.tenant,
                label=old.label,
                digest=token_hash(token, root),
                scopes=old.scopes,
                created_at=now,
                expires_at=now + lifetime if lifetime else None,
            )
            old.replaced_by = token.id
            old.expires_at = min(old.expires_at or now + overlap, now + overlap)
            session.add(fresh)
            return fresh

        return _info(self.database.run(work)), token

    def revoke(self, key_id: str) -> KeyInfo:
        """Close a key for good; every process knows within `lookup.MEMORY_S` seconds.

        Raises:
            InputError: reason ``key_unknown``.
        """

        def work(session: Session) -> ApiKeyRow:
            row = _row(session, key_id)
            row.revoked_at = row.revoked_at or self.database.now(session)
            return row

        return _info(self.database.run(work))

    def find(self, key_id: str) -> tuple[KeyInfo, str] | None:
        """A key and its hash, or None."""
        with self.database.read() as session:
            row = session.get(ApiKeyRow, key_id)
        return (_info(row), row.digest) if row else None

    def note_use(self, info: KeyInfo, now: datetime) -> None:
        """Write down that a key was used, at most once a minute; a busy database is no reason to refuse its holder."""
        if info.last_used_at is None or now - info.last_used_at >= LAST_USED_STEP:
            used = update(ApiKeyRow).where(ApiKeyRow.id == info.id).values(last_used_at=now)
            with suppress(DatabaseUnavailable):
                self.database.run(lambda session: session.execute(used))

    def list(self, tenant: str | None = None) -> list[KeyInfo]:
        """All keys, of one tenant where it is named, oldest first; the revoked too."""
        query = select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.id)
        if tenant is not None:
            query = query.where(ApiKeyRow.tenant == tenant)
        with self.database.read() as session:
            return [_info(row) for row in session.execute(query).scalars()]

    def has_active(self) -> bool:
        """Whether any key opens anything now."""
        now = self.database.now()
        query = select(func.count()).where(
            ApiKeyRow.revoked_at.is_(None), or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now)
        )
        with self.database.read() as session:
            return bool(session.execute(query).scalar_one())

    def has_any(self) -> bool:
        """Whether a key was ever made: from then on this service is closed to those without."""
        with self.database.read() as session:
            return session.execute(select(ApiKeyRow.id).limit(1)).first() is not None


def check_exposure(settings: Settings, keys: KeyBook) -> None:
    """Refuse to serve beyond this machine while anyone could call.

    Raises:
        InputError: reason ``exposed_without_keys``.
    """
    if settings.is_loopback or settings.allow_anonymous or keys.has_active():
        return
    raise InputError(
        f"The service would be open to everyone who reaches {settings.host}: there is no API key.",
        suggestion="Make a key (meshwright keys create), or say that it is meant: --allow-anonymous.",
        reason="exposed_without_keys",
    )


def _row(session: Session, key_id: str) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key_id, with_for_update=True)
    if row is None:
        raise InputError(
            "There is no such key.", suggestion="See their ids: meshwright keys list.", reason="key_unknown"
        )
    return row


def _info(row: ApiKeyRow) -> KeyInfo:
    return KeyInfo(
        id=row.id,
        tenant=row.tenant,
        label=row.label,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        replaced_by=row.replaced_by,
    )


def _checked_tenant(tenant: str) -> str:
    if not 1 <= len(tenant) <= 64 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in tenant):
        raise InputError(
            "This cannot be a tenant's name.",
            suggestion="Use 1 to 64 letters, digits, dots, dashes and underscores.",
            reason="tenant_name",
        )
    return tenant
