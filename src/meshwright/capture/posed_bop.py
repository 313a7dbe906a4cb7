"""BOP scene folders: ``scene_camera.json`` with ``cam_K`` and ``depth_scale``, poses in millimetres, OpenCV axes.

``raw * depth_scale`` is millimetres (bop_toolkit's docs/bop_datasets_format.md). Poses come from ``cam_R_w2c`` and
``cam_t_w2c``, or, where one object is annotated alone, from ``scene_gt.json``: then the world is that object's frame.
``cam_K`` counts integer coordinates at pixel centres (the OpenCV habit), so half a pixel is added. Millimetres become
metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from meshwright.capture.posed import (
    PosedFrame,
    PosedFrames,
    checked_intrinsics,
    checked_number,
    checked_numbers,
    checked_pose,
)
from meshwright.capture.strict_json import pointer_error
from meshwright.geometry.camera import Camera

MILLIMETRE = 1e-3


def parse_bop(
    cameras: dict[str, Any], ground_truth: dict[str, Any] | None, path: str, paths: Mapping[int, dict[str, str]]
) -> PosedFrames:
    """The frames of a ``scene_camera.json`` document whose images exist.

    ``paths`` maps each image number to its files (``rgb``, ``depth``, ``mask``).
    Raises `InputError` with a JSON pointer.
    """
    frames = []
    for key, entry in cameras.items():
        pointer = f"/{key}"
        if not key.isdigit() or not isinstance(entry, dict):
            raise pointer_error(path, pointer, "expected an image number with an object", "camera_value")
        files = paths.get(int(key), {})
        if "rgb" in files:
            frames.append(_frame(entry, (ground_truth or {}).get(key), path, pointer, files))
    if not frames:
        raise pointer_error(path, "/", "no image of this scene exists", "cameras_no_frames")
    return PosedFrames("bop", path, tuple(frames), "metre")


def _frame(entry: dict[str, Any], objects: Any, path: str, pointer: str, files: dict[str, str]) -> PosedFrame:
    k = checked_numbers(entry.get("cam_K"), 9, path, f"{pointer}/cam_K")
    if abs(k[1]) > 1e-6 * abs(k[0]) or np.abs(k[[3, 6, 7]]).max() > 1e-9 or abs(k[8] - 1) > 1e-9:
        raise pointer_error(path, f"{pointer}/cam_K", "the matrix is no pinhole camera without skew", "camera_value")
    K = checked_intrinsics((k[0], k[4]), (k[2] + 0.5, k[5] + 0.5), path, f"{pointer}/cam_K")
    scale = checked_number(entry.get("depth_scale", 1.0), path, f"{pointer}/depth_scale")
    if scale <= 0:
        raise pointer_error(path, f"{pointer}/depth_scale", "the depth scale is not positive", "depth_scale")
    c2w = _pose(entry, objects, path, pointer)
    name = files["rgb"].rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return PosedFrame(
        name, Camera(K, c2w, 0, 0), files["rgb"], pointer, files.get("depth"), files.get("mask"), scale * MILLIMETRE
    )


def _pose(entry: dict[str, Any], objects: Any, path: str, pointer: str) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world in metres."""
    source, rotation, translation = entry, "cam_R_w2c", "cam_t_w2c"
    if rotation not in entry and isinstance(objects, list) and len(objects) == 1 and isinstance(objects[0], dict):
        source, rotation, translation = objects[0], "cam_R_m2c", "cam_t_m2c"
    if rotation not in source:
        raise pointer_error(
            path, pointer, "there is no cam_R_w2c, and scene_gt.json does not show one object alone", "camera_value",
            "Add cam_R_w2c and cam_t_w2c to scene_camera.json.",
        )  # fmt: skip
    w2c = np.eye(4)
    w2c[:3, :3] = checked_numbers(source[rotation], 9, path, f"{pointer}/{rotation}").reshape(3, 3)
    w2c[:3, 3] = checked_numbers(source.get(translation), 3, path, f"{pointer}/{translation}") * MILLIMETRE
    w2c = checked_pose(w2c, path, f"{pointer}/{rotation}")
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = w2c[:3, :3].T, -w2c[:3, :3].T @ w2c[:3, 3]
    return c2w
