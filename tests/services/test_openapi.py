"""Schemathesis against the running service: no server errors, and no answer that OpenAPI does not tell of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.http.live import live, result_folder

pytestmark = pytest.mark.services
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
# A process or a write for each call, and a stream without an end.
SKIPPED = "^(/v1)?/(validate|ready|metrics|jobs/{job_id}/events)$"


@pytest.mark.parametrize("state", ["queued", "completed", "failed", "unknown"])
def test_every_answer_is_documented(tmp_path: Path, state: str) -> None:
    """``state``: that of the job whose id every route is asked with."""
    with live(tmp_path / "service", log_level="error") as server:
        job_id = server.submitted()
        if state == "completed":
            server.complete(job_id, result_folder(tmp_path / "package"))
        elif state == "failed":
            server.fail(job_id)
        elif state == "unknown":
            job_id = "A" * 22
        (tmp_path / "schemathesis.toml").write_text(f'[parameters]\n"path.job_id" = "{job_id}"\n')
        program = Path(sys.executable).with_name("st")
        words = [
            str(program), "--config-file", str(tmp_path / "schemathesis.toml"), "run", f"{server.url}/openapi.json",
            "--max-examples", "10", "--seed", "1", "--checks", ",".join(CHECKS), "--workers", "1", "--no-color",
            "--phases", "examples,coverage,fuzzing", "--exclude-path-regex", SKIPPED, "--request-timeout", "20",
            "--generation-database", "none",
        ]  # fmt: skip
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:]
