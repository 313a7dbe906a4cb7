"""A job of a service: wait for it, follow it, take its files, stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from meshwright.client.calls import Call, cancel_call, job_path, retry_call
from meshwright.client.download import unpack
from meshwright.client.errors import error_of_job
from meshwright.client.models import JobEvent, JobInfo, JobProgress
from meshwright.client.sse import decode
from meshwright.client.watch import Watch

if TYPE_CHECKING:
    from meshwright.client.client import Client


class RemoteJob:
    """A job as it was last seen (``info``); `refresh` looks again."""

    def __init__(self, client: Client, info: JobInfo) -> None:
        self.client = client
        self.info = info

    def __repr__(self) -> str:
        return f"RemoteJob({self.id!r}, {self.status!r})"

    @property
    def id(self) -> str:
        """Its id."""
        return self.info.id

    @property
    def status(self) -> str:
        """``queued``, ``processing``, ``completed``, ``failed`` or ``cancelled``, when it was last seen."""
        return self.info.status

    @property
    def verdict(self) -> str | None:
        """``normal``, ``warning`` or ``failure`` of a completed job."""
        return self.info.verdict

    def refresh(self) -> JobInfo:
        """Ask the service again."""
        self.info = JobInfo.model_validate(self.client.call(Call("GET", job_path(self.id))).json())
        return self.info

    def wait(
        self,
        on_progress: Callable[[JobProgress], object] | None = None,
        *,
        timeout_s: float | None = None,
        check: bool = True,
    ) -> RemoteJob:
        """Wait for the end of the job; returns itself.

        Raises:
            MeshwrightError: the job's own error, when it failed or was cancelled (not with ``check=False``).
            ServiceError: reason ``wait_timeout``; the job goes on.
        """
        for progress in self.watch(timeout_s=timeout_s):
            if on_progress is not None:
                on_progress(progress)
        error = error_of_job(self.info) if check else None
        if error is not None:
            raise error
        return self

    def watch(self, *, timeout_s: float | None = None) -> Iterator[JobProgress]:
        """Progress until the job has ended: live where the service streams it, else by asking now and then."""
        watch = Watch(timeout_s)
        while True:
            if watch.can_stream:
                with closing(self._events(watch)) as events:
                    for event in events:
                        progress = watch.see_event(event)
                        if watch.is_over:
                            break
                        if progress is not None:
                            yield progress
                        watch.check_time()
            progress = watch.see_info(self.refresh())
            if self.info.is_final:
                yield watch.latest
                return
            if progress is not None:
                yield progress
            time.sleep(watch.pause())

    def events(self, after: int = 0) -> Iterator[JobEvent]:
        """The job's history from after an event's id, log lines too, as far as one connection brings it."""
        watch = Watch(None)
        watch.last_id = after
        yield from self._events(watch)

    def _events(self, watch: Watch) -> Generator[JobEvent]:
        """Events of one connection; nothing where there is no stream, and an end where it breaks."""
        try:
            with self.client.stream(job_path(self.id, "events"), watch.headers(), watch.timeout()) as response:
                if watch.see_answer(response):
                    yield from decode(response.iter_lines())
        except httpx.TransportError:
            return

    def download(self, out: str | Path, *, overwrite: bool = False) -> Path:
        """Download the result: as a ZIP where ``out`` ends in .zip, else unpacked into that folder."""
        from meshwright.package.staging import check_replaceable, staged_file

        target = Path(out)
        is_folder = target.suffix.lower() != ".zip"
        if is_folder:
            check_replaceable(target.absolute(), overwrite=overwrite)
        archive = target.with_name(f".{target.name}.zip") if is_folder else target
        try:
            with staged_file(archive) as temporary:
                self.client.fetch(job_path(self.id, "download"), temporary)
            if is_folder:
                unpack(archive, target, overwrite=overwrite)
        finally:
            if is_folder:
                archive.unlink(missing_ok=True)
        return target

    def artifact(self, path: str, out: str | Path) -> Path:
        """Download one file of the result, e.g. ``fusion/mesh.glb``."""
        from meshwright.package.staging import staged_file

        with staged_file(out) as temporary:
            self.client.fetch(job_path(self.id, "artifacts", path), temporary)
        return Path(out)

    def cancel(self) -> JobInfo:
        """Stop the job, for good: both steps, the request and its confirmation.

        A running engine has a few seconds to end; `wait` with ``check=False`` waits for that.
        """
        for confirm in (False, True):
            self.client.call(cancel_call(self.id, confirm=confirm))
        return self.refresh()

    def retry(self, options: Mapping[str, Any] | None = None) -> RemoteJob:
        """Run it again on the input it had, with other options where they are given."""
        self.client.call(retry_call(self.id, options))
        self.refresh()
        return self

    def delete(self) -> None:
        """Delete the job's files."""
        self.client.call(Call("DELETE", job_path(self.id)))
