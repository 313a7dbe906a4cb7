"""The whole job on a small capture: what comes out, in which frame, twice the same, and nothing where it fails."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshwright import InputError, Result, load_capture, reconstruct
from meshwright.capture.calibrated import CalibratedCapture
from meshwright.engines.protocol import Availability, EngineOptions, EngineResult
from meshwright.engines.run import checked_options
from meshwright.errors import Cancelled, ConvergenceFailed, EngineError, EngineUnavailable
from meshwright.package.archive import open_result
from meshwright.progress import Context, ProgressEvent
from meshwright.quality.holdout import choose_holdout

SMALL = {"faces": 1500, "texture_size": 256, "resolution": 48}
NAMES = tuple(f"view_{i:02d}" for i in range(8))


@pytest.fixture(scope="module")
def result(posed_capture: Path) -> Result:
    return reconstruct(posed_capture, options=SMALL)


@pytest.fixture(scope="module")
def saved(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("saved") / "out", zip=True)


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file whose bytes are promised to be the same: all but JSON, which holds times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class FailingEngine:
    """Another engine, of which only the failure matters here."""

    name = "reconviagen"
    summary = "Fails."
    options_type = EngineOptions

    def availability(self) -> Availability:
        return Availability(True)

    def reconstruct(self, capture: CalibratedCapture, options: EngineOptions, context: Context) -> EngineResult:
        raise ConvergenceFailed("The loss became undefined.", suggestion="Lower the step.")


@pytest.fixture
def failing_engine(monkeypatch: pytest.MonkeyPatch) -> str:
    import importlib.machinery

    for module in ("meshwright.engines.reconviagen", "meshwright.engines.reconviagen.engine"):
        fresh = types.ModuleType(module)
        fresh.__spec__ = importlib.machinery.ModuleSpec(module, None)
        fresh.ENGINE = FailingEngine()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module, fresh)
    return "reconviagen"


def test_the_main_job_gives_a_good_mesh(result: Result) -> None:
    assert list(result.engines) == ["fusion"]
    assert result.engines["fusion"].status == "completed"
    assert result.verdict in ("normal", "warning")


def test_the_tree_is_the_contracts(saved: Path) -> None:
    files = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    views = ("front", "back", "left", "right", "top", "bottom")
    previews = {f"fusion/previews/{kind}_{i:02d}.png" for kind in ("textured", "wireframe") for i in range(6)}
    errors = {f"fusion/errors/{view}.png" for view in views}
    meshes = {f"fusion/{name}" for name in ("mesh.glb", "mesh.obj", "mesh.mtl", "texture.png", "mesh.ply")}
    assert files == {"manifest.json", "cameras.json", "fusion/quality.json"} | previews | errors | meshes


def test_the_zip_is_the_same_tree(saved: Path) -> None:
    with open_result(saved.with_name("out.zip")) as unpacked:
        assert hashes(unpacked) == hashes(saved)


def test_a_result_passes_its_own_verification(saved: Path) -> None:
    from meshwright.cli.main import run

    assert run(["verify", str(saved), "--quiet"]) == 0


def test_the_manifest_says_how_it_came_about(saved: Path, posed_capture: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["engines"]["fusion"]["status"] == "completed"
    assert manifest["engines"]["fusion"]["options"] == {**SMALL, "seed": 0}
    assert manifest["settings"]["engine"] == "fusion"
    assert manifest["peak_memory_bytes"] > 50e6
    assert {"load", "calibrate", "fusion", "assess"} <= manifest["stage_seconds"].keys()
    for entry in manifest["inputs"]:
        assert hashlib.sha256((posed_capture / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
    assert len(manifest["inputs"]) >= 12


def test_with_given_cameras_the_mesh_stays_in_their_world(posed_capture: Path, result: Result, saved: Path) -> None:
    """Moving the world of the cameras moves the mesh along and changes nothing else that matters."""
    shift = np.eye(4)
    shift[:3, 3] = [10.0, -3.0, 5.0]
    capture = load_capture(posed_capture)
    moved = replace(
        capture,
        views=tuple(replace(view, camera=view.camera.transformed(shift)) for view in capture.views if view.camera),
    )
    there = reconstruct(moved, options=SMALL).engines["fusion"].result
    here = result.engines["fusion"].result
    assert here is not None
    assert there is not None
    expected = here.mesh.vertices.mean(0) + shift[:3, 3]
    assert np.linalg.norm(there.mesh.vertices.mean(0) - expected) < 0.02 * result.calibrated.diagonal
    manifest = json.loads((saved / "manifest.json").read_text())
    assert (manifest["frame"], manifest["scale"], manifest["unit"]) == ("given", "metric", "metre")


def test_the_same_seed_gives_the_same_bytes(posed_capture: Path, saved: Path, tmp_path: Path) -> None:
    again = reconstruct(posed_capture, options=SMALL).save(tmp_path / "again")
    assert hashes(again) == hashes(saved)


def test_progress_never_goes_back_and_names_the_stages(posed_capture: Path, tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    context = Context(on_progress=events.append)
    reconstruct(posed_capture, options=SMALL, context=context).save(tmp_path / "out", context=context)
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.9
    assert {"load", "calibrate", "assess", "package"} <= {event.stage for event in events}


@pytest.mark.parametrize("after", [1, 5, 20])
def test_cancelling_stops_and_leaves_nothing(posed_capture: Path, tmp_path: Path, after: int) -> None:
    count = 0

    def is_cancelled() -> bool:
        nonlocal count
        count += 1
        return count > after

    context = Context(is_cancelled=is_cancelled)
    with pytest.raises(Cancelled):
        reconstruct(posed_capture, options=SMALL, context=context).save(tmp_path / "out", context=context)
    assert list(tmp_path.iterdir()) == []


def test_one_engine_failing_does_not_hide_the_other(posed_capture: Path, failing_engine: str, tmp_path: Path) -> None:
    result = reconstruct(posed_capture, f"{failing_engine},fusion", SMALL)
    assert {name: run.status for name, run in result.engines.items()} == {
        failing_engine: "failed",
        "fusion": "completed",
    }
    manifest = json.loads((result.save(tmp_path / "out") / "manifest.json").read_text())
    assert manifest["engines"][failing_engine]["error"]["code"] == "MODEL_CONVERGENCE_FAILED"
    assert manifest["engines"]["fusion"]["verdict"] == result.verdict


def test_a_fault_of_an_engine_does_not_hide_the_other_either(
    posed_capture: Path, failing_engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> EngineResult:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(FailingEngine, "reconstruct", stumble)
    result = reconstruct(posed_capture, f"{failing_engine},fusion", SMALL)
    error = result.engines[failing_engine].error
    assert error is not None
    assert error.reason == "engine_fault"
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert result.engines["fusion"].status == "completed"


def test_a_lone_engine_raises_its_own_error(posed_capture: Path, failing_engine: str) -> None:
    with pytest.raises(ConvergenceFailed, match="undefined"):
        reconstruct(posed_capture, failing_engine)


def test_both_without_either_says_why_for_each(
    posed_capture: Path, failing_engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Availability(False, "torch is not installed.", "pip install 'meshwright[torch]'")
    monkeypatch.setattr("meshwright.engines.nvdiffrec.engine.NvdiffrecEngine.availability", lambda _: state)
    with pytest.raises(EngineError, match="nvdiffrec") as caught:
        reconstruct(posed_capture, "both")
    assert set(caught.value.details["engines"]) == {"nvdiffrec", "reconviagen"}


def test_an_engine_that_is_not_there_is_unavailable(posed_capture: Path) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        reconstruct(posed_capture, "reconviagen")
    assert caught.value.suggestion


def test_auto_says_what_it_chose_and_why(posed_capture: Path) -> None:
    result = reconstruct(posed_capture, "auto", SMALL)
    assert result.choice.engines == ("fusion",)
    assert "nvdiffrec" in result.settings["why"]


def test_an_option_of_one_engine_is_no_fault_of_another(failing_engine: str) -> None:
    checked = checked_options(("fusion", failing_engine), {"resolution": 64, "faces": 900})
    assert checked["fusion"].model_dump()["resolution"] == 64
    assert checked[failing_engine].faces == 900
    with pytest.raises(InputError, match="facets"):
        checked_options(("fusion", failing_engine), {"facets": 900})


def test_held_out_views_are_measured_apart(ring_capture: Path, tmp_path: Path) -> None:
    result = reconstruct(ring_capture, options=SMALL, holdout=2)
    assessment = result.assessments["fusion"]
    assert [view.name for view in assessment.held_out] == result.settings["holdout"]
    assert len(assessment.views) == 6
    quality = json.loads((result.save(tmp_path / "out") / "fusion" / "quality.json").read_text())
    assert quality["holdout"]["views"] == result.settings["holdout"]


@pytest.mark.parametrize(("count", "expected"), [(0, ()), (1, ("view_04",)), (2, ("view_02", "view_06"))])
def test_a_count_is_spread_evenly(count: int, expected: tuple[str, ...]) -> None:
    assert choose_holdout(NAMES, count) == expected


@pytest.mark.parametrize(
    ("names", "holdout", "reason"),
    [
        (NAMES, ("nowhere",), "holdout_unknown"),
        (NAMES, 5, "holdout_too_many"),
        (NAMES[:6], 1, "holdout_too_many"),
        (NAMES, -1, "holdout_negative"),
    ],
)
def test_a_holdout_that_says_nothing_is_refused(names: tuple[str, ...], holdout: int, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_holdout(names, holdout)
    assert caught.value.reason == reason


def test_a_turntable_is_part_of_the_result(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, hashed, in the ZIP, and a changed byte is found."""
    from meshwright.cli.main import run
    from meshwright.rendering import turntable

    monkeypatch.setattr(turntable, "Turn", functools.partial(turntable.Turn, frames=3, size=32))
    events: list[ProgressEvent] = []
    out = result.save(tmp_path / "out", turntable="webp", zip=True, context=Context(events.append))
    film = out / "fusion" / "turntable.webp"
    assert "turntable" in {event.stage for event in events}
    assert [event.fraction for event in events] == sorted(event.fraction for event in events)
    listed = {entry["path"] for entry in json.loads((out / "manifest.json").read_text())["outputs"]}
    assert "fusion/turntable.webp" in listed
    with open_result(tmp_path / "out.zip") as folder:
        assert (folder / "fusion" / "turntable.webp").read_bytes() == film.read_bytes()
    assert run(["verify", str(out), "--no-rerender", "--quiet"]) == 0
    film.write_bytes(film.read_bytes() + b"x")
    assert run(["verify", str(out), "--no-rerender", "--quiet"]) == 6


def test_a_result_is_not_overwritten_unasked(result: Result, saved: Path) -> None:
    before = hashes(saved)
    with pytest.raises(InputError):
        result.save(saved)
    assert hashes(saved) == before
    result.save(saved, overwrite=True)
    assert hashes(saved) == before
