"""Downloads: conditions, ranges, and bytes that are checked before they are given out (T-12, T-29, T-51)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.service.artifacts.ranges import NotSatisfiable, Span, parse_range
from service.http.live import Live, code_of, live, result_folder

CONTENT = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Live, str]]:
    """A server with a completed job, and the path of its largest artifact."""
    with live(tmp_path_factory.mktemp("done")) as server:
        job_id = server.submitted()
        server.complete(job_id, result_folder(tmp_path_factory.mktemp("package") / "x"))
        yield server, f"/v1/jobs/{job_id}/artifacts/fusion/mesh.glb"


def test_a_file_comes_with_its_type_tag_and_name(done: tuple[Live, str]) -> None:
    server, path = done
    answer = server.client.get(path)
    assert answer.content == CONTENT
    assert answer.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["content-type"] == "model/gltf-binary"
    assert answer.headers["content-disposition"] == 'attachment; filename="mesh.glb"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["accept-ranges"] == "bytes"


def test_the_zip_is_named_after_the_job(done: tuple[Live, str]) -> None:
    server, path = done
    job_id = path.split("/")[3]
    answer = server.client.get(f"/jobs/{job_id}/download")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.zip"'
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_head_says_the_same_without_the_bytes(done: tuple[Live, str]) -> None:
    server, path = done
    for url in (path, f"/jobs/{path.split('/')[3]}/download"):
        full, asked = server.client.get(url), server.client.head(url)
        for name in ("etag", "content-length", "content-type", "accept-ranges", "content-disposition"):
            assert full.headers[name] == asked.headers[name]
        assert (asked.status_code, asked.content) == (200, b"")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, len(CONTENT)),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT)),
        ("bytes=5-999999", 5, len(CONTENT)),
        ("bytes=-999999", 0, len(CONTENT)),
        (f"bytes={len(CONTENT) - 1}-", len(CONTENT) - 1, len(CONTENT)),
    ],
)
def test_one_range_is_206(done: tuple[Live, str], header: str, start: int, end: int) -> None:
    server, path = done
    answer = server.client.get(path, headers={"Range": header})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "header", ["bytes=0-1,3-4", "lines=1-2", "bytes=9-2", "bytes=-", "bytes=a-b", "bytes=1-2-3", "x"]
)
def test_other_ranges_give_the_whole_file(done: tuple[Live, str], header: str) -> None:
    server, path = done
    answer = server.client.get(path, headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("header", [f"bytes={len(CONTENT)}-", "bytes=999999-", "bytes=-0"])
def test_a_range_outside_is_416(done: tuple[Live, str], header: str) -> None:
    server, path = done
    answer = server.client.get(path, headers={"Range": header})
    assert (answer.status_code, code_of(answer)) == (416, "VALIDATION_FAILED")
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_a_file_that_is_known_is_304(done: tuple[Live, str]) -> None:
    server, path = done
    etag = server.client.get(path).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = server.client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert server.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_download_is_resumed_only_on_the_same_file(done: tuple[Live, str]) -> None:
    server, path = done
    etag = server.client.get(path).headers["etag"]
    headers = {"Range": "bytes=100-"}
    assert server.client.get(path, headers={**headers, "If-Range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        assert server.client.get(path, headers={**headers, "If-Range": other}).content == CONTENT
    assert server.client.get(path, headers={"If-Match": etag}).status_code == 200
    answer = server.client.get(path, headers={"If-Match": '"other"'})
    assert (answer.status_code, code_of(answer)) == (412, "VALIDATION_FAILED")


def test_curl_resumes_where_it_stopped(done: tuple[Live, str], tmp_path: Path) -> None:
    server, path = done
    out = tmp_path / "mesh.glb"
    out.write_bytes(CONTENT[:3000])
    server.curl("-C", "-", "-o", str(out), path=path)
    assert out.read_bytes() == CONTENT


@given(cuts=st.lists(st.integers(1, len(CONTENT) - 1), max_size=8, unique=True))
def test_ranges_put_together_are_the_file(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(CONTENT)]
    spans = [parse_range(f"bytes={a}-{b - 1}", len(CONTENT)) for a, b in pairwise(edges)]
    assert b"".join(CONTENT[span.start : span.end] for span in spans if span) == CONTENT


@given(
    text=st.text(max_size=40) | st.from_regex(r"bytes=\d{0,20}-\d{0,20}(,\d*-\d*)?", fullmatch=True),
    total=st.integers(0, 10**6),
)
def test_whatever_is_asked_the_answer_lies_in_the_file(text: str, total: int) -> None:
    try:
        span = parse_range(text, total)
    except NotSatisfiable:
        return
    assert span is None or 0 <= span.start < span.end <= total


def test_a_span_knows_its_size() -> None:
    assert Span(3, 10).size == 7


def test_damaged_bytes_are_not_given_out(server: Live, tmp_path: Path) -> None:
    job_id = server.submitted()
    job = server.complete(job_id, result_folder(tmp_path / "package"))
    path = server.service.store.local_path(f"{job.result_prefix}/fusion/mesh.glb")
    assert path is not None
    path.write_bytes(CONTENT[:-1] + b"?")
    answer = server.client.get(f"/jobs/{job_id}/artifacts/fusion/mesh.glb")
    assert (answer.status_code, code_of(answer)) == (500, "INCOMPLETE_RESULTS")
    path.unlink()
    answer = server.client.get(f"/jobs/{job_id}/artifacts/fusion/mesh.glb")
    assert answer.json()["error"]["details"]["reason"] == "result_missing"


def test_a_download_outlives_the_deletion_of_its_job(server: Live, tmp_path: Path) -> None:
    package = result_folder(tmp_path / "package")
    large = bytes(24 * 2**20)
    (package / "fusion" / "mesh.ply").write_bytes(large)
    job_id = server.submitted()
    server.complete(job_id, package)
    count = 0
    with server.client.stream("GET", f"/jobs/{job_id}/artifacts/fusion/mesh.ply") as answer:
        pieces = answer.iter_bytes(65536)
        count += len(next(pieces))
        assert server.client.delete(f"/jobs/{job_id}").status_code == 200
        server.service.store.delete_prefix(f"jobs/{job_id}")
        count += sum(len(piece) for piece in pieces)
    assert count == len(large)
    assert server.client.get(f"/jobs/{job_id}/download").status_code == 410


def test_the_list_gives_urls_that_work(done: tuple[Live, str]) -> None:
    server, path = done
    job_id = path.split("/")[3]
    for prefix in ("", "/v1"):
        listed = server.client.get(f"{prefix}/jobs/{job_id}/artifacts").json()["artifacts"]
        assert {entry["path"] for entry in listed} == {
            "fusion/mesh.glb", "fusion/texture.png", "manifest.json", "result.zip",
        }  # fmt: skip
        for entry in listed:
            data = server.client.get(entry["url"]).content
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["size"], entry["sha256"])
            assert re.match(prefix + "/jobs/", entry["url"])
