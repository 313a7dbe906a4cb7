"""The client against a server that fails as networks do: nothing is done twice, nothing is given up early."""

from __future__ import annotations

import asyncio
import email
import inspect
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import meshwright.errors as errors
from meshwright.client import AsyncClient, Client, JobProgress, Retry
from meshwright.client.aio_job import AsyncRemoteJob
from meshwright.client.errors import error_of
from meshwright.client.job import RemoteJob
from meshwright.client.models import Fault
from meshwright.client.sse import Decoder
from meshwright.client.watch import Watch
from meshwright.errors import InputError, JobNotFound, MeshwrightError, RateLimited, ServiceError

from .conftest import Server
from .scripts import answers, breaks, job, refuses, streams

FAST = Retry(tries=3, first_pause_s=0.001)


class Both:
    """One way to call either client: a test written once holds for both."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, url: str, work: Callable[[Any], Any], key: str | None = None) -> Any:
        """What ``work(client)`` gives; generators and coroutines are run to their end."""
        if self.kind == "sync":
            with Client(url, key, retry=FAST) as client:
                found = work(client)
                return list(found) if inspect.isgenerator(found) else found

        async def run() -> Any:
            async with AsyncClient(url, key, retry=FAST) as client:
                found = work(client)
                return [x async for x in found] if inspect.isasyncgen(found) else await found

        return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHWRIGHT_API_KEY", raising=False)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    folder = tmp_path / "capture"
    (folder / "multi_views").mkdir(parents=True)
    (folder / "multi_views" / "front.png").write_bytes(b"png" * 100)
    (folder / "cameras.json").write_text("{}")
    (folder / ".DS_Store").write_text("junk")
    (folder / "old.zip").write_text("not of the capture")
    return folder


def sent_form(server: Server, index: int = 0) -> dict[str, bytes]:
    """The fields of a multipart body."""
    _, _, headers, body = server.seen[index]
    message = email.message_from_bytes(b"Content-Type: " + headers["content-type"].encode() + b"\n\n" + body)
    parts = message.get_payload()
    return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}  # type: ignore[union-attr,misc]


def test_both_clients_offer_the_same() -> None:
    for one, other in ((Client, AsyncClient), (RemoteJob, AsyncRemoteJob)):
        public = {name for name in dir(one) if not name.startswith("_")}
        assert public == {name for name in dir(other) if not name.startswith("_")}
        for name in public:
            if inspect.isfunction(getattr(one, name)):
                ours, theirs = (list(inspect.signature(getattr(kind, name)).parameters) for kind in (one, other))
                assert ours == theirs


def test_a_folder_is_sent_as_one_zip_of_what_a_capture_holds(use: Both, server: Server, capture: Path) -> None:
    server.steps = [answers(202, {"job_id": "J", "status": "queued", "model_type": "fusion"})]
    found = use(
        server.url,
        lambda c: c.submit(capture, engine="fusion", options={"faces": 5}, name="n", cache=True, deadline_s=60),
    )
    assert (found.id, found.status, found.info.engine) == ("J", "queued", "fusion")
    form = sent_form(server)
    assert zipfile.ZipFile(io.BytesIO(form.pop("archive"))).namelist() == ["cameras.json", "multi_views/front.png"]
    assert json.loads(form.pop("options")) == {"faces": 5}
    assert form == {"model_type": b"fusion", "name": b"n", "cache": b"true", "deadline_s": b"60"}


def test_a_zip_is_sent_as_it_is(use: Both, server: Server, tmp_path: Path) -> None:
    server.steps = [answers(202, {"job_id": "J", "status": "queued"})]
    (tmp_path / "c.zip").write_bytes(b"zip bytes")
    use(server.url, lambda c: c.submit(tmp_path / "c.zip"))
    assert sent_form(server)["archive"] == b"zip bytes"


def test_a_submission_is_repeated_under_one_key_and_with_all_its_bytes(
    use: Both, server: Server, capture: Path
) -> None:
    server.steps = [breaks(), answers(503), refuses(429, "RATE_LIMITED", "rate", Retry_After="0"),
                    answers(202, {"job_id": "J", "status": "queued"})]  # fmt: skip
    assert use(server.url, lambda c: c.submit(capture)).id == "J"
    assert len({headers["idempotency-key"] for _, _, headers, _ in server.seen}) == 1
    archives = {sent_form(server, i)["archive"] for i in range(4)}
    assert len(archives) == 1
    assert len(archives.pop()) > 300


def test_two_submissions_have_two_keys(use: Both, server: Server, capture: Path) -> None:
    server.steps = [answers(202, {"job_id": "J", "status": "queued"})]
    for _ in range(2):
        use(server.url, lambda c: c.submit(capture))
    assert len({headers["idempotency-key"] for _, _, headers, _ in server.seen}) == 2


def test_what_could_be_done_twice_is_not_repeated_after_a_broken_link(use: Both, server: Server) -> None:
    server.steps = [job("failed"), breaks()]
    with pytest.raises(ServiceError) as caught:
        use(server.url, lambda c: _retry_job(c))
    assert caught.value.reason == "service_unreachable"
    assert [method for method, *_ in server.seen] == ["GET", "POST"]


def _retry_job(client: Client | AsyncClient) -> Any:
    if isinstance(client, Client):
        return client.job("J").retry()

    async def run() -> Any:
        return await (await client.job("J")).retry()

    return run()


def test_a_service_that_is_not_there_is_an_error_of_ours(use: Both) -> None:
    with pytest.raises(ServiceError) as caught:
        use("http://127.0.0.1:9", lambda c: c.health())
    assert caught.value.reason == "service_unreachable"


@pytest.mark.parametrize(("code", "status"), [("ENGINE_UNAVAILABLE", 503), ("UNAUTHORIZED", 401), ("DISK_FULL", 507)])
def test_an_answer_that_stands_is_not_asked_for_again(use: Both, server: Server, code: str, status: int) -> None:
    server.steps = [refuses(status, code)]
    with pytest.raises(MeshwrightError) as caught:
        use(server.url, lambda c: c.health())
    assert caught.value.code == code
    assert len(server.seen) == 1


def test_a_full_quota_is_not_asked_for_again_and_a_long_wait_is_left_to_the_caller(use: Both, server: Server) -> None:
    for step in (
        refuses(429, "RATE_LIMITED", "storage_quota"),
        refuses(429, "RATE_LIMITED", "rate", Retry_After="900"),
    ):
        server.steps, before = [step], len(server.seen)
        with pytest.raises(RateLimited):
            use(server.url, lambda c: c.health())
        assert len(server.seen) == before + 1


def codes() -> dict[str, type[MeshwrightError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MeshwrightError)]
    return {kind.code: kind for kind in kinds if kind.code != "UNKNOWN_ERROR"}


@pytest.mark.parametrize("code", sorted(codes()))
def test_every_code_comes_back_as_the_class_that_raised_it(code: str) -> None:
    error = error_of(Fault(code=code, message="m", details={"reason": "r", "message": 1}, suggestion="s"))
    assert type(error) is codes()[code]
    assert error.to_json()["error"] == {
        "code": code, "message": "m", "details": {"reason": "r", "message": 1}, "suggestion": "s",
    }  # fmt: skip


def test_a_code_of_a_newer_service_is_kept() -> None:
    error = error_of(Fault(code="BRAND_NEW", message="m"))
    assert type(error) is ServiceError
    assert error.details == {"code": "BRAND_NEW"}


def test_errors_carry_the_status_and_the_requests_id(use: Both, server: Server) -> None:
    server.steps = [refuses(404, "JOB_NOT_FOUND", X_Request_ID="abc")]
    with pytest.raises(JobNotFound) as caught:
        use(server.url, lambda c: c.job("nothing"))
    assert (caught.value.details["http_status"], caught.value.details["request_id"]) == (404, "abc")
    assert caught.value.suggestion == "Do this."


def test_a_page_of_a_proxy_is_said_to_be_no_answer_of_ours(use: Both, server: Server) -> None:
    server.steps = [answers(404, b"<html>")]
    with pytest.raises(ServiceError) as caught:
        use(server.url, lambda c: c.health())
    assert caught.value.reason == "answer_unknown"


def test_a_redirect_does_not_carry_the_key_away(use: Both, server: Server) -> None:
    server.steps = [answers(307, Location="http://127.0.0.1:9/")]
    with pytest.raises(ServiceError):
        use(server.url, lambda c: c.health(), key="mw_key")
    assert [headers["authorization"] for _, _, headers, _ in server.seen] == ["Bearer mw_key"]


def test_the_key_is_taken_from_the_environment_and_shown_nowhere(
    use: Both, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHWRIGHT_API_KEY", "mw_canary")
    server.steps = [answers(200, {})]
    shown = repr(use(server.url, lambda c: c.health())) + use(server.url, _shown)
    assert "canary" not in shown
    assert server.seen[0][2]["authorization"] == "Bearer mw_canary"


def _shown(client: Any) -> Any:
    if isinstance(client, Client):
        return repr(client)

    async def run() -> str:
        return repr(client)

    return run()


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://", "http://user:pw@host", "http://[::1"])
def test_what_is_no_url_of_a_service_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InputError) as caught:
            kind(url)
        assert caught.value.reason == "url"


def test_a_path_before_the_service_is_kept(use: Both, server: Server) -> None:
    server.steps = [answers(200, {})]
    use(f"{server.url}/meshes/", lambda c: c.health())
    assert server.seen[0][1] == "/meshes/v1/health"


def test_a_listing_is_fetched_page_by_page(use: Both, server: Server) -> None:
    page = {"jobs": [{"job_id": "A", "status": "failed"}, {"job_id": "B", "status": "failed"}], "next_cursor": "x y"}
    server.steps = [answers(200, page), answers(200, {"jobs": [{"job_id": "C", "status": "failed"}]})]
    found = use(server.url, lambda c: c.jobs(status=["failed", "cancelled"], name="n"))
    assert [job.id for job in found] == ["A", "B", "C"]
    assert server.seen[0][1] == "/v1/jobs?status=failed&status=cancelled&name=n&limit=50"
    assert "cursor=x+y" in server.seen[1][1] or "cursor=x%20y" in server.seen[1][1]


def wait(said: list[JobProgress], **more: Any) -> Callable[[Any], Any]:
    """Wait for job J with either client."""

    def work(client: Any) -> Any:
        if isinstance(client, Client):
            return RemoteJob(client, _queued()).wait(said.append, **more)
        return AsyncRemoteJob(client, _queued()).wait(said.append, **more)

    return work


def _queued() -> Any:
    from meshwright.client import JobInfo

    return JobInfo(id="J", status="queued")


def test_waiting_follows_the_stream_from_where_it_broke(use: Both, server: Server) -> None:
    server.steps = [
        streams((1, "status", {"status": "processing"}), (2, "progress", {"stage": "fuse", "fraction": 0.5})),
        job("processing", fraction=0.4),  # an older view must not take the progress back
        streams((3, "log", {"line": "hello"}), (4, "status", {"status": "completed"})),
        job("completed", fraction=1.0, verdict="normal"),
    ]
    said: list[JobProgress] = []
    found = use(server.url, wait(said))
    assert (found.status, found.verdict) == ("completed", "normal")
    fractions = [progress.fraction for progress in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert server.seen[2][2]["last-event-id"] == "2"


def test_waiting_asks_now_and_then_where_there_is_no_stream(use: Both, server: Server) -> None:
    server.steps = [answers(404), job("queued", queue_position=2), job("processing", progress=30), job("completed")]
    said: list[JobProgress] = []
    use(server.url, wait(said))
    assert [path for _, path, _, _ in server.seen].count("/v1/jobs/J/events") == 1
    assert [(p.status, p.queue_position) for p in said] == [("queued", 2), ("processing", None), ("completed", None)]


def test_a_failed_job_raises_its_own_error(use: Both, server: Server) -> None:
    error = {"code": "MODEL_OOM", "message": "too big", "details": {"reason": "x"}, "suggestion": "Use fewer."}
    server.steps = [answers(404), job("failed", error=error)]
    with pytest.raises(errors.ModelOutOfMemory) as caught:
        use(server.url, wait([]))
    assert (caught.value.reason, caught.value.suggestion) == ("x", "Use fewer.")
    server.seen.clear()
    assert use(server.url, wait([], check=False)).status == "failed"


def test_a_cancelled_job_raises_cancelled(use: Both, server: Server) -> None:
    server.steps = [answers(404), job("cancelled")]
    with pytest.raises(errors.Cancelled):
        use(server.url, wait([]))


def test_waiting_ends_in_its_time(use: Both, server: Server) -> None:
    server.steps = [answers(404), job("processing")]
    with pytest.raises(ServiceError) as caught:
        use(server.url, wait([], timeout_s=0.1))
    assert caught.value.reason == "wait_timeout"


def fetch(target: Path) -> Callable[[Any], Any]:
    """Download /file with either client."""
    return lambda client: client.fetch("/file", target)


def test_a_download_goes_on_where_the_link_broke(use: Both, server: Server, tmp_path: Path) -> None:
    whole = bytes(range(250)) * 4
    server.steps = [
        breaks(whole[:400], ETag='"a"'),
        breaks(whole[400:700], 206, 600, Content_Range="bytes 400-999/1000"),
        answers(206, whole[700:], Content_Range="bytes 700-999/1000"),
    ]
    use(server.url, fetch(tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == whole
    assert [(h.get("range"), h.get("if-range")) for _, _, h, _ in server.seen] == [
        (None, None), ("bytes=400-", '"a"'), ("bytes=700-", '"a"'),
    ]  # fmt: skip


def test_a_download_starts_anew_when_the_file_has_changed(use: Both, server: Server, tmp_path: Path) -> None:
    server.steps = [breaks(b"old" * 100, ETag='"a"'), answers(200, b"new" * 300, ETag='"b"')]
    use(server.url, fetch(tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == b"new" * 300


def test_a_download_without_a_strong_tag_starts_anew(use: Both, server: Server, tmp_path: Path) -> None:
    server.steps = [breaks(b"x" * 100, ETag='W/"a"'), answers(200, b"y" * 1000)]
    use(server.url, fetch(tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == b"y" * 1000
    assert "range" not in server.seen[1][2]


def test_a_download_that_never_ends_well_leaves_nothing(use: Both, server: Server, tmp_path: Path) -> None:
    server.steps = [breaks()]

    def work(client: Any) -> Any:
        kind: Any = AsyncRemoteJob if use.kind == "async" else RemoteJob
        return kind(client, _queued()).download(tmp_path / "r.zip")

    with pytest.raises(ServiceError):
        use(server.url, work)
    assert list(tmp_path.iterdir()) == []


@given(st.text(), st.integers(1, 10**9))
def test_an_event_is_read_back_from_its_lines(text: str, number: int) -> None:
    decoder = Decoder()
    lines = [": comment", f"id: {number}", "event: log", f"data: {json.dumps({'line': text})}"]
    assert [decoder.feed(line) for line in lines] == [None] * 4
    event = decoder.feed("")
    assert event is not None
    assert (event.id, event.kind, event.data) == (number, "log", {"line": text})


@given(st.lists(st.text(max_size=20)))
def test_no_line_stops_the_decoder(lines: list[str]) -> None:
    decoder = Decoder()
    for line in lines:
        decoder.feed(line)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_progress_never_goes_back(fractions: list[float]) -> None:
    from meshwright.client import JobEvent

    watch, last = Watch(None), 0.0
    for number, fraction in enumerate(fractions, 1):
        watch.see_event(JobEvent(id=number, kind="progress", data={"stage": "s", "fraction": fraction}))
        assert watch.latest.fraction >= last
        last = watch.latest.fraction


@pytest.mark.parametrize("path", ["missing", "."])
def test_nothing_to_send_is_an_error_before_any_request(tmp_path: Path, path: str) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(InputError):
        client.submit(tmp_path / path)
