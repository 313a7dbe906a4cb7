"""nerfstudio ``transforms.json`` and our ``cameras.json``: OpenGL camera-to-world matrices and intrinsics.

The file's own ``convention`` decides axes, direction and pixel centre. Without one, nerfstudio's documented defaults
hold (docs.nerf.studio/quickstart/data_conventions): OpenGL axes, c2w, integer coordinates at pixel centres, so half a
pixel is added to the principal point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from meshwright.capture.capture import Finding
from meshwright.capture.posed import (
    PosedFrame,
    PosedFrames,
    checked_distortion,
    checked_intrinsics,
    checked_matrix,
    checked_number,
    checked_pose,
    view_name,
)
from meshwright.capture.strict_json import pointer_error
from meshwright.geometry.camera import FLIP_YZ, Camera

INPUT_SPLITS = (None, "input", "train")
_PINHOLE_MODELS = (None, "PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_UNITS = {"m": 1.0, "metre": 1.0, "meter": 1.0, "metres": 1.0, "meters": 1.0, "metric": 1.0,
          "mm": 1e-3, "millimetre": 1e-3, "millimeter": 1e-3, "millimetres": 1e-3, "millimeters": 1e-3,
          "cm": 1e-2, "centimetre": 1e-2, "centimeter": 1e-2, "centimetres": 1e-2, "centimeters": 1e-2}  # fmt: skip


@dataclass(frozen=True)
class Convention:
    """How to read a file's matrices and principal points. ``pixel_centre``: where the first pixel's centre lies."""

    axes: str = "opengl"
    direction: str = "c2w"
    pixel_centre: float = 0.0


def parse_nerfstudio(document: dict[str, Any], path: str) -> PosedFrames:
    """All input frames of a ``transforms.json`` or ``cameras.json`` document.

    Frames whose ``split`` is other than ``input`` or ``train`` are left out. ``depth_metric_scale`` is never used: it
    belongs to an evaluation folder. Declared units are turned into metres.

    Raises `InputError` with a JSON pointer in ``details`` for every value that cannot be used.
    """
    convention = parse_convention(document.get("convention"), path)
    factor = _unit_factor(document, path)
    frames = document.get("frames")
    if not isinstance(frames, list):
        raise pointer_error(path, "/frames", "there is no list of frames", "cameras_no_frames")
    found = [
        _frame(document, frame, f"/frames/{i}", path, convention, factor or 1.0)
        for i, frame in enumerate(frames)
        if _is_input(frame, f"/frames/{i}", path)
    ]
    if not found:
        raise pointer_error(path, "/frames", "no frame is an input", "cameras_no_frames")
    _check_distinct(found, path)
    skipped = len(frames) - len(found)
    findings = (
        (Finding("frames_left_out", f"{skipped} frames of {path} are not inputs by their split.", severity="info"),)
        if skipped
        else ()
    )
    return PosedFrames("nerfstudio", path, tuple(found), "metre" if factor else None, findings)


def parse_convention(value: Any, path: str) -> Convention:
    """The ``convention`` field: an object (``axes``, ``matrix``, ``pixel_centre``) or a sentence that names them."""
    if value is None:
        return Convention()
    if isinstance(value, dict):
        centre = value.get("pixel_centre", value.get("pixel_center", 0.0))
        return _checked_convention(
            str(value.get("axes", "opengl")).lower(), str(value.get("matrix", "c2w")).lower(), centre, path
        )
    text = str(value).lower()
    axes = "opencv" if "opencv" in text or "colmap" in text else "opengl"
    direction = "w2c" if "w2c" in text or "world-to-camera" in text or "world to camera" in text else "c2w"
    centre = 0.5 if "0.5" in text or "half" in text else 0.0
    return _checked_convention(axes, direction, centre, path)


def _checked_convention(axes: str, direction: str, centre: Any, path: str) -> Convention:
    axes = {"blender": "opengl", "colmap": "opencv"}.get(axes, axes)
    if axes not in ("opengl", "opencv") or direction not in ("c2w", "w2c") or centre not in (0, 0.5):
        raise pointer_error(
            path, "/convention", "the convention is not understood", "camera_convention",
            'Say {"axes": "opengl" or "opencv", "matrix": "c2w" or "w2c", "pixel_centre": 0 or 0.5}.',
        )  # fmt: skip
    return Convention(axes, direction, float(centre))


def _unit_factor(document: dict[str, Any], path: str) -> float | None:
    """Metres per unit of the file where it declares one."""
    text = str(document.get("units", document.get("unit", ""))).strip().lower()
    return _UNITS.get(text)


def _is_input(frame: Any, pointer: str, path: str) -> bool:
    if not isinstance(frame, dict):
        raise pointer_error(path, pointer, "a frame must be an object", "camera_value")
    return frame.get("split") in INPUT_SPLITS


def _frame(
    document: dict[str, Any], frame: dict[str, Any], pointer: str, path: str, convention: Convention, factor: float
) -> PosedFrame:
    rgb = _text(frame, "file_path", pointer, path) or ""
    name = _text(frame, "name", pointer, path) or view_name(rgb)
    if not name:
        raise pointer_error(path, pointer, "the frame has neither file_path nor name", "camera_value")
    if "transform_matrix" not in frame:
        raise pointer_error(path, pointer, "the frame has no transform_matrix", "camera_value")
    c2w = _pose(frame["transform_matrix"], f"{pointer}/transform_matrix", path, convention, factor)
    camera, fov = _intrinsics(document, frame, pointer, path, convention, c2w)
    scale = _depth_scale(document, frame, pointer, path)
    return PosedFrame(
        name, camera, rgb, pointer, _text(frame, "depth_file_path", pointer, path),
        _text(frame, "mask_path", pointer, path), None if scale is None else scale * factor, fov,
    )  # fmt: skip


def _pose(rows: Any, pointer: str, path: str, convention: Convention, factor: float) -> Float[np.ndarray, "4 4"]:
    matrix = checked_pose(checked_matrix(rows, path, pointer), path, pointer)
    if convention.direction == "w2c":
        matrix = np.linalg.inv(matrix)
    if convention.axes == "opengl":
        matrix = matrix @ FLIP_YZ
    matrix[:3, 3] *= factor
    return matrix


def _intrinsics(
    document: dict[str, Any], frame: dict[str, Any], pointer: str, path: str, convention: Convention,
    c2w: Float[np.ndarray, "4 4"],
) -> tuple[Camera, float | None]:  # fmt: skip
    """The camera; where only ``camera_angle_x`` is given, its field of view, to be completed by the image's size."""

    def value(key: str) -> float | None:
        where = frame if key in frame else document
        at = f"{pointer}/{key}" if key in frame else f"/{key}"
        return checked_number(where[key], path, at) if key in where else None

    model = frame.get("camera_model", document.get("camera_model"))
    orthographic = model in ("ORTHOGRAPHIC", "ORTHOPHOTO")
    if model not in _PINHOLE_MODELS and not orthographic:
        raise pointer_error(
            path, pointer, f"the camera model {model!r} is not supported", "camera_model",
            "Undistort the images and give pinhole cameras.",
        )  # fmt: skip
    width, height = (_side(value(key), key, pointer, path) for key in ("w", "h"))
    fx = value("fl_x")
    if fx is None:
        return _from_angle(value("camera_angle_x"), c2w, width, height, pointer, path)
    fy = value("fl_y")
    shift = 0.5 - convention.pixel_centre
    cx, cy = value("cx"), value("cy")
    if (cx is None or cy is None) and not (width and height):
        raise pointer_error(path, pointer, "the principal point and the size are missing", "camera_value")
    centre = (width / 2 if cx is None else cx + shift, height / 2 if cy is None else cy + shift)
    K = checked_intrinsics((fx, fx if fy is None else fy), centre, path, pointer)
    if any(distortion := [value(key) or 0.0 for key in ("k1", "k2", "p1", "p2")]):
        checked_distortion(distortion, K, (round(2 * centre[0]), round(2 * centre[1])), path, pointer)
    return Camera(K, c2w, width, height, "orthographic" if orthographic else "perspective"), None


def _side(value: float | None, key: str, pointer: str, path: str) -> int:
    if value is not None and (value != int(value) or not 1 <= value <= 1 << 20):
        raise pointer_error(path, f"{pointer}/{key}", f"{value:g} is no image size", "camera_value")
    return int(value or 0)


def _from_angle(
    angle: float | None, c2w: Float[np.ndarray, "4 4"], width: int, height: int, pointer: str, path: str
) -> tuple[Camera, float]:
    if angle is None:
        raise pointer_error(path, pointer, "neither fl_x nor camera_angle_x is given", "camera_focal")
    if not 0 < angle < math.pi:
        raise pointer_error(path, "/camera_angle_x", f"{angle:g} is no angle of view in radians", "camera_focal")
    return Camera(np.eye(3), c2w, width, height), angle


def _depth_scale(document: dict[str, Any], frame: dict[str, Any], pointer: str, path: str) -> float | None:
    """World units per depth value, per frame or global."""
    for where, at in ((frame, pointer), (document, "")):
        for key in ("depth_scale", "depth_unit_scale_factor"):
            if where.get(key) is not None:
                scale = checked_number(where[key], path, f"{at}/{key}")
                if not 0 < scale < 1e9:
                    raise pointer_error(
                        path, f"{at}/{key}", f"the depth scale {scale:g} is not positive", "depth_scale"
                    )
                return scale
    return None


def _text(frame: dict[str, Any], key: str, pointer: str, path: str) -> str | None:
    value = frame.get(key)
    if value is not None and not isinstance(value, str):
        raise pointer_error(path, f"{pointer}/{key}", "expected text", "camera_value")
    return value or None


def _check_distinct(frames: list[PosedFrame], path: str) -> None:
    seen: dict[str, str] = {}
    for frame in frames:
        key = frame.rgb_path or frame.name
        if key in seen:
            raise pointer_error(path, frame.pointer, f"{key} has two cameras", "camera_duplicate")
        seen[key] = frame.pointer
