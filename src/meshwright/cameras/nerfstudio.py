"""``cameras.json`` of a result, nerfstudio's form: the cameras that were used, in the meshes' frame, and how they came.

OpenGL axes (x right, y up, looking along -z), ``transform_matrix`` is camera to world, the first pixel's centre lies
at 0.5, and the file's ``convention`` says so. A frame's camera is the surface camera at the RGB's resolution; where the
RGB lies differently on it, ``registration`` takes the one's pixels to the other's (shifts in image widths, from the
image centre). Reading it back (`read_cameras`, `read_registrations`) is the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import degrees, isfinite, radians
from typing import Any

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.capture.capture import Capture
from meshwright.capture.posed import PosedFrames, checked_number
from meshwright.capture.posed_nerfstudio import parse_nerfstudio
from meshwright.capture.report import plain
from meshwright.geometry.camera import FLIP_YZ
from meshwright.geometry.similarity import Similarity2d

CONVENTION = "OpenGL c2w: x right, y up, looks along -z; pixel centres at +0.5"
_MODELS = {"perspective": "PINHOLE", "orthographic": "ORTHOPHOTO"}
_REGISTRATION = ("scale", "angle_deg", "shift_x", "shift_y")


def write_cameras(calibrated: CalibratedCapture, capture: Capture | None = None) -> dict[str, Any]:
    """The file's content. Its frames keep the input's view names, in ``name`` and in ``file_path``.

    With the ``capture`` that was calibrated, frames also say whether a depth scale was given or estimated.
    """
    projections = {view.camera.projection for view in calibrated.views}
    given = {view.name for view in capture.views if view.depth and view.depth.unit_scale} if capture else None
    return {
        "camera_model": _MODELS[min(projections)] if len(projections) == 1 else "MIXED",
        "convention": CONVENTION,
        "frame": "given" if calibrated.given_frame else "canonical",
        "units": "metre" if calibrated.scale == "metric" else "unit",
        "source": calibrated.report.source,
        "calibration": _calibration(calibrated.report),
        "frames": [_frame(view, calibrated.report, given) for view in calibrated.views],
    }


def read_cameras(document: Mapping[str, Any], path: str = "cameras.json") -> PosedFrames:
    """The cameras of a ``cameras.json`` document at the RGB's resolution, in the inner convention.

    Raises `InputError` with a JSON pointer where a value cannot be used.
    """
    return parse_nerfstudio(dict(document), path)


def read_registrations(document: Mapping[str, Any], path: str = "cameras.json") -> dict[str, Similarity2d]:
    """Each view's RGB registration by view name; the identity where a frame has none."""
    found: dict[str, Similarity2d] = {}
    for i, frame in enumerate(document["frames"]):
        moved = frame.get("registration") or {}
        scale, angle, x, y = (
            checked_number(moved.get(key, 1.0 if key == "scale" else 0.0), path, f"/frames/{i}/registration/{key}")
            for key in _REGISTRATION
        )
        found[str(frame["name"])] = Similarity2d(scale, radians(angle), x, y)
    return found


def _frame(view: CalibratedView, report: CalibrationReport, given_scales: set[str] | None) -> dict[str, Any]:
    camera, moved = view.rgb_camera, view.registration
    obtained: dict[str, str] = {"camera": report.source, "registration": "none" if moved.is_identity else "estimated"}
    if given_scales is not None and view.depth_scale is not None:
        obtained["depth_scale"] = "given" if view.name in given_scales else "estimated"
    return {
        "name": view.name,
        "file_path": view.name,
        "camera_model": _MODELS[camera.projection],
        "w": camera.width,
        "h": camera.height,
        "fl_x": float(camera.K[0, 0]),
        "fl_y": float(camera.K[1, 1]),
        "cx": float(camera.K[0, 2]),
        "cy": float(camera.K[1, 2]),
        "transform_matrix": (camera.c2w @ FLIP_YZ + 0.0).tolist(),
        "depth_w": view.mask.shape[1],
        "depth_h": view.mask.shape[0],
        "depth_scale": _finite(view.depth_scale),
        "confidence": float(view.confidence),
        "registration": {
            "scale": float(moved.scale),
            "angle_deg": degrees(moved.angle_rad),
            "shift_x": float(moved.shift_x),
            "shift_y": float(moved.shift_y),
        },
        "obtained": obtained,
    }


def _calibration(report: CalibrationReport) -> dict[str, Any]:
    """The report as JSON: numbers that are not finite become null."""
    return {
        "hypothesis": plain(report.hypothesis),
        "runner_up": plain(report.runner_up),
        "margin": _finite(report.margin),
        "tie": bool(report.tie),
        "residual_pct": _finite(report.residual_pct),
        "fov_deg": _finite(report.fov_deg),
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None
