"""The benchmark is fair: the product sees only what a case allows, and a result is moved by its cameras alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from meshwright.geometry.camera import FLIP_YZ
from meshwright.geometry.rotations import exp_so3, look_at

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def evalcase() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import evalcase

        yield evalcase


@pytest.fixture(scope="module")
def evalset(evalcase: ModuleType) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import evalset

        yield evalset


def ring(count: int) -> dict[str, np.ndarray]:
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    eyes = [1.2 * np.array([np.sin(t), 0.3, np.cos(t)]) for t in turns]
    return {f"ring_{k:02d}": look_at(eye, np.zeros(3), np.array([0, 1.0, 0])) for k, eye in enumerate(eyes)}


def write_case(folder: Path, *, scale_given: bool, hidden: bool) -> Path:
    frames = []
    for name, pose in ring(12).items():
        for part in ("multi_views", "depth_renders", "depth_metric"):
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / f"{name}.png").write_bytes(part.encode())
        frames.append(
            {"name": name, "w": 64, "h": 64, "fl_x": 70.0, "fl_y": 70.0, "cx": 32.0, "cy": 32.0}
            | {"transform_matrix": (pose @ FLIP_YZ).tolist(), "split": "input"}
            | {"file_path": f"multi_views/{name}.png", "depth_file_path": f"depth_renders/{name}.png"}
            | {"depth_w": 64, "depth_h": 64, "depth_scale": 0.005}
            | {"depth_metric_file_path": f"depth_metric/{name}.png"}
        )
    frames.append({**frames[0], "name": "novel_00", "split": "novel", "file_path": "novel_views/novel_00.png"})
    cameras = {"convention": "OpenGL c2w", "depth_metric_scale": 1e-4, "frames": frames}
    cameras_file = "cameras_eval_only.json" if hidden else "cameras.json"
    (folder / cameras_file).write_text(json.dumps(cameras))
    depth = {"scale_given_to_product": scale_given, "scale_per_view": dict.fromkeys(ring(12), 0.005)}
    facts = {"name": folder.name, "cameras_given": not hidden, "cameras_file": cameras_file}
    (folder / "case.json").write_text(json.dumps({**facts, "depth": depth, "gt": {"bbox_diagonal": 1.0}}))
    (folder / "gt.glb").write_bytes(b"truth")
    return folder


def staged(evalcase: ModuleType, folder: Path, target: Path, mode: str) -> tuple[set[str], dict[str, Any] | None]:
    (case,) = evalcase.find_cases(folder)
    evalcase.stage(case, target, case.gives_cameras(mode))
    files = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    cameras = target / "cameras.json"
    return files, json.loads(cameras.read_text()) if cameras.is_file() else None


def pictures() -> set[str]:
    return {f"{part}/{name}.png" for part in ("multi_views", "depth_renders") for name in ring(12)}


def test_given_cameras_come_without_truth_novel_views_and_scales(evalcase: ModuleType, tmp_path: Path):
    folder = write_case(tmp_path / "case", scale_given=False, hidden=False)
    files, cameras = staged(evalcase, folder, tmp_path / "out", "given")
    assert files == pictures() | {"cameras.json"}
    assert cameras is not None
    assert {frame["name"] for frame in cameras["frames"]} == set(ring(12))
    assert "metric" not in json.dumps(cameras)
    assert "scale" not in json.dumps(cameras)


def test_a_scale_is_handed_over_only_where_the_case_says_so(evalcase: ModuleType, tmp_path: Path):
    folder = write_case(tmp_path / "case", scale_given=True, hidden=False)
    _, cameras = staged(evalcase, folder, tmp_path / "out", "given")
    assert cameras is not None
    assert [frame["depth_scale"] for frame in cameras["frames"]] == [0.005] * 12


@pytest.mark.parametrize(("hidden", "mode"), [(True, "given"), (True, "withheld"), (False, "withheld")])
def test_hidden_or_withheld_cameras_leave_only_pictures(evalcase, tmp_path: Path, hidden: bool, mode: str):
    folder = write_case(tmp_path / "case", scale_given=True, hidden=hidden)
    assert staged(evalcase, folder, tmp_path / "out", mode) == (pictures(), None)


def result_cameras(path: Path, similarity: np.ndarray, disturbed: float = 0.0) -> Path:
    """Cameras of a result that lives in another world; one centre is ``disturbed`` by that share of the diagonal."""
    scale = np.cbrt(np.linalg.det(similarity[:3, :3]))
    frames = []
    for index, (name, pose) in enumerate(ring(12).items()):
        shifted = pose.copy()
        shifted[1, 3] += disturbed if index == 0 else 0.0
        moved = similarity @ shifted @ FLIP_YZ
        moved[:3, :3] /= scale
        frames.append(
            {"file_path": f"multi_views/{name}.png", "transform_matrix": moved.tolist(), "w": 64, "fl_x": 70.0}
        )
    path.write_text(json.dumps({"frames": frames[::-1]}))
    return path


def test_the_similarity_comes_from_the_camera_centres(evalcase: ModuleType, tmp_path: Path):
    (case,) = evalcase.find_cases(write_case(tmp_path / "case", scale_given=False, hidden=True))
    world = np.eye(4)
    world[:3, :3] = 3.0 * exp_so3(np.array([0.2, 1.0, -2.0]))
    world[:3, 3] = (5, 6, 7)
    exact = evalcase.align(case, result_cameras(tmp_path / "exact.json", world))
    assert exact.matrix @ world == pytest.approx(np.eye(4), abs=1e-9)
    assert exact.centre_error_pct < 1e-9
    assert exact.rotation_error_deg < 1e-4
    assert exact.fov_error_deg == 0.0
    disturbed = evalcase.align(case, result_cameras(tmp_path / "off.json", world, disturbed=0.02))
    assert 1.0 < disturbed.centre_error_pct < 2.0


def test_a_moved_glb_is_the_same_mesh_elsewhere(evalcase: ModuleType, tmp_path: Path):
    import trimesh

    box = trimesh.creation.box((1, 2, 3))
    (tmp_path / "box.glb").write_bytes(trimesh.Scene(box).export(file_type="glb"))
    matrix = np.eye(4)
    matrix[:3, :3] = 2 * exp_so3(np.array([0.1, 0.2, 0.3]))
    matrix[:3, 3] = (1, 2, 3)
    evalcase.move_glb(tmp_path / "box.glb", tmp_path / "moved.glb", matrix)
    moved = trimesh.load_scene(str(tmp_path / "moved.glb")).to_geometry()
    expected = trimesh.transform_points(box.vertices, matrix)
    assert np.sort(moved.vertices, 0) == pytest.approx(np.sort(expected, 0), abs=1e-6)


def test_a_failed_case_counts_as_worst_and_is_never_dropped(evalset: ModuleType):
    good = {"case": "a", "cameras": "given", "error": None, "fg_psnr": 30.0, "mask_iou": 1.0, "chamfer": 0.2}
    failed = {"case": "b", "cameras": "given", "error": "killed by signal 9", "seconds": 3.0}
    summary = evalset.summary([good, failed])
    assert summary["mean"]["fg_psnr"] == 15.0
    assert summary["worst"] | {"fg_psnr": 0.0, "mask_iou": 0.0, "chamfer": 100.0} == summary["worst"]
    assert evalset.make_table([good, failed], "t").row_count == 5
