"""Every error has one form, whoever made it, and tells nothing of the inside."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from meshwright import errors
from meshwright.service.http.errors import BY_CODE, status_of
from service.http.live import Live, code_of, reason_of

Serve = Callable[..., Live]


def codes(kind: type[errors.MeshwrightError]) -> set[str]:
    return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize(
    "path", ["/", "/v2/jobs", "/v1", "/job", "/jobs/a/b/c", "/v1/jobs/x/y/z", "/openapi.yaml", "/%00"]
)
def test_an_unknown_route_is_404_in_our_form(server: Live, path: str) -> None:
    answer = server.client.get(path)
    assert (answer.status_code, reason_of(answer)) == (404, "route_unknown")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/jobs", {"GET", "POST"}),
        ("DELETE", "/health", {"GET", "HEAD"}),
        ("GET", "/validate", {"POST"}),
        ("OPTIONS", "/v1/jobs", {"GET", "POST"}),
        ("TRACE", "/jobs", {"GET", "POST"}),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(
    server: Live, method: str, path: str, allowed: set[str]
) -> None:
    answer = server.client.request(method, path)
    assert (answer.status_code, reason_of(answer)) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1e9", "status=done", "verdict=good", "name=" + "x" * 300]
)
def test_a_wrong_parameter_is_422_in_our_form(server: Live, query: str) -> None:
    answer = server.client.get(f"/jobs?{query}")
    assert (answer.status_code, reason_of(answer)) == (422, "bad_parameter")


def test_an_unexpected_fault_tells_nothing_of_the_inside(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    server = serve(log_level="error")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret inside")

    object.__setattr__(server.service, "repository", type("Broken", (), {"get": broken, "list": broken})())
    answer = server.client.get("/v1/jobs", headers={"X-Request-ID": "trace-42"})
    assert (answer.status_code, code_of(answer)) == (500, "UNKNOWN_ERROR")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "trace-42"
    logged = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert any(line["request_id"] == "trace-42" and "secret inside" in line["exception"] for line in logged)


def test_a_database_that_is_busy_is_503_and_to_be_tried_again(serve: Serve) -> None:
    server = serve()
    job_id = server.submitted()
    object.__setattr__(server.service.database, "_busy_s", 0.05)
    assert server.service.database._writing.acquire()
    try:
        answer = server.client.delete(f"/jobs/{job_id}")
        assert server.client.get(f"/jobs/{job_id}").status_code == 200  # reading goes on
    finally:
        server.service.database._writing.release()
    assert (answer.status_code, reason_of(answer)) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert server.client.delete(f"/jobs/{job_id}").status_code == 200


def test_errors_and_answers_carry_the_same_headers(server: Live) -> None:
    for path in ("/health", "/nope", "/jobs/x"):
        headers = server.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_a_request_id_is_the_clients_where_it_can_be(server: Live) -> None:
    assert server.client.get("/health", headers={"X-Request-ID": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for bad in ("", "a b", "x" * 65, "<script>", "-x"):
        assert server.client.get("/health", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


def test_answers_say_how_many_requests_are_left(server: Live) -> None:
    headers = server.client.get("/jobs").headers
    assert int(headers["ratelimit-remaining"]) < int(headers["ratelimit-limit"])


def test_every_code_has_a_status() -> None:
    known = codes(errors.MeshwrightError)
    assert set(BY_CODE) <= known
    for kind in (errors.FileTooLarge, errors.JobNotFound, errors.DiskFull, errors.RateLimited):
        assert 400 <= status_of(kind("x")) < 600
    assert status_of(errors.MeshwrightError("x")) == 500


def test_a_page_of_another_site_is_refused_where_the_service_runs_open(server: Live) -> None:
    answer = server.client.get("/jobs", headers={"Origin": "https://evil.example"})
    assert (answer.status_code, code_of(answer)) == (403, "FORBIDDEN")
    answer = server.client.get("/jobs", headers={"Host": "rebound.example"})
    assert (answer.status_code, code_of(answer)) == (403, "FORBIDDEN")


def test_with_a_key_every_route_but_health_asks_for_it(serve: Serve) -> None:
    server = serve()
    job_id = server.submitted()
    keys = server.app.state.access.keys
    _, reader = keys.create(tenant="b", scopes=["read"])
    server.app.state.access.lookup._any = None
    document = server.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method in operations:
            url = path.replace("{job_id}", job_id).replace("{path}", "x").replace("{delivery_id}", "msg_x")
            answer = server.client.request(method.upper(), url)
            if path.rsplit("/", 1)[-1] in ("health", "ready"):
                assert answer.status_code == 200
                continue
            assert (answer.status_code, code_of(answer)) == (401, "UNAUTHORIZED"), (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            headers = {"Authorization": f"Bearer {reader.reveal()}"}
            with_key = server.client.request(method.upper(), url, headers=headers)
            is_open = with_key.status_code in (200, 404) and "{job_id}" not in path
            assert is_open or with_key.status_code in (403, 404), (method, path, with_key.status_code)
