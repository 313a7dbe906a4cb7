"""The tables. ``migrations/`` makes them; a test compares the two.

Only ``service/jobs`` writes to ``jobs`` and ``events``; a delivery and an idempotency key are written in the same
transaction as the job they belong to.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from meshwright.service.db.types import UtcDateTime

BigId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only an INTEGER


class Base(DeclarativeBase):
    """What every table shares: times in UTC, JSON, and names of constraints that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
    }


class JobRow(Base):
    """A job; ``jobs.job.Job`` says what the columns mean."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    name: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16))
    engine: Mapped[str] = mapped_column(String(255))
    options: Mapped[dict[str, Any]]
    options_hash: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(16))
    priority: Mapped[int]
    input_hash: Mapped[str] = mapped_column(String(64))
    input_bytes: Mapped[int] = mapped_column(BigInteger)
    result_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    webhook_url: Mapped[str | None] = mapped_column(Text)
    retention_s: Mapped[float | None]

    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    queued_at: Mapped[datetime]  # its age in the queue; a retry goes to the end
    announced_at: Mapped[datetime]  # when the queue's doorbell was last rung for it
    not_before: Mapped[datetime | None]  # it waits until then
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    pinned: Mapped[bool] = mapped_column(default=False)
    expired_at: Mapped[datetime | None]  # from then on its files are not given out
    deleted_at: Mapped[datetime | None]  # the same, on request
    files_removed_at: Mapped[datetime | None]  # the janitor is done with it

    attempt: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    cancel_confirmed_at: Mapped[datetime | None]

    stage: Mapped[str | None] = mapped_column(String(64))
    fraction: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str | None] = mapped_column(Text)
    eta_s: Mapped[float | None]
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    log_lines: Mapped[int] = mapped_column(default=0)
    verdict: Mapped[str | None] = mapped_column(String(16))
    outcome: Mapped[dict[str, Any] | None]

    __table_args__ = (
        Index("ix_jobs_queue", "status", "device", "priority", "queued_at"),
        Index("ix_jobs_tenant_created", "tenant", "created_at", "id"),
        Index("ix_jobs_tenant_status", "tenant", "status"),
        Index("ix_jobs_lease", "status", "lease_until"),
        Index("ix_jobs_cache", "tenant", "input_hash", "engine"),
        Index("ix_jobs_expires", "expires_at"),
        Index("ix_jobs_waiting_deadline", "deadline_at", sqlite_where=text("status = 'queued'"),
              postgresql_where=text("status = 'queued'")),
    )  # fmt: skip


class EventRow(Base):
    """Something that happened to a job; ids grow, within a job in the order in which they became visible."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_job", "job_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class IdempotencyRow(Base):
    """An idempotency key of a tenant, the hash of the request it came with, and the job that was made."""

    __tablename__ = "idempotency"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(index=True)


class DeliveryRow(Base):
    """A webhook to be sent; ``id`` is its ``webhook-id``, the same over all tries.

    ``due_at`` is None once it is delivered or given up.
    """

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    tenant: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(Text)
    event: Mapped[str] = mapped_column(String(32))
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    tries: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    abandoned_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)

    # endpoints that answered 410 and get no more
    __table_args__ = (
        Index("ix_deliveries_gone", "tenant", "url", sqlite_where=text("last_status = 410"),
              postgresql_where=text("last_status = 410")),
    )  # fmt: skip


class ApiKeyRow(Base):
    """An API key: its public id, and a keyed hash of its secret."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    label: Mapped[str] = mapped_column(String(255), default="")
    digest: Mapped[str] = mapped_column(String(128))
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]  # also the end of the overlap after a rotation
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    replaced_by: Mapped[str | None] = mapped_column(String(32))


class SecretRow(Base):
    """A secret that the service made for itself once and that all its processes share (``auth/root.py``)."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
