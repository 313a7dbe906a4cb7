"""Every setting of the service, read from the environment (``MESHWRIGHT_...``) or a ``.env`` file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 2**20
GIB = 2**30


class Settings(BaseSettings):
    """Settings with their defaults: everything embedded, on this machine, open on loopback only."""

    model_config = SettingsConfigDict(env_prefix="MESHWRIGHT_", env_file=".env", extra="ignore", frozen=True)

    # where it listens
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    allow_anonymous: bool = Field(default=False, description="Serve without keys on an address beyond loopback.")
    public_url: str = Field(default="", description="The URL that clients use, where a proxy stands in front.")
    docs: bool = Field(default=True, description="Serve /docs and /openapi.json.")

    # where things are kept
    data_dir: Path = Field(default=Path("meshwright-data"), description="Folder of the embedded database and storage.")
    database_url: str = Field(default="", description="SQLAlchemy URL; empty is SQLite in the data folder.")
    storage_url: str = Field(default="", description="file:///path or s3://bucket/prefix; empty is the data folder.")
    queue: Literal["embedded", "celery"] = Field(default="embedded", description="How workers learn of new jobs.")
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", description="Broker of the celery queue.")

    # jobs
    gpu_jobs: Literal["auto", "on", "off"] = Field(
        default="auto", description="Send jobs that a GPU speeds up to GPU workers; auto: where this machine has one."
    )
    lease_s: float = Field(default=30.0, gt=0, description="A worker silent for this long has lost its job.")
    heartbeat_s: float = Field(default=10.0, gt=0, description="Seconds between a worker's signs of life.")
    poll_s: float = Field(default=0.5, gt=0, description="Seconds between looks for work of the embedded queue.")
    wall_time_s: float = Field(default=7200.0, gt=0, description="Longest run of a job.")
    stall_s: float = Field(default=900.0, gt=0, description="Longest time without any progress.")
    cancel_grace_s: float = Field(default=3.0, gt=0, description="Time a cancelled engine has before it is killed.")
    max_crashes: int = Field(default=2, ge=1, description="Crashes after which a job is given up.")
    memory_bytes: int = Field(default=0, ge=0, description="Memory limit of an engine's process; 0 is none.")
    queue_limit: int = Field(default=1000, ge=1, description="Jobs that wait, for each tenant.")
    running_limit: int = Field(default=0, ge=0, description="Jobs that run at once, for each tenant; 0 is no limit.")
    result_retention_s: float = Field(default=7 * 86_400.0, gt=0, description="How long a result is kept.")
    idempotency_s: float = Field(default=2 * 86_400.0, gt=0, description="How long idempotency keys are remembered.")
    low_water_bytes: int = Field(default=2 * GIB, ge=0, description="Free disk space below which nothing is accepted.")

    # uploads
    view_limit: int = Field(default=64, ge=1, le=64, description="Views of a capture.")
    image_bytes: int = Field(default=32 * MIB, ge=1, description="Size of one image.")
    image_side: int = Field(default=4096, ge=1, description="Pixels along a side of one image.")
    capture_bytes: int = Field(default=512 * MIB, ge=1, description="Size of a capture.")
    archive_entries: int = Field(default=256, ge=1, description="Entries of a ZIP.")
    archive_ratio: int = Field(default=200, ge=1, description="Compression ratio of an entry above 1 MiB.")
    cameras_bytes: int = Field(default=MIB, ge=1, description="Size of cameras.json.")
    uploads_at_once: int = Field(default=64, ge=1, description="Uploads that one process receives at once.")
    body_idle_s: float = Field(default=15.0, gt=0, description="Longest pause within an upload.")
    head_s: float = Field(default=10.0, gt=0, description="Longest time a request's head may take.")

    # access
    key_secret: SecretStr = Field(
        default=SecretStr(""), description="Keys the hashes of API keys; empty makes one, kept in the database."
    )
    rate_per_minute: int = Field(default=600, ge=1, description="Requests a minute for each key (or address).")
    submits_per_minute: int = Field(default=120, ge=1, description="Submitted jobs a minute for each key (or address).")
    storage_quota_bytes: int = Field(default=0, ge=0, description="Stored bytes for each tenant; 0 is no limit.")

    # webhooks
    webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="Signs all webhooks (whsec_...); empty makes one a tenant."
    )
    webhook_private: bool = Field(default=False, description="Allow webhooks to private and loopback addresses.")
    webhook_tries: int = Field(default=10, ge=1, description="Tries of a delivery, over 24 hours.")
    webhook_timeout_s: float = Field(default=15.0, gt=0, description="Longest wait for a webhook's answer.")

    # logs
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["json", "text"] = Field(default="json", description="How log lines look.")

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL in use."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'meshwright.db').absolute()}"

    @cached_property
    def storage(self) -> str:
        """The storage URL in use."""
        return self.storage_url or (self.data_dir / "storage").absolute().as_uri()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in ("127.0.0.1", "::1", "localhost")
