"""What is written can be read: captures by our reader, truth by trimesh, cases by the ladder; the verb works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meshwright.capture.load import load_capture
from meshwright.errors import InputError
from meshwright.sample.capture import write_sample
from meshwright.sample.scene import SampleOptions

SMALL = dict(cells=32, texture_size=128, rgb_size=64, depth_size=48, novel=2, novel_size=32)


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "metric"
    write_sample(out, SampleOptions(**SMALL, format="metric", views=4, layout="sphere"))
    return out


def test_metric_sample_reads_back(metric: Path) -> None:
    capture = load_capture(metric)
    truth = json.loads((metric / "truth" / "cameras.json").read_text())
    assert capture.has_cameras
    assert capture.unit == "metre"
    for view, frame in zip(capture.views, truth["frames"], strict=False):
        assert view.name == frame["name"]
        assert view.camera is not None
        assert view.depth is not None
        np.testing.assert_allclose(view.camera.c2w @ np.diag([1, -1, -1, 1]), frame["transform_matrix"], atol=1e-9)
        assert view.camera.K[0, 2] == frame["cx"] == 32
        exact = np.asarray(Image.open(metric / "truth" / frame["depth_metric_file_path"])) * truth["depth_metric_scale"]
        assert view.depth.unit_scale is not None
        np.testing.assert_allclose(view.depth.values * view.depth.unit_scale, exact, atol=6e-4)


def test_ground_truth_mesh_opens_elsewhere(metric: Path) -> None:
    import trimesh

    mesh = trimesh.load_scene(metric / "truth" / "gt.glb").to_geometry()
    assert np.linalg.norm(mesh.extents) == pytest.approx(0.5, rel=1e-5)
    assert mesh.visual.material.baseColorTexture.size == (128, 128)


def test_an_occupied_folder_is_left_alone(metric: Path) -> None:
    before = sorted(metric.rglob("*"))
    with pytest.raises(InputError):
        write_sample(metric, SampleOptions(**SMALL))
    assert sorted(metric.rglob("*")) == before


def test_evaluation_case_has_its_form(tmp_path: Path) -> None:
    out = tmp_path / "case"
    write_sample(out, SampleOptions(**SMALL, naming="object"), evalset=True)
    case = json.loads((out / "case.json").read_text())
    frames = json.loads((out / case["cameras_file"]).read_text())["frames"]
    assert case["rig"]["type"] == "canonical6"
    assert case["gt"]["bbox_diagonal"] == pytest.approx(1)
    assert [frame["split"] for frame in frames] == ["input"] * 6 + ["novel"] * 2
    for frame in frames:
        assert (out / frame["file_path"]).is_file()
    for name, step in case["depth"]["scale_per_view"].items():
        stored = np.asarray(Image.open(out / "depth_renders" / f"{name}.png"), float) * step
        exact = np.asarray(Image.open(out / "depth_metric" / f"{name}.png")) * case["depth_metric"]["scale"]
        np.testing.assert_allclose(stored, exact, atol=step / 2 + 6e-5)


def test_verb_writes_a_capture_without_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from meshwright.cli.main import run

    out = tmp_path / "demo"
    args = ["sample", str(out), "--object", "bottle", "--rgb-size", "64", "--depth-size", "48", "--no-truth", "--json"]
    assert run(args) == 0
    last = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert last["event"] == "result"
    assert sorted(path.name for path in out.iterdir()) == ["depth_renders", "multi_views"]
    assert load_capture(out).names == ("front", "back", "left", "right", "top", "bottom")
