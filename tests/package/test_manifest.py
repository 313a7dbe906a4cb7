"""The manifest is sealed: any change of its bytes shows; it never holds what JSON cannot."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright.errors import IncompleteResults
from meshwright.package.manifest import EngineRun, FileEntry, Manifest, peak_memory_bytes
from meshwright.package.strict_json import dump_json, load_json

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "manifest.json"
WHOLE = Manifest(
    engines={"fusion": EngineRun(status="completed", options={"faces": 30000}, verdict="normal")},
    settings={"engine": "auto", "holdout": ["top"]},
    seed=3,
    stage_seconds={"fusion": 3.25},
    peak_memory_bytes=peak_memory_bytes(),
    inputs=[FileEntry(path="multi_views/front.png", sha256="0" * 64, size=12)],
)


def test_round_trip() -> None:
    again = Manifest.from_bytes(WHOLE.to_bytes())
    assert again.model_dump(exclude={"seal"}) == WHOLE.model_dump(exclude={"seal"})
    assert again.to_bytes() == WHOLE.to_bytes()


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    content = bytearray(WHOLE.to_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IncompleteResults) as caught:
        Manifest.from_bytes(bytes(content))
    assert caught.value.reason in ("manifest_changed", "manifest_invalid")


def test_other_spacing_of_the_same_content_is_a_change() -> None:
    with pytest.raises(IncompleteResults) as caught:
        Manifest.from_bytes(json.dumps(json.loads(WHOLE.to_bytes())).encode())
    assert caught.value.reason == "manifest_changed"


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}x", b'{"format": "other/1"}', b'{"seed": NaN}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_manifest_says_so(text: bytes) -> None:
    with pytest.raises(IncompleteResults) as caught:
        Manifest.from_bytes(text)
    assert caught.value.reason == "manifest_invalid"


def test_it_knows_versions_memory_and_the_true_time() -> None:
    manifest = Manifest()
    assert {"meshwright", "python", "numpy", "trimesh"} <= manifest.versions.keys()
    assert abs((datetime.now(UTC) - manifest.created).total_seconds()) < 60
    assert (peak_memory_bytes() or 2**21) > 2**20


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        Manifest(stage_seconds={"fusion": value})
    with pytest.raises(ValueError, match="JSON compliant"):
        Manifest(settings={"x": value}).to_bytes()


@pytest.mark.parametrize("text", [b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b'{"a": 1, "a": 2}'])
def test_json_is_read_strictly(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_json(text)


def test_the_published_schema_is_current() -> None:
    """docs/package.md says how it is written."""
    assert SCHEMA.read_bytes() == dump_json(Manifest.model_json_schema())
