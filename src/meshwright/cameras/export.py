"""``cameras.json`` of a result: the cameras that were used, in nerfstudio's form and in the meshes' frame.

OpenGL axes (x right, y up, looking along -z), ``transform_matrix`` is camera to world, pixel centres lie at +0.5 and
the file says so. Each frame's camera is the surface camera at the RGB's resolution; where the RGB lies differently on
it, ``registration`` says how (shifts in image widths, from the image centre).
"""

from __future__ import annotations

from math import degrees
from typing import Any

import numpy as np

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView

CONVENTION = "OpenGL c2w: x right, y up, looks along -z; pixel centres at +0.5"
OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
MODELS = {"perspective": "PINHOLE", "orthographic": "ORTHOPHOTO"}


def cameras_json(capture: CalibratedCapture) -> dict[str, Any]:
    """The file's content. Its frames keep the input's view names, in ``name`` and in ``file_path``."""
    projections = {view.camera.projection for view in capture.views}
    return {
        "camera_model": MODELS[min(projections)] if len(projections) == 1 else "MIXED",
        "convention": CONVENTION,
        "frame": "given" if capture.given_frame else "canonical",
        "units": "metre" if capture.scale == "metric" else "unit",
        "source": capture.report.source,
        "frames": [_frame(view) for view in capture.views],
    }


def _frame(view: CalibratedView) -> dict[str, Any]:
    camera, moved = view.rgb_camera, view.registration
    pose = camera.c2w @ OPENCV_TO_OPENGL
    return {
        "name": view.name,
        "file_path": f"multi_views/{view.name}.png",
        "camera_model": MODELS[camera.projection],
        "w": camera.width,
        "h": camera.height,
        "fl_x": float(camera.K[0, 0]),
        "fl_y": float(camera.K[1, 1]),
        "cx": float(camera.K[0, 2]),
        "cy": float(camera.K[1, 2]),
        "transform_matrix": (pose + 0.0).tolist(),
        "depth_scale": None if view.depth_scale is None else float(view.depth_scale),
        "confidence": float(view.confidence),
        "registration": {
            "scale": float(moved.scale),
            "angle_deg": degrees(moved.angle_rad),
            "shift_x": float(moved.shift_x),
            "shift_y": float(moved.shift_y),
        },
    }
