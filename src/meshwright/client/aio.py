"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import httpx

from meshwright.client.aio_job import AsyncRemoteJob
from meshwright.client.calls import PREFIX, Call, list_call, submit_call, validate_call
from meshwright.client.download import Partial
from meshwright.client.errors import error_of_response, unreachable
from meshwright.client.models import JobInfo, JobPage
from meshwright.client.retry import Retry
from meshwright.client.transport import DEFAULT_URL, request_arguments, settings_for
from meshwright.client.upload import packed
from meshwright.errors import IncompleteResults


class AsyncClient:
    """A service at a URL, for asyncio; see `Client`. Use it as ``async with``, or call `close`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self.retry = retry or Retry()
        self.http = httpx.AsyncClient(**settings_for(url, key), transport=transport)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    async def close(self) -> None:
        """Close its connections."""
        await self.http.aclose()

    async def submit(
        self,
        path: str | Path,
        *,
        engine: str = "auto",
        options: Mapping[str, Any] | None = None,
        name: str | None = None,
        webhook_url: str | None = None,
        cache: bool = False,
        deadline_s: float | None = None,
        retention_s: float | None = None,
        device: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncRemoteJob:
        """Upload a capture (a folder or a ZIP) and queue a job for it; see `Client.submit`."""
        call = submit_call(engine, options, name, webhook_url, cache, deadline_s, retention_s, device, idempotency_key)
        with packed(path) as archive:
            answer = await self.call(call, archive)
        return AsyncRemoteJob(self, JobInfo.model_validate(answer.json()))

    async def validate(self, path: str | Path) -> dict[str, Any]:
        """The service's report about a capture, without a job."""
        with packed(path) as archive:
            return (await self.call(validate_call(), archive)).json()

    async def job(self, job_id: str) -> AsyncRemoteJob:
        """A job that was submitted before; see `Client.job`."""
        job = AsyncRemoteJob(self, JobInfo(id=job_id, status="queued"))
        await job.refresh()
        return job

    async def jobs(
        self,
        *,
        status: Sequence[str] = (),
        engine: str | None = None,
        verdict: str | None = None,
        name: str | None = None,
        page: int = 50,
    ) -> AsyncIterator[AsyncRemoteJob]:
        """All jobs, newest first, fetched a page at a time."""
        cursor: str | None = None
        while True:
            answer = await self.call(list_call(status, engine, verdict, name, cursor, page))
            found = JobPage.model_validate(answer.json())
            for info in found.jobs:
                yield AsyncRemoteJob(self, info)
            cursor = found.next
            if cursor is None:
                return

    async def engines(self) -> dict[str, Any]:
        """The engines, their options, and which of them this service can run."""
        return (await self.call(Call("GET", f"{PREFIX}/engines"))).json()

    async def health(self) -> dict[str, Any]:
        """Whether the service can serve."""
        return (await self.call(Call("GET", f"{PREFIX}/health"))).json()

    async def call(self, call: Call, archive: BinaryIO | None = None) -> httpx.Response:
        """Make a call, again where that is safe and may help; see `Client.call`."""
        attempt = 0
        while True:
            try:
                request = self.http.build_request(call.method, call.path, **request_arguments(call, archive))
                response = await self.http.send(request)
            except httpx.TransportError as error:
                pause = self.retry.after_error(attempt, is_safe=call.is_safe)
                if pause is None:
                    raise unreachable(self.url, error) from error
            else:
                if response.status_code < 300:
                    return response
                pause = self.retry.after_answer(attempt, response)
                if pause is None:
                    raise error_of_response(response)
            await asyncio.sleep(pause)
            attempt += 1

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str], timeout: httpx.Timeout
    ) -> AsyncGenerator[httpx.Response]:
        """A GET whose body is read as it comes; one try."""
        async with self.http.stream("GET", path, headers=dict(headers), timeout=timeout) as response:
            yield response

    async def fetch(self, path: str, target: Path) -> None:
        """Download into a file, going on after a broken link."""
        attempt = 0
        with Partial(target) as partial:
            while True:
                before = partial.size
                try:
                    pause = await self._fetch_once(path, partial, attempt)
                except (httpx.TransportError, IncompleteResults) as error:
                    attempt = 0 if partial.size > before else attempt
                    pause = self.retry.after_error(attempt, is_safe=True)
                    if pause is None:
                        raise error if isinstance(error, IncompleteResults) else unreachable(self.url, error) from error
                if pause is None:
                    return
                await asyncio.sleep(pause)
                attempt += 1

    async def _fetch_once(self, path: str, partial: Partial, attempt: int) -> float | None:
        """One try; None when all is there, else the pause before the next."""
        async with self.stream(path, partial.headers(), self.http.timeout) as response:
            if response.status_code >= 300:
                await response.aread()
                pause = self.retry.after_answer(attempt, response)
                if pause is None:
                    raise error_of_response(response)
                return pause
            partial.begin(response)
            async for block in response.aiter_raw():
                partial.write(block)
        partial.check()
        return None
