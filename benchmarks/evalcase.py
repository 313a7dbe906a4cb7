"""An evaluation case as its own case.json describes it: what the product may read, and how a result is scored.

Layout and conventions: docstring of the set's tools/render_views.py.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from meshwright.geometry.similarity import umeyama

EVALUATION_ONLY = "depth_metric"  # every key of cameras.json that begins so
SCALE_KEY = "depth_scale"
FRAME_KEYS = ("name", "w", "h", "fl_x", "fl_y", "cx", "cy", "transform_matrix", "file_path", "depth_file_path")
SIZE_KEYS = ("depth_w", "depth_h")


@dataclass(frozen=True)
class Case:
    """A case folder and its case.json."""

    folder: Path
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        return self.facts["name"]

    @property
    def scale_given(self) -> bool:
        return bool(self.facts["depth"].get("scale_given_to_product", False))

    def gives_cameras(self, mode: str) -> bool:
        """Whether the product gets the cameras: asked for, and allowed."""
        return mode == "given" and bool(self.facts["cameras_given"])

    def input_frames(self) -> list[dict[str, Any]]:
        cameras = json.loads((self.folder / self.facts["cameras_file"]).read_text())
        return [frame for frame in cameras["frames"] if frame["split"] == "input"]


def find_cases(folder: Path) -> list[Case]:
    """The case in ``folder``, or all cases in its sub-folders, by name."""
    folders = [folder] if (folder / "case.json").is_file() else sorted(p.parent for p in folder.glob("*/case.json"))
    return [Case(path, json.loads((path / "case.json").read_text())) for path in folders]


def find_evaluator(folder: Path) -> Path:
    """The set's own tools/evaluate.py: in the folder, beside it, or beside its parent."""
    above = folder.resolve()
    for place in (above, above.parent, above.parent.parent):
        if (place / "tools" / "evaluate.py").is_file():
            return place / "tools" / "evaluate.py"
    raise SystemExit(f"no tools/evaluate.py in or above {folder}")


def stage(case: Case, target: Path, with_cameras: bool) -> None:
    """Copy to ``target`` what the product may read, and nothing else."""
    for frame in case.input_frames():
        for path in (frame["file_path"], frame["depth_file_path"]):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(case.folder / path, target / path)
    if with_cameras:
        (target / "cameras.json").write_text(json.dumps(product_cameras(case), indent=1))


def spoil_depth(target: Path, how: str) -> None:
    """Leave a staged case's depth as it is ("given"), take it away ("withheld"), or make it "noisy": 0.5 % of the depth
    (standard deviation), and 5 % of the pixels without any.
    """
    if how == "withheld":
        shutil.rmtree(target / "depth_renders")
        if (target / "cameras.json").exists():
            cameras = json.loads((target / "cameras.json").read_text())
            frames = [{k: v for k, v in frame.items() if not k.startswith("depth")} for frame in cameras["frames"]]
            (target / "cameras.json").write_text(json.dumps({**cameras, "frames": frames}))
    random = np.random.default_rng(0)
    for file in sorted((target / "depth_renders").glob("*.png")) if how == "noisy" else []:
        stored = np.asarray(Image.open(file))
        most = np.iinfo(stored.dtype).max
        moved = np.clip(np.rint(stored * (1 + 0.005 * random.standard_normal(stored.shape))), 1, most)
        lost = (stored == 0) | (random.random(stored.shape) < 0.05)
        Image.fromarray(np.where(lost, 0, moved).astype(stored.dtype)).save(file)


def product_cameras(case: Case) -> dict[str, Any]:
    """cameras.json without the novel views and without any field that is for scoring only."""
    cameras = json.loads((case.folder / case.facts["cameras_file"]).read_text())
    kept = {key: value for key, value in cameras.items() if key in ("camera_model", "convention", "units")}
    scales = case.facts["depth"]["scale_per_view"]
    frames = []
    for frame in case.input_frames():
        row = {key: frame[key] for key in (*FRAME_KEYS, *SIZE_KEYS) if key in frame}
        frames.append({**row, SCALE_KEY: scales[frame["name"]]} if case.scale_given else row)
    leaks = [key for frame in frames for key in frame if key.startswith(EVALUATION_ONLY)]
    assert not leaks, leaks
    return {**kept, "frames": frames}


@dataclass(frozen=True)
class Alignment:
    """The one similarity from the result's world to the true one, and how well the cameras then agree."""

    matrix: np.ndarray
    centre_error_pct: float
    rotation_error_deg: float
    fov_error_deg: float


def align(case: Case, result_cameras: Path) -> Alignment:
    """The similarity that takes the result's camera centres to the true ones, by view name.

    Errors are the largest over the views: centres in percent of the object's diagonal, axes and full horizontal field
    of view in degrees.
    """
    found = {frame_name(frame): frame for frame in json.loads(result_cameras.read_text())["frames"]}
    frames = {frame["name"]: frame for frame in case.input_frames()}
    true = {name: np.array(frame["transform_matrix"]) for name, frame in frames.items()}
    ours = {name: np.array(found[name]["transform_matrix"]) for name in true}
    source, target = (np.array([poses[name][:3, 3] for name in true]) for poses in (ours, true))
    if np.linalg.matrix_rank(source - source.mean(0), tol=1e-6) < 2:
        raise ValueError("the camera centres lie on a line: no similarity is determined")
    matrix = umeyama(source, target)
    moved = source @ matrix[:3, :3].T + matrix[:3, 3]
    rotation = matrix[:3, :3] / np.cbrt(np.linalg.det(matrix[:3, :3]))
    traces = [np.trace(true[name][:3, :3].T @ rotation @ ours[name][:3, :3]) for name in true]
    diagonal = case.facts["gt"]["bbox_diagonal"]
    return Alignment(
        matrix,
        float(100 * np.linalg.norm(moved - target, axis=1).max() / diagonal),
        float(np.degrees(np.arccos(np.clip((min(traces) - 1) / 2, -1, 1)))),
        max(abs(field_of_view(found[name]) - field_of_view(frame)) for name, frame in frames.items()),
    )


def field_of_view(frame: dict[str, Any]) -> float:
    return float(2 * np.degrees(np.arctan(frame["w"] / 2 / frame["fl_x"])))


def frame_name(frame: dict[str, Any]) -> str:
    return frame.get("name") or Path(frame["file_path"]).stem


def move_glb(source: Path, target: Path, matrix: np.ndarray) -> None:
    """Write ``source`` under one more root node with ``matrix``; geometry and texture bytes stay as they are."""
    data = source.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    gltf, rest = json.loads(data[20 : 20 + length]), data[20 + length :]
    for scene in gltf["scenes"]:
        gltf["nodes"].append({"matrix": matrix.T.ravel().tolist(), "children": scene["nodes"]})
        scene["nodes"] = [len(gltf["nodes"]) - 1]
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
    target.write_bytes(header + struct.pack("<I4s", len(text), b"JSON") + text + rest)


def score(evaluator: Path, mesh: Path, case: Case, views: Path | None) -> dict[str, Any]:
    """Run the set's evaluate.py on one mesh, in a process of its own."""
    report = mesh.with_suffix(".scores.json")
    words = [sys.executable, str(evaluator), str(mesh), str(case.folder), "--json", str(report)]
    if views is not None:
        words += ["--save-views", str(views)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if done.returncode != 0:
        raise RuntimeError(f"evaluate.py failed: {done.stderr.strip()[-400:]}")
    return json.loads(report.read_text())
