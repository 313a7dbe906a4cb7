"""The documented calls of the reference system's clients, as they stand, with real curl."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import pytest

from service.http.live import NAMES, Live, png, result_folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index, name in enumerate(NAMES):
        for prefix in ("", "IMG (1) ", "view_0"):
            stem = f"view_{index:02d}" if prefix == "view_0" else f"{prefix}{name}"
            (folder / f"{stem}.png").write_bytes(png(shade=50 + 20 * index))
            (folder / f"{stem.replace('view', 'depth')}_d.png").write_bytes(png(32, 100 + 10 * index, "L"))
    return folder


def fields(images: Path, form: str = "{}") -> list[str]:
    words: list[str] = []
    for name in NAMES:
        words += ["-F", f"views=@{images / form.format(name)}.png"]
    for name in NAMES:
        words += ["-F", f"depth_renders=@{images / form.format(name)}_d.png"]
    return words


@pytest.mark.parametrize("path", ["/jobs/", "/jobs"])
@pytest.mark.parametrize("model", ["model=reconviagen", "model_type=reconviagen", "model_type=both"])
def test_a_capture_is_submitted_with_and_without_the_slash(server: Live, images: Path, path: str, model: str) -> None:
    told = json.loads(server.curl("-X", "POST", *fields(images), "-F", model, path=path))
    assert told["status"] == "queued"
    assert told["model_type"] == model.partition("=")[2]
    assert {"job_id", "status", "model_type", "created_at"} <= set(told)


def test_a_submission_answers_200_without_a_redirect(server: Live, images: Path) -> None:
    status = server.curl("-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", *fields(images), path="/jobs")
    assert status == "200"


def test_files_may_have_any_names_and_their_order_decides(server: Live, images: Path) -> None:
    told = json.loads(server.curl("-X", "POST", *fields(images, "IMG (1) {}"), path="/jobs/"))
    prefix = f"jobs/{told['job_id']}/input"
    for index, name in enumerate(NAMES):
        stored = server.service.store.get_bytes(f"{prefix}/multi_views/{name}.png")
        assert stored == png(shade=50 + 20 * index)
        assert server.service.store.get_bytes(f"{prefix}/depth_renders/{name}.png") == png(32, 100 + 10 * index, "L")


def test_a_job_has_the_members_that_the_reference_gives(server: Live) -> None:
    told = json.loads(server.curl(path=f"/jobs/{server.submitted()}"))
    assert {"job_id", "status", "progress", "current_model", "created_at", "updated_at", "error"} <= set(told)


def test_a_job_is_cancelled_in_two_steps(server: Live) -> None:
    job_id = server.submitted()
    path = f"/jobs/{job_id}/cancel"
    asked = json.loads(server.curl("-X", "POST", path=path))
    assert (asked["job_id"], asked["status"]) == (job_id, "cancel_requested")
    assert json.loads(server.curl(path=f"/jobs/{job_id}"))["status"] == "queued"
    json_header = ["-H", "Content-Type: application/json", "-d", '{"confirm": true}']
    assert json.loads(server.curl("-X", "POST", *json_header, path=path))["status"] == "cancelled"
    assert json.loads(server.curl(path=f"/jobs/{job_id}"))["status"] == "cancelled"


def test_a_result_is_downloaded_to_a_file(server: Live, tmp_path: Path) -> None:
    job_id = server.submitted()
    server.complete(job_id, result_folder(tmp_path / "package"))
    out = tmp_path / "results.zip"
    server.curl("-o", str(out), path=f"/jobs/{job_id}/download")
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert "fusion/mesh.glb" in archive.namelist()


def test_health_is_200_without_a_gpu(server: Live) -> None:
    status, body = server.curl("-w", "\n%{http_code}", path="/health").rsplit("\n", 1)[::-1]
    assert status == "200"
    assert json.loads(body)["status"] == "healthy"
    assert json.loads(body)["gpu"] is None


LOOP = """
while true; do
  ANSWER=$(curl -sS "$URL/jobs/$JOB")
  STATUS=$(echo "$ANSWER" | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["status"], d["progress"])')
  echo "$STATUS"
  case "$STATUS" in completed*|failed*) break;; esac
  sleep 0.05
done
"""


def test_a_loop_that_polls_status_and_progress_ends(server: Live, tmp_path: Path) -> None:
    job_id = server.submitted()
    package = result_folder(tmp_path / "package")
    worker = threading.Thread(target=lambda: (time.sleep(0.2), server.complete(job_id, package)))
    worker.start()
    done = subprocess.run(
        ["bash", "-c", LOOP], env={"URL": server.url, "JOB": job_id, "PATH": "/usr/bin:/bin"}, capture_output=True,
        timeout=30, check=True, text=True,
    )  # fmt: skip
    worker.join()
    lines = done.stdout.split("\n")
    assert lines[0] == "queued 0"
    assert "completed 100" in lines
