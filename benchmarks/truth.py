"""Evaluation cases as calibrated captures with the TRUE cameras and depth scales: for developing stages in isolation.

Never used by a figure that claims unknown scales: `benchmarks/evalset.py` goes through the public API.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.geometry.camera import FLIP_YZ, Camera


def frame_camera(frame: dict) -> Camera:
    K = np.array([[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1.0]])
    return Camera(K, np.array(frame["transform_matrix"]) @ FLIP_YZ, frame["w"], frame["h"])


def truth_capture(case_dir: str | Path, lossless: bool = False) -> CalibratedCapture:
    """``lossless`` takes the evaluation-only 16-bit depth instead of the product's 8-bit depth."""
    root = Path(case_dir)
    case = json.loads((root / "case.json").read_text())
    cameras = json.loads((root / case["cameras_file"]).read_text())
    views = []
    for frame in cameras["frames"]:
        if frame["split"] != "input":
            continue
        name = frame["name"]
        step = 1e-4 if lossless else case["depth"]["scale_per_view"][name]
        folder = "depth_metric" if lossless else "depth_renders"
        depth = np.asarray(Image.open(root / folder / f"{name}.png")).astype(np.float32) * np.float32(step)
        rgb = np.asarray(Image.open(root / "multi_views" / f"{name}.png").convert("RGB"))
        camera = frame_camera(frame).resized(depth.shape[1], depth.shape[0])
        views.append(CalibratedView(name, camera, depth > 0, depth, rgb, depth_step=step, depth_scale=step))
    bounds = np.array(case["gt"]["bbox"])
    diagonal = float(np.linalg.norm(bounds[1] - bounds[0]))
    return CalibratedCapture(tuple(views), CalibrationReport("given"), diagonal, bounds, given_frame=True)
