"""T-51 by numbers: thousands of Range headers against a second reading of RFC 9110, some of them over a socket."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise
from pathlib import Path

from meshwright.service.artifacts.ranges import NotSatisfiable, parse_range
from service.http.live import Live, result_folder

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)
Expected = tuple[int, bytes | None]


def expected(header: str) -> Expected:
    """Status and content for one header, read character by character and not with the product's expression."""
    whole: Expected = (200, CONTENT)
    unit, equals, rest = header.partition("=")
    first, dash, last = (part.strip(" ") for part in rest.partition("-"))
    if (unit, equals, dash) != ("bytes", "=", "-") or any(c not in "0123456789" for c in first + last):
        return whole
    if (not first and not last) or max(len(first), len(last)) > 18:
        return whole
    if not first:
        return (206, CONTENT[-min(int(last), SIZE) :]) if int(last) else (416, None)
    if last and int(last) < int(first):
        return whole
    start, end = int(first), int(last) + 1 if last else SIZE
    return (206, CONTENT[start:end]) if start < SIZE else (416, None)


def some_header(rng: random.Random) -> str:
    """A header that is a range, almost one, or none."""

    def number() -> str:
        return rng.choice(["", "0", str(SIZE - 1), str(SIZE), str(SIZE + 1), "9" * rng.randint(1, 25)]) or (
            str(rng.randint(0, SIZE)) if rng.random() < 0.8 else ""
        )

    form = rng.choice(["bytes={}-{}"] * 8 + ["bytes={}-{},0-1", "lines={}-{}", "bytes {}-{}", "bytes=-{}-{}", "={}{}"])
    text = form.format(number(), number())
    if rng.random() < 0.2:  # one character is another one
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice("0-,= xZ.+") + text[at + 1 :]
    return text.strip()


def test_ten_thousand_ranges_are_read_as_the_standard_says() -> None:
    rng = random.Random(51)
    seen: set[int] = set()
    for _ in range(10_000):
        header = some_header(rng)
        status, content = expected(header)
        seen.add(status)
        try:
            span = parse_range(header, SIZE)
        except NotSatisfiable:
            assert status == 416, header
            continue
        found: Expected = (200, CONTENT) if span is None else (206, CONTENT[span.start : span.end])
        assert found == (status, content), header
    assert seen == {200, 206, 416}


def test_hundreds_of_ranges_come_over_the_socket_as_they_were_read(server: Live, tmp_path: Path) -> None:
    rng = random.Random(52)
    job_id = server.submitted()
    server.complete(job_id, result_folder(tmp_path / "package"))
    path = f"/v1/jobs/{job_id}/artifacts/fusion/mesh.glb"
    for _ in range(300):
        header = some_header(rng)
        status, content = expected(header)
        answer = server.client.get(path, headers={"Range": header})
        assert answer.status_code == status, header
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert content is None or answer.content == content, header


def test_random_splits_put_together_have_the_hash_of_the_whole(server: Live, tmp_path: Path) -> None:
    rng = random.Random(53)
    job_id = server.submitted()
    server.complete(job_id, result_folder(tmp_path / "package"))
    path = f"/v1/jobs/{job_id}/artifacts/fusion/mesh.glb"
    for _ in range(10):
        edges = [0, *sorted(rng.sample(range(1, SIZE), rng.randint(1, 8))), SIZE]
        digest = hashlib.sha256()
        for start, end in pairwise(edges):
            digest.update(server.client.get(path, headers={"Range": f"bytes={start}-{end - 1}"}).content)
        assert server.client.get(path).headers["etag"] == f'"{digest.hexdigest()}"'
