"""BOP's ``scene_camera.json`` out of cameras, and back: millimetres, OpenCV axes, integers at pixel centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshwright.capture.posed_bop import MILLIMETRE, parse_bop
from meshwright.errors import InputError
from meshwright.geometry.camera import Camera

read_bop = parse_bop


def write_bop(cameras: Sequence[Camera], depth_scales: Mapping[int, float] | None = None) -> dict[str, Any]:
    """The document for images 0, 1, 2 ... of cameras in metres; ``depth_scales`` are metres per stored value.

    Raises `InputError` for an orthographic camera, which BOP does not know.
    """
    document: dict[str, Any] = {}
    for number, camera in enumerate(cameras):
        if camera.projection != "perspective":
            raise InputError(f"Image {number}: BOP has no orthographic cameras.", suggestion="Use cameras.json.")
        K, w2c = camera.K.copy(), camera.w2c
        K[:2, 2] -= 0.5
        document[str(number)] = {
            "cam_K": K.ravel().tolist(),
            "depth_scale": (depth_scales or {}).get(number, MILLIMETRE) / MILLIMETRE,
            "cam_R_w2c": w2c[:3, :3].ravel().tolist(),
            "cam_t_w2c": (w2c[:3, 3] / MILLIMETRE).tolist(),
        }
    return document
