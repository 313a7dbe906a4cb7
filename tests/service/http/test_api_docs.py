"""docs/api.md and OpenAPI say the same, the examples run, and the document is complete."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from meshwright.service.app import create_app
from meshwright.service.settings import Settings
from meshwright.service.uploads.fields import FILE_FIELDS, TEXT_FIELDS
from service.http.live import Live, png, result_folder

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text()
ROW = re.compile(r"^\| `([A-Z]+)` \| `([^`]+)` \| ([^|]+) \| ([\d, ]+) \|$", re.MULTILINE)
Operations = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> Operations:
    return {(method.upper(), path): told for path, each in document["paths"].items() for method, told in each.items()}


def test_the_page_has_every_route_with_every_status(operations: Operations) -> None:
    rows = {(method, path): (text, set(statuses.split(", "))) for method, path, text, statuses in ROW.findall(PAGE)}
    for (method, path), told in operations.items():
        row = rows.get((method, path)) or rows.get((method, path.removeprefix("/v1")))
        assert row == (told["summary"], set(told["responses"])), (method, path)
    assert set(rows) <= set(operations)


def test_every_field_of_a_form_is_on_the_page_and_in_the_document(operations: Operations) -> None:
    for name in (*FILE_FIELDS, *TEXT_FIELDS):
        assert f"`{name}`" in PAGE
    for path in ("/jobs", "/v1/jobs"):
        form = operations["POST", path]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        aliases = {"multi_views", "depth", "model"}
        assert set(form) == (set(FILE_FIELDS) | set(TEXT_FIELDS)) - aliases


def test_operations_have_ids_tags_summaries_and_descriptions(operations: Operations) -> None:
    ids = [told["operationId"] for told in operations.values()]
    assert len(set(ids)) == len(ids)
    for told in operations.values():
        assert told["tags"]
        assert told["summary"]
        assert told["description"]


def test_every_error_is_a_problem(document: dict[str, Any], operations: Operations) -> None:
    for told in operations.values():
        for status, answer in told["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"]
    assert document["components"]["schemas"]["Problem"]["example"]["error"]["code"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_answers_that_clients_keep_have_examples_that_fit(document: dict[str, Any]) -> None:
    from meshwright.service.http import schemas

    for name in ("Submitted", "JobView", "CancelAnswer", "Deleted", "ArtifactInfo", "Health", "Readiness", "Problem"):
        example = document["components"]["schemas"][name]["example"]
        model = getattr(schemas, name).model_validate(example)
        assert set(example) == set(type(model).model_fields)


def test_links_that_the_page_names_are_there() -> None:
    for name in re.findall(r"\]\(([\w-]+\.md)", PAGE):
        assert (Path(__file__).resolve().parents[3] / "docs" / name).exists()


def demo(folder: Path) -> None:
    for kind, mode in (("multi_views", "RGB"), ("depth_renders", "L")):
        (folder / "demo" / kind).mkdir(parents=True)
        for index, name in enumerate(("front", "back", "left", "right", "top", "bottom")):
            (folder / "demo" / kind / f"{name}.png").write_bytes(png(32, 100 + index, mode))


def complete_next(server: Live, package: Path) -> None:
    """Stand in for the worker of one job."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        jobs, _ = server.service.repository.list("local", limit=1)
        if jobs and not jobs[0].status.is_final:
            server.complete(jobs[0].id, package)
            return
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["bash", "python"])
def test_the_first_example_runs_as_it_stands(server: Live, tmp_path: Path, kind: str) -> None:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    code = found[1].replace("http://127.0.0.1:8000", server.url)
    code = "\n".join(line for line in code.splitlines() if not line.startswith("meshwright "))
    demo(tmp_path)
    package = result_folder(tmp_path / "package")
    worker = threading.Thread(target=complete_next, args=(server, package))
    worker.start()
    command = ["bash", "-e", "-c", code] if kind == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    worker.join()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results.zip").read_bytes() == (package / "result.zip").read_bytes()
