"""``meshwright assess``: the same verdict from files as from values, with given cameras and 8-bit depth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.cli.main import run
from meshwright.geometry.camera import FLIP_YZ
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.glb import write_glb


@pytest.fixture(scope="module")
def folder(capture: CalibratedCapture, body: TexturedMesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The capture in the reference's layout, with cameras.json, and the mesh beside it."""
    root, frames = tmp_path_factory.mktemp("assess"), []
    for part in ("multi_views", "depth_renders"):
        (root / "capture" / part).mkdir(parents=True)
    for view in capture.views:
        assert view.depth is not None
        values = np.rint(view.depth / view.depth.max() * 255).astype(np.uint8)
        Image.fromarray(view.rgb).save(root / "capture" / "multi_views" / f"{view.name}.png")
        Image.fromarray(values).save(root / "capture" / "depth_renders" / f"{view.name}.png")
        K, size = view.camera.K, {"w": view.camera.width, "h": view.camera.height}
        intrinsics = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
        pose = (view.camera.c2w @ FLIP_YZ).tolist()
        frames.append({"file_path": f"multi_views/{view.name}.png", **size, **intrinsics, "transform_matrix": pose})
    cameras = {"convention": "OpenGL c2w: x right, y up, looks along -z; pixel centres at +0.5", "frames": frames}
    (root / "capture" / "cameras.json").write_text(json.dumps(cameras))
    (root / "mesh.glb").write_bytes(write_glb(body))
    return root


def test_a_mesh_file_is_scored_and_the_report_written(folder: Path, capsys: pytest.CaptureFixture[str]):
    out = folder / "scores"
    assert run(["assess", str(folder / "capture"), str(folder / "mesh.glb"), "--json", "--out", str(out)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    report = json.loads((out / "quality.json").read_text())
    assert lines[-1] == {"event": "result", **report}
    assert (report["status"], report["model"]) == ("normal", "mesh.glb")
    assert report["metrics"]["psnr"] > 35
    assert report["metrics"]["mask_iou"] > 0.97
    assert report["metrics"]["depth_mae"] < 0.004, "8-bit depth of unknown scale, solved"
    for view in report["views"]:
        assert (out / view["heat_map"]).is_file()


def test_the_table_names_every_view_and_the_verdict(folder: Path, capsys: pytest.CaptureFixture[str]):
    turned = folder / "turned.ply"
    import trimesh

    mesh = trimesh.load_mesh(folder / "mesh.glb")
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (0, 1, 0)))
    mesh.export(turned)
    assert run(["assess", str(folder / "capture"), str(turned), "--holdout", "top"]) == 0
    shown = capsys.readouterr().out
    assert "Failure" in shown
    assert "top (held out)" in shown
    assert all(name in shown for name in ("front", "back", "left", "right", "bottom", "mean"))


def test_a_missing_mesh_is_a_coded_error(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["assess", str(folder / "capture"), str(folder / "none.glb"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["details"]["reason"] == "mesh_not_found"
