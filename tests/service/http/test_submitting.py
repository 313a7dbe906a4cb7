"""What a submission may ask for: keys, cache, options, limits of the tenant, batches, lists."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.http.live import Live, capture_zip, code_of, png, reason_of, result_folder, six

Serve = Callable[..., Live]


def test_the_same_key_and_request_give_the_same_job(server: Live) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first, second = (server.submit(headers=headers).json() for _ in range(2))
    assert first["job_id"] == second["job_id"]
    assert len([key for key in server.stored() if first["job_id"] in key]) == 12


def test_the_same_key_with_another_request_is_422(server: Live) -> None:
    headers = {"Idempotency-Key": "key-2"}
    server.submit(headers=headers)
    before = server.stored()
    for changed in ({"data": {"model_type": "fusion"}}, {"files": six(depth=False)}):
        answer = server.submit(headers=headers, **changed)
        assert (answer.status_code, code_of(answer)) == (422, "IDEMPOTENCY_CONFLICT")
    assert server.stored() == before


def test_many_at_once_with_one_key_make_one_job(server: Live) -> None:
    found: list[str] = []
    body = six()

    def send() -> None:
        found.append(server.submit(body, headers={"Idempotency-Key": "key-3"}).json()["job_id"])

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert {key.split("/")[1] for key in server.stored() if key.split("/")[1] in found} == set(found)


@pytest.mark.parametrize("key", ["", "x" * 256, "sch\u00f6n"])
def test_what_cannot_be_a_key_is_422(server: Live, key: str) -> None:
    answer = server.submit(headers={"Idempotency-Key": key.encode("latin-1")})
    assert (answer.status_code, reason_of(answer)) == (422, "idempotency_key")


def test_the_finished_result_of_the_same_bytes_is_given_when_it_is_wanted(server: Live, tmp_path: Path) -> None:
    files = [("archive", ("a.zip", capture_zip({"multi_views/x.png": png(shade=33)})))]
    data = {"model_type": "fusion", "options": '{"faces": 700}'}
    first = server.submit(files, data=data).json()["job_id"]
    assert server.submit(files, data={**data, "cache": "true"}).json()["job_id"] != first  # it is not finished
    server.complete(first, result_folder(tmp_path / "package"))
    again = server.submit(files, data={**data, "cache": "true"}).json()
    assert (again["job_id"], again["cached"], again["status"]) == (first, True, "completed")
    assert server.submit(files, data=data).json()["job_id"] != first
    assert not server.submit(files, data={**data, "options": '{"faces": 800}', "cache": "true"}).json()["cached"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"model_type": "magic"}, "bad_field"),
        ({"model_type": ","}, "bad_field"),
        ({"model_type": "fusion", "options": '{"faces": 1}'}, "bad_option"),
        ({"model_type": "fusion", "options": '{"nope": 1}'}, "bad_option"),
        ({"model_type": "nvdiffrec", "options": '{"checkpoint": "/etc/passwd"}'}, "bad_option"),
        ({"model_type": "nvdiffrec", "options": '{"preview_folder": "/tmp/x"}'}, "bad_option"),
        ({"model_type": "nvdiffrec", "options": '{"preview_every": 1}'}, "bad_option"),
        ({"options": "[1]"}, "json_invalid"),
        ({"options": '{"faces": NaN}'}, "json_not_finite"),
        ({"options": '{"a": ' + "[" * 100 + "]" * 100 + "}"}, "json_too_deep"),
        ({"deadline_s": "-1"}, "bad_field"),
        ({"deadline_s": "nan"}, "bad_field"),
        ({"retention_s": "1e999"}, "bad_field"),
        ({"cache": "perhaps"}, "bad_field"),
        ({"name": "x" * 201}, "bad_field"),
        ({"name": "a\r\nb"}, "bad_field"),
        ({"device": "tpu"}, "bad_field"),
        ({"colour": "red"}, "unknown_field"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url"),
        ({"webhook_url": "https://127.0.0.1/hook"}, "webhook_address"),
        ({"webhook_url": "https://[::ffff:169.254.169.254]/"}, "webhook_address"),
    ],
)
def test_a_value_that_cannot_be_is_422_and_leaves_nothing(server: Live, data: dict[str, str], reason: str) -> None:
    before = server.stored()
    answer = server.submit(data=data)
    assert (answer.status_code, reason_of(answer)) == (422, reason)
    server.settle()
    assert server.stored() == before


def test_a_gpu_that_nobody_has_is_refused(server: Live, serve: Serve) -> None:
    answer = server.submit(data={"device": "cuda"})
    assert (answer.status_code, code_of(answer)) == (503, "GPU_UNAVAILABLE")
    with_gpus = serve(gpu_jobs="on")
    asked = {"fusion": "cpu", "nvdiffrec": "cuda", "auto": "cuda", "both": "cuda"}
    for engine, device in asked.items():
        job_id = with_gpus.submitted(model_type=engine)
        assert with_gpus.service.repository.get(job_id).device == device


def test_deadline_name_and_retention_are_kept(server: Live, tmp_path: Path) -> None:
    job_id = server.submitted(deadline_s="3600", retention_s="120", name="red shoe", model_type="fusion")
    told = server.client.get(f"/jobs/{job_id}").json()
    assert (told["name"], told["deadline_at"] > told["created_at"]) == ("red shoe", True)
    job = server.complete(job_id, result_folder(tmp_path / "package"))
    assert job.expires_at is not None
    assert job.finished_at is not None
    assert (job.expires_at - job.finished_at).total_seconds() == pytest.approx(120, abs=1)


def test_a_full_queue_is_429_and_leaves_nothing(serve: Serve) -> None:
    server = serve(queue_limit=1)
    server.submitted()
    before = server.stored()
    answer = server.submit()
    assert (answer.status_code, reason_of(answer)) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) > 0
    assert server.stored() == before


def test_a_quota_is_429_and_a_full_disk_507(serve: Serve) -> None:
    small = serve(storage_quota_bytes=100)
    answer = small.submit()
    assert (answer.status_code, reason_of(answer)) == (429, "storage_quota")
    full = serve(low_water_bytes=2**60)
    answer = full.submit()
    assert (answer.status_code, code_of(answer)) == (507, "DISK_FULL")
    assert full.client.get("/ready").json()["error"]["details"]["failed"] == ["storage_space", "upload_space"]
    assert full.client.get("/health").status_code == 200
    assert full.stored() == []


def test_submissions_are_counted_by_rate(serve: Serve) -> None:
    server = serve(submits_per_minute=12)  # a bucket of two
    assert [server.submit().status_code for _ in range(2)] == [202, 202]
    answer = server.submit()
    assert (answer.status_code, code_of(answer)) == (429, "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) >= 1


def test_the_list_is_filtered_and_paged(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    ids = [server.submitted(name=f"shoe {i}", model_type="fusion" if i % 2 else "auto") for i in range(5)]
    server.complete(ids[0], result_folder(tmp_path / "package"), verdict="warning")
    server.fail(ids[1])

    def listed(**query: object) -> list[str]:
        return [job["job_id"] for job in server.client.get("/jobs", params=query).json()["jobs"]]  # type: ignore[arg-type]

    assert listed() == ids[::-1]
    assert listed(status="completed") == [ids[0]]
    assert set(listed(status=["completed", "failed"])) == {ids[0], ids[1]}
    assert listed(verdict="warning") == [ids[0]]
    assert listed(engine="fusion") == [ids[3], ids[1]]
    assert listed(name="SHOE 4") == [ids[4]]
    pages, cursor = [], None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = server.client.get("/v1/jobs", params=query).json()
        pages.append([job["job_id"] for job in page["jobs"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job_id for page in pages for job_id in page] == ids[::-1]
    assert reason_of(server.client.get("/jobs", params={"cursor": "nonsense"})) == "cursor_invalid"
    server.client.delete(f"/jobs/{ids[2]}")
    assert ids[2] not in listed()


def test_a_batch_makes_a_job_of_each_archive(server: Live) -> None:
    files = [("archive", (f"{i}.zip", capture_zip({"multi_views/a.png": png(shade=i)}))) for i in (10, 20, 30)]
    headers = {"Idempotency-Key": "batch-1"}
    answer = server.submit(files, "/v1/batches", data={"model_type": "fusion", "name": "set"}, headers=headers)
    told = answer.json()
    assert (answer.status_code, told["accepted"]) == (202, 3)
    assert [item["job"]["name"] for item in told["items"]] == ["set 1", "set 2", "set 3"]
    assert [item["file"] for item in told["items"]] == ["10.zip", "20.zip", "30.zip"]
    again = server.submit(files, "/v1/batches", data={"model_type": "fusion", "name": "set"}, headers=headers).json()
    assert [i["job"]["job_id"] for i in again["items"]] == [i["job"]["job_id"] for i in told["items"]]


def test_a_batch_with_one_bad_archive_is_refused_whole(server: Live) -> None:
    before = server.stored()
    files = [("archive", ("a.zip", capture_zip())), ("archive", ("b.zip", b"PK nonsense"))]
    answer = server.submit(files, "/v1/batches")
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["item"] == 1
    assert server.stored() == before


def test_a_batch_that_fills_the_queue_says_which_were_taken(serve: Serve) -> None:
    server = serve(queue_limit=1)
    files = [("archive", (f"{i}.zip", capture_zip())) for i in range(2)]
    told = server.submit(files, "/v1/batches").json()
    assert told["accepted"] == 1
    assert told["items"][1]["error"]["details"]["reason"] == "queue_full"


def test_the_report_of_a_capture_comes_without_a_job(server: Live) -> None:
    before = server.client.get("/jobs").json()["jobs"]
    answer = server.client.post("/validate?rig=false", files=six())
    told = answer.json()
    assert answer.status_code == 200, answer.text
    assert [view["name"] for view in told["views"]] == ["front", "back", "left", "right", "top", "bottom"]
    assert told["source"] is None
    server.settle()
    assert server.client.get("/jobs").json()["jobs"] == before


def test_a_capture_that_cannot_be_decoded_is_answered_as_by_a_submission(server: Live) -> None:
    cut = png()
    broken = cut.replace(cut[cut.index(b"IDAT") + 4 : cut.index(b"IDAT") + 20], b"\0" * 16)
    files = [("views", ("front.png", broken))]
    answer = server.client.post("/v1/validate?rig=false", files=files)
    assert (answer.status_code, code_of(answer)) == (422, "INVALID_FILE_FORMAT")
    server.settle()


def test_engines_are_listed_with_their_options(server: Live) -> None:
    told = server.client.get("/engines").json()
    fusion = next(engine for engine in told["engines"] if engine["name"] == "fusion")
    faces = next(option for option in fusion["options"] if option["name"] == "faces")
    assert (fusion["available"], faces["type"], faces["minimum"]) == (True, "int", 100)
    assert {"auto", "both"} <= set(told["choices"])
    assert json.dumps(told, allow_nan=False)
