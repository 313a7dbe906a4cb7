"""The client: ``Client(url).submit("shoe/").wait().download("out")``."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import httpx

from meshwright.client.calls import PREFIX, Call, list_call, submit_call, validate_call
from meshwright.client.download import Partial
from meshwright.client.errors import error_of_response, unreachable
from meshwright.client.job import RemoteJob
from meshwright.client.models import JobInfo, JobPage
from meshwright.client.retry import Retry
from meshwright.client.transport import DEFAULT_URL, request_arguments, settings_for
from meshwright.client.upload import packed
from meshwright.errors import IncompleteResults


class Client:
    """A service at a URL. Calls that can be made again are, after a broken link, a busy or a restarting service.

    ``key`` is an API key; without one that of ``MESHWRIGHT_API_KEY`` is used, if any. Errors are the library's own
    (``meshwright.errors``), by the code that the service gives. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self.retry = retry or Retry()
        self.http = httpx.Client(**settings_for(url, key), transport=transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def submit(
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
    ) -> RemoteJob:
        """Upload a capture (a folder or a ZIP) and queue a job for it; it is queued once, however often it is sent."""
        call = submit_call(engine, options, name, webhook_url, cache, deadline_s, retention_s, device, idempotency_key)
        with packed(path) as archive:
            return RemoteJob(self, JobInfo.model_validate(self.call(call, archive).json()))

    def validate(self, path: str | Path) -> dict[str, Any]:
        """The service's report about a capture, without a job."""
        with packed(path) as archive:
            return self.call(validate_call(), archive).json()

    def job(self, job_id: str) -> RemoteJob:
        """A job that was submitted before.

        Raises:
            JobNotFound: when there is none, or it is another tenant's.
        """
        job = RemoteJob(self, JobInfo(id=job_id, status="queued"))
        job.refresh()
        return job

    def jobs(
        self,
        *,
        status: Sequence[str] = (),
        engine: str | None = None,
        verdict: str | None = None,
        name: str | None = None,
        page: int = 50,
    ) -> Iterator[RemoteJob]:
        """All jobs, newest first, fetched a page at a time."""
        cursor: str | None = None
        while True:
            answer = self.call(list_call(status, engine, verdict, name, cursor, page)).json()
            found = JobPage.model_validate(answer)
            yield from (RemoteJob(self, info) for info in found.jobs)
            cursor = found.next
            if cursor is None:
                return

    def engines(self) -> dict[str, Any]:
        """The engines, their options, and which of them this service can run."""
        return self.call(Call("GET", f"{PREFIX}/engines")).json()

    def health(self) -> dict[str, Any]:
        """Whether the service can serve."""
        return self.call(Call("GET", f"{PREFIX}/health")).json()

    def call(self, call: Call, archive: BinaryIO | None = None) -> httpx.Response:
        """Make a call, again where that is safe and may help; an answer of 400 and above becomes its exception."""
        attempt = 0
        while True:
            try:
                request = self.http.build_request(call.method, call.path, **request_arguments(call, archive))
                response = self.http.send(request)
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
            time.sleep(pause)
            attempt += 1

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], timeout: httpx.Timeout) -> Generator[httpx.Response]:
        """A GET whose body is read as it comes; one try."""
        with self.http.stream("GET", path, headers=dict(headers), timeout=timeout) as response:
            yield response

    def fetch(self, path: str, target: Path) -> None:
        """Download into a file, going on after a broken link."""
        attempt = 0
        with Partial(target) as partial:
            while True:
                before = partial.size
                try:
                    pause = self._fetch_once(path, partial, attempt)
                except (httpx.TransportError, IncompleteResults) as error:
                    attempt = 0 if partial.size > before else attempt  # as long as something comes it is worth going on
                    pause = self.retry.after_error(attempt, is_safe=True)
                    if pause is None:
                        raise error if isinstance(error, IncompleteResults) else unreachable(self.url, error) from error
                if pause is None:
                    return
                time.sleep(pause)
                attempt += 1

    def _fetch_once(self, path: str, partial: Partial, attempt: int) -> float | None:
        """One try; None when all is there, else the pause before the next."""
        with self.stream(path, partial.headers(), self.http.timeout) as response:
            if response.status_code >= 300:
                response.read()
                pause = self.retry.after_answer(attempt, response)
                if pause is None:
                    raise error_of_response(response)
                return pause
            partial.begin(response)
            for block in response.iter_raw():
                partial.write(block)
        partial.check()
        return None
