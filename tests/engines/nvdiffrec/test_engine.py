"""The engine through the public API: a good mesh, what it says about itself, and what it refuses."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshwright.engines.nvdiffrec import engine as module
from meshwright.engines.nvdiffrec.engine import ENGINE, NvdiffrecOptions
from meshwright.errors import Cancelled, EngineError, EngineUnavailable, InputError
from meshwright.pipeline import Result, reconstruct
from meshwright.progress import Context
from surface.solids import capture_of, sphere

SMALL = {"faces": 2000, "texture_size": 256, "resolution": 64, "size": 96, "rounds": 3, "texture_rounds": 2}


@pytest.fixture(scope="module")
def result(posed_capture: Path) -> Result:
    return reconstruct(posed_capture, "fusion,nvdiffrec", SMALL | {"device": "cpu"})


def test_it_explains_the_views_at_least_as_well_as_its_start(result: Result) -> None:
    assert {run.status for run in result.engines.values()} == {"completed"}
    iou = {name: assessment.metrics.mask_iou.value for name, assessment in result.assessments.items()}
    psnr = {name: assessment.metrics.psnr.value for name, assessment in result.assessments.items()}
    assert iou["nvdiffrec"] >= iou["fusion"] - 1e-3  # type: ignore[operator]
    assert psnr["nvdiffrec"] > psnr["fusion"]  # type: ignore[operator]


def test_it_says_what_it_did_and_assumed(result: Result) -> None:
    done = result.engines["nvdiffrec"].result
    assert done is not None
    assert "explains depth and outlines" in done.notes[0]
    assert "on cpu" in done.assumptions[0]


def test_outlines_alone_are_enough() -> None:
    capture = capture_of(sphere(0.35), 1.2, 64, with_depth=False)
    mesh = ENGINE.reconstruct(capture, NvdiffrecOptions(**SMALL), Context()).mesh
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 0.55


def test_neither_depth_nor_outline_is_refused() -> None:
    capture = capture_of(sphere(0.35), 1.2, 64, with_depth=False)
    blind = replace(capture, views=tuple(replace(v, mask=np.ones_like(v.mask)) for v in capture.views))
    with pytest.raises(EngineError) as caught:
        ENGINE.reconstruct(blind, NvdiffrecOptions(**SMALL), Context())
    assert caught.value.suggestion


@pytest.mark.parametrize(
    "option", [{"checkpoint": "/proc/nowhere/state"}, {"preview_every": 1, "preview_folder": "/proc/x"}]
)
def test_what_cannot_be_written_is_refused_before_any_work(option: dict[str, object]) -> None:
    stages: list[str] = []
    context = Context(on_progress=lambda event: stages.append(event.stage))
    with pytest.raises(InputError) as caught:
        ENGINE.reconstruct(capture_of(sphere(0.35), 1.2, 64), NvdiffrecOptions(**SMALL | option), context)
    assert caught.value.reason == "option_not_writable"
    assert stages == []


def test_pictures_of_the_way_are_written(tmp_path: Path) -> None:
    options = NvdiffrecOptions(**SMALL | {"preview_every": 2, "preview_folder": str(tmp_path / "way")})
    ENGINE.reconstruct(capture_of(sphere(0.35), 1.2, 64), options, Context())
    assert sorted(file.name for file in (tmp_path / "way").iterdir()) == ["shape_000.png", "shape_002.png"]


def test_materials_and_moved_cameras_are_said(posed_capture: Path) -> None:
    asked = {"device": "cpu", "material": "pbr", "material_rounds": 4, "cameras": "refine"}
    result = reconstruct(posed_capture, "nvdiffrec", SMALL | asked)
    done = result.engines["nvdiffrec"].result
    assert done is not None
    assert done.mesh.material is not None
    assert done.assumptions[1].startswith("Base colour")
    assert "camera" in done.notes[0]


def test_a_budget_ends_with_a_mesh() -> None:
    capture = capture_of(sphere(0.35), 1.2, 64)
    began = time.monotonic()
    got = ENGINE.reconstruct(capture, NvdiffrecOptions(**SMALL | {"rounds": 1000, "budget": 2.0}), Context())
    assert time.monotonic() - began < 20
    assert "ended the optimisation early" in got.notes[-1]


def test_cancel_is_noticed_within_a_round() -> None:
    calls: list[str] = []

    def cancel() -> bool:
        return any("round 2" in message for message in calls)

    context = Context(on_progress=lambda event: calls.append(event.message), is_cancelled=cancel)
    with pytest.raises(Cancelled):
        ENGINE.reconstruct(capture_of(sphere(0.35), 1.2, 64), NvdiffrecOptions(**SMALL | {"rounds": 50}), context)
    assert not any("round 4" in message for message in calls)


def test_without_torch_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    state = ENGINE.availability()
    assert not state.ok
    assert "meshwright[torch]" in state.how


def test_cuda_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cuda_name", lambda: None)
    with pytest.raises(EngineUnavailable, match="CUDA"):
        ENGINE.reconstruct(capture_of(sphere(0.35), 1.2, 64), NvdiffrecOptions(**SMALL | {"device": "cuda"}), Context())
