"""The table of answers of the contract, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.service.jobs.job import new_job_id
from service.http.live import Live, code_of, reason_of, result_folder

PREFIXES = ("", "/v1")
ROUTES = (
    ("GET", ""),
    ("DELETE", ""),
    ("POST", "/cancel"),
    ("POST", "/retry"),
    ("PUT", "/pin"),
    ("DELETE", "/pin"),
    ("GET", "/download"),
    ("HEAD", "/download"),
    ("GET", "/artifacts"),
    ("GET", "/artifacts/fusion/mesh.glb"),
    ("GET", "/events"),
    ("GET", "/deliveries"),
    ("POST", "/deliveries/msg_x/replay"),
)
NO_IDS = (
    "x", "0" * 21, "0" * 23, "a" * 4096, "....................", "%00" * 22, "%e2%80%ae" * 22, "a" * 21 + "%0a",
    "a" * 21 + ".", "-" * 22, "'%20OR%201=1%20--aaaaaaa", "%c0%ae%c0%ae%c0%af",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("method", "suffix"), ROUTES)
def test_an_unknown_id_is_404_on_every_route(server: Live, prefix: str, method: str, suffix: str) -> None:
    answer = server.client.request(method, f"{prefix}/jobs/{new_job_id()}{suffix}")
    assert answer.status_code == 404
    assert method == "HEAD" or code_of(answer) == "JOB_NOT_FOUND"


@pytest.mark.parametrize("job_id", NO_IDS)
def test_what_is_no_id_is_404_and_never_a_path(server: Live, job_id: str) -> None:
    for method, suffix in ROUTES:
        answer = server.client.request(method, f"/jobs/{job_id}{suffix}")
        assert answer.status_code == 404, (method, suffix)
        if method != "HEAD":
            code_of(answer)


@pytest.mark.parametrize(
    "path", ["/jobs/..%2f..%2fetc%2fpasswd", "/jobs/%2e%2e/%2e%2e/etc/passwd/download", "/etc/passwd"]
)
def test_a_path_out_of_the_service_is_404(server: Live, path: str) -> None:
    assert "404" in server.curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", path=path)


@pytest.mark.parametrize(
    "path", ["../../../meshwright.db", "fusion/../manifest.json", "/etc/passwd", "fusion", "", "..%2fmanifest.json"]
)
def test_an_artifact_is_one_of_the_list_or_404(server: Live, tmp_path: Path, path: str) -> None:
    job_id = server.submitted()
    server.complete(job_id, result_folder(tmp_path / "package"))
    url = f"/jobs/{job_id}/artifacts/{path}"
    assert server.curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", path=url) == "404"


def test_a_submission_is_200_without_and_202_with_a_version(server: Live) -> None:
    assert server.submit(path="/jobs").status_code == 200
    assert server.submit(path="/jobs/").status_code == 200
    for path in ("/v1/jobs", "/v1/jobs/"):
        answer = server.submit(path=path)
        assert answer.status_code == 202
        job_id = answer.json()["job_id"]
        assert answer.headers["location"] == f"/v1/jobs/{job_id}"
        assert server.client.get(answer.headers["location"]).json()["status"] == "queued"


def test_a_model_that_is_not_named_is_auto(server: Live) -> None:
    assert server.submit().json()["model_type"] == "auto"


@pytest.mark.parametrize("suffix", ["/download", "/artifacts", "/artifacts/fusion/mesh.glb"])
def test_a_job_without_a_result_says_why(server: Live, tmp_path: Path, suffix: str) -> None:
    queued = server.submitted()
    answer = server.client.get(f"/jobs/{queued}{suffix}")
    assert (answer.status_code, code_of(answer)) == (409, "JOB_NOT_READY")
    assert answer.json()["error"]["details"]["progress"] == 0

    job = server.claim(queued)
    answer = server.client.get(f"/jobs/{queued}{suffix}")
    assert (answer.status_code, code_of(answer)) == (409, "JOB_NOT_READY")
    server.service.repository.release(queued, job.attempt)

    server.client.post(f"/jobs/{queued}/cancel")
    assert server.client.post(f"/jobs/{queued}/cancel", json={"confirm": True}).json()["status"] == "cancelled"
    answer = server.client.get(f"/jobs/{queued}{suffix}")
    assert (answer.status_code, code_of(answer)) == (409, "JOB_CANCELLED")

    failed = server.submitted()
    server.fail(failed, "MODEL_VRAM_OOM")
    answer = server.client.get(f"/jobs/{failed}{suffix}")
    assert (answer.status_code, code_of(answer)) == (409, "MODEL_VRAM_OOM")

    deleted = server.submitted()
    server.complete(deleted, result_folder(tmp_path / "package"))
    assert server.client.delete(f"/jobs/{deleted}").json() == {"job_id": deleted, "deleted": True}
    answer = server.client.get(f"/jobs/{deleted}{suffix}")
    assert (answer.status_code, code_of(answer)) == (410, "JOB_EXPIRED")


def test_a_result_of_bad_quality_is_a_result(server: Live, tmp_path: Path) -> None:
    job_id = server.submitted()
    server.complete(job_id, result_folder(tmp_path / "package"), verdict="failure")
    told = server.client.get(f"/jobs/{job_id}").json()
    assert (told["status"], told["verdict"], told["progress"]) == ("completed", "failure", 100)
    assert server.client.get(f"/jobs/{job_id}/download").status_code == 200


def test_a_failed_job_is_failed_and_says_why(server: Live) -> None:
    job_id = server.submitted()
    server.fail(job_id, "MODEL_OOM")
    told = server.client.get(f"/jobs/{job_id}").json()
    assert (told["status"], told["error"]["code"]) == ("failed", "MODEL_OOM")
    assert told["finished_at"] >= told["started_at"] >= told["created_at"]
    assert told["progress"] < 100


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"confirm": false}'])
def test_cancelling_needs_a_confirmation(server: Live, body: bytes | None) -> None:
    job_id = server.submitted()
    answer = server.client.post(f"/jobs/{job_id}/cancel", content=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancel_requested")
    assert server.client.get(f"/jobs/{job_id}").json()["cancel"] == "requested"


def test_a_confirmation_without_a_request_is_400(server: Live) -> None:
    job_id = server.submitted()
    answer = server.client.post(f"/jobs/{job_id}/cancel", json={"confirm": True})
    assert (answer.status_code, reason_of(answer)) == (400, "cancel_not_requested")
    assert code_of(answer) == "VALIDATION_FAILED"


def test_a_finished_job_is_not_cancelled(server: Live) -> None:
    job_id = server.submitted()
    server.fail(job_id)
    for body in ({}, {"confirm": True}):
        answer = server.client.post(f"/jobs/{job_id}/cancel", json=body)
        assert (answer.status_code, code_of(answer)) == (409, "JOB_NOT_READY")


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"confirm": "yes"}', b'{"confirm": NaN}', b'{"confirmed": true}', b"[" * 9000]
)
def test_a_body_that_cannot_be_read_is_422(server: Live, body: bytes) -> None:
    answer = server.client.post(f"/jobs/{server.submitted()}/cancel", content=body)
    assert (answer.status_code, code_of(answer)) == (422, "VALIDATION_FAILED")


def test_a_large_body_of_a_small_route_is_413(server: Live) -> None:
    answer = server.client.post(f"/jobs/{server.submitted()}/cancel", content=b" " * 70_000)
    assert (answer.status_code, code_of(answer)) == (413, "FILE_TOO_LARGE")


def test_a_running_job_is_cancelled_when_its_worker_has_stopped_it(serve: object) -> None:
    server: Live = serve(cancel_grace_s=0.1)  # type: ignore[operator]
    job_id = server.submitted()
    job = server.claim(job_id)
    server.client.post(f"/jobs/{job_id}/cancel")
    told = server.client.post(f"/jobs/{job_id}/cancel", json={"confirm": True}).json()
    assert told["status"] == "cancelling"  # nobody stops it here
    assert server.service.repository.heartbeat(job_id, job.attempt, "hand", None) == "cancel"
    assert server.service.repository.finish_cancelled(job_id, job.attempt)
    assert server.client.get(f"/jobs/{job_id}").json()["status"] == "cancelled"


def test_a_running_job_is_not_deleted(server: Live) -> None:
    job_id = server.submitted()
    server.claim(job_id)
    answer = server.client.delete(f"/jobs/{job_id}")
    assert (answer.status_code, reason_of(answer)) == (409, "still_processing")


def test_a_job_that_is_run_again_counts_on(server: Live) -> None:
    job_id = server.submitted(model_type="fusion")
    server.fail(job_id)
    answer = server.client.post(f"/v1/jobs/{job_id}/retry", json={"options": {"faces": 500}})
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job_id}")
    assert server.claim(job_id).attempt == 2
    assert server.client.get(f"/jobs/{job_id}").json()["options"] == {"faces": 500}
    assert server.client.post(f"/jobs/{job_id}/retry").status_code == 409


def test_a_retry_with_a_wrong_option_is_422(server: Live) -> None:
    job_id = server.submitted(model_type="fusion")
    server.fail(job_id)
    answer = server.client.post(f"/jobs/{job_id}/retry", json={"options": {"facets": 1}})
    assert (answer.status_code, reason_of(answer)) == (422, "bad_option")


def test_a_pinned_job_does_not_expire(server: Live, tmp_path: Path) -> None:
    job_id = server.submitted()
    server.complete(job_id, result_folder(tmp_path / "package"))
    assert server.client.get(f"/jobs/{job_id}").json()["expires_at"] is not None
    assert server.client.put(f"/jobs/{job_id}/pin").json()["expires_at"] is None
    assert server.client.get(f"/jobs/{job_id}").json()["pinned"]
    assert server.client.delete(f"/jobs/{job_id}/pin").json()["expires_at"] is not None
