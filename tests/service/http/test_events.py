"""The event stream: everything once, in order, from any point on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meshwright.service.jobs.job import Progress
from service.http.live import Live, code_of, reason_of, result_folder


def parse(text: str) -> list[tuple[int, str, dict[str, object]]]:
    """Ids, kinds and data of the events in a stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith((":", "retry")))
        if fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def finished(server: Live, folder: Path) -> str:
    """A job with a history."""
    job_id = server.submitted()
    job = server.claim(job_id)
    for fraction in (0.1, 0.5, 0.3):
        progress = Progress("fusion/fuse", fraction, "carving", eta_s=float("nan"))
        server.service.repository.heartbeat(job_id, job.attempt, "hand", progress)
    server.service.repository.log(job_id, job.attempt, "a line\nwith a break and \x1b[31m")
    server.service.repository.release(job_id, job.attempt)
    server.complete(job_id, result_folder(folder))
    return job_id


def test_a_finished_job_is_replayed_and_the_stream_ends(server: Live, tmp_path: Path) -> None:
    answer = server.client.get(f"/v1/jobs/{finished(server, tmp_path / 'p')}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parse(answer.text)
    ids = [event[0] for event in events]
    assert ids == sorted(set(ids))
    statuses = [data["status"] for _, kind, data in events if kind == "status"]
    assert statuses == ["queued", "processing", "queued", "processing", "completed"]
    fractions = [data["fraction"] for _, kind, data in events if kind == "progress"]
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    assert [kind for _, kind, _ in events].count("log") == 1
    assert "NaN" not in answer.text


def test_a_stream_is_resumed_after_any_event(server: Live, tmp_path: Path) -> None:
    path = f"/jobs/{finished(server, tmp_path / 'p')}/events"
    events = parse(server.client.get(path).text)
    for index, (event_id, _, _) in enumerate(events[:-1]):
        resumed = server.client.get(path, headers={"Last-Event-ID": str(event_id)})
        assert parse(resumed.text) == events[index + 1 :]
        assert parse(server.client.get(path, params={"after": event_id}).text) == events[index + 1 :]
    assert server.client.get(path, headers={"Last-Event-ID": str(events[-1][0])}).status_code == 204


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30, ""])
def test_what_is_no_event_id_is_422(server: Live, value: str) -> None:
    answer = server.client.get(f"/jobs/{server.submitted()}/events", headers={"Last-Event-ID": value})
    assert (answer.status_code, reason_of(answer)) == (422, "event_id")


def test_events_come_as_they_happen(server: Live, tmp_path: Path) -> None:
    job_id = server.submitted()
    package = result_folder(tmp_path / "package")
    seen: list[tuple[str, float]] = []
    done_at = 0.0
    with server.client.stream("GET", f"/jobs/{job_id}/events") as answer:
        lines = answer.iter_lines()
        for line in lines:
            if line.startswith("data"):
                break
        worker = threading.Thread(target=server.complete, args=(job_id, package))
        worker.start()
        worker.join()
        done_at = time.monotonic()
        seen = [(json.loads(line[6:])["status"], time.monotonic()) for line in lines if line.startswith("data")]
    assert [status for status, _ in seen] == ["processing", "completed"]
    assert seen[-1][1] - done_at < 2


def test_without_following_the_stream_ends_at_once(server: Live) -> None:
    answer = server.client.get(f"/jobs/{server.submitted()}/events", params={"follow": "false"})
    assert [event[2]["status"] for event in parse(answer.text)] == ["queued"]


def test_streams_are_limited_and_given_back(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = server.submitted()
    monkeypatch.setattr(server.service.streams, "limit", 1)
    with server.client.stream("GET", f"/jobs/{job_id}/events"):
        answer = server.client.get(f"/jobs/{job_id}/events")
        assert (answer.status_code, code_of(answer)) == (429, "RATE_LIMITED")
    until = time.monotonic() + 5
    while server.service.streams.total and time.monotonic() < until:
        time.sleep(0.02)
    assert server.service.streams.total == 0


def test_a_server_that_stops_ends_its_streams(serve: Callable[..., Live]) -> None:
    server = serve()
    with server.client.stream("GET", f"/jobs/{server.submitted()}/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        began = time.monotonic()
        server.service.draining.set()
        list(lines)
    assert time.monotonic() - began < 2
