"""Servers that live as long as the test run; nothing of the machine's own is touched."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from services.redis_server import Redis, running_redis
from services.servers import BUCKET, Postgres, running_moto, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """A PostgreSQL database that is empty at the start of the run; tests that share it clear it themselves."""
    return postgres.url


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with running_moto() as endpoint:
        yield endpoint


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that lead to it, set here and to be handed to processes."""
    environment = {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def s3_url(s3_endpoint: str, s3_environment: dict[str, str]) -> str:
    """A storage URL of an empty bucket."""
    urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/moto-api/reset", method="POST")).close()
    urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/{BUCKET}", method="PUT")).close()
    return f"s3://{BUCKET}/some/prefix"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """A Redis that is up and empty."""
    redis_server.kill()
    redis_server.start()
    return redis_server.url
