"""Health, readiness and metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from meshwright.service.health.gpu import GpuProbe
from service.http.live import Live, reason_of, result_folder

Serve = Callable[..., Live]


def samples(server: Live) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = server.client.get("/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(server: Live, name: str, **labels: str) -> float:
    return samples(server)[name, frozenset(labels.items())]


def test_no_driver_is_no_gpu() -> None:
    assert GpuProbe("libnothing-of-the-kind.so").gpus() == ()


def test_a_library_that_is_no_driver_is_no_gpu() -> None:
    assert GpuProbe("libc.so.6").gpus() == ()


def test_ready_names_what_is_wrong(serve: Serve) -> None:
    server = serve()
    told = server.client.get("/ready").json()
    assert told["ready"]
    assert {check["name"] for check in told["checks"]} >= {"accepting", "database", "storage", "storage_space"}
    server.service.draining.set()
    answer = server.client.get("/v1/ready")
    assert (answer.status_code, reason_of(answer)) == (503, "not_ready")
    assert answer.json()["error"]["details"]["failed"] == ["accepting"]
    assert answer.json()["ready"] is False
    assert server.client.get("/health").status_code == 200


def test_a_storage_that_cannot_be_written_is_named(serve: Serve) -> None:
    server = serve()
    root = server.settings.data_dir / "storage"
    root.rename(root.with_name("elsewhere"))
    root.write_text("no folder")
    assert server.client.get("/ready").json()["error"]["details"]["failed"] == ["storage"]


def test_a_database_that_is_gone_is_unhealthy(serve: Serve) -> None:
    server = serve()
    with server.service.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE jobs RENAME TO elsewhere")
    answer = server.client.get("/health")
    assert (answer.status_code, reason_of(answer)) == (503, "not_ready")
    assert server.client.get("/ready").json()["error"]["details"]["failed"] == ["database"]
    with server.service.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE elsewhere RENAME TO jobs")
    assert server.client.get("/health").status_code == 200


def test_metrics_count_jobs_requests_and_bytes(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    first = server.submitted(model_type="fusion")
    server.submitted(model_type="fusion")
    server.complete(first, result_folder(tmp_path / "package"))
    assert value(server, "meshwright_jobs", status="queued", device="cpu") == 1
    assert value(server, "meshwright_jobs", status="completed", device="cpu") == 1
    assert value(server, "meshwright_jobs_submitted_total", engine="fusion") == 2
    assert value(server, "meshwright_upload_bytes_total") > 1000
    assert value(server, "meshwright_oldest_job_seconds", status="queued") >= 0
    assert value(server, "meshwright_uploads_in_progress") == 0
    assert value(server, "meshwright_http_requests_total", method="POST", route="/v1/jobs", status="202") == 2


def test_paths_of_strangers_are_no_labels(serve: Serve) -> None:
    server = serve()
    for index in range(20):
        server.client.get(f"/nope/{index}")
        server.client.request("BREW", f"/jobs/{index}")
    routes = {dict(labels).get("route") for name, labels in samples(server) if name == "meshwright_http_requests_total"}
    assert routes <= {"unknown", "/jobs/{job_id}", "/metrics"}
