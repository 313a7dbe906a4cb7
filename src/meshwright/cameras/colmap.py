"""COLMAP sparse models out of cameras (PINHOLE), and back: for tools that continue from here, and for round trips.

World-to-camera quaternions (w, x, y, z), OpenCV axes, first pixel centre at 0.5: colmap.github.io/format.html.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from meshwright.capture.posed_colmap import MODELS, parse_colmap
from meshwright.errors import InputError
from meshwright.geometry.camera import Camera

read_colmap = parse_colmap


def write_colmap(cameras: Mapping[str, Camera], *, binary: bool = True) -> dict[str, bytes]:
    """The files of a model (``cameras``, ``images``, ``points3D``), one camera and one image per name, no points.

    Raises `InputError` for an orthographic camera, which COLMAP does not know.
    """
    for name, camera in cameras.items():
        if camera.projection != "perspective":
            raise InputError(
                f"View {name}: COLMAP has no orthographic cameras.", suggestion="Use cameras.json.", view=name
            )
    return _binary_model(cameras) if binary else _text_model(cameras)


def rotation_quaternion(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """Unit quaternion (w, x, y, z), w >= 0, of a rotation: the eigenvector of Bar-Itzhack 2000, eq. 2."""
    m = rotation
    k = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], 0.0, 0.0, 0.0],
            [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], 0.0, 0.0],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0.0],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    _, vectors = np.linalg.eigh(k)  # reads the lower triangle
    q = vectors[:, -1]
    return -q if q[0] < 0 else q


def _pinhole(camera: Camera) -> tuple[float, float, float, float]:
    return float(camera.K[0, 0]), float(camera.K[1, 1]), float(camera.K[0, 2]), float(camera.K[1, 2])


def _pose(camera: Camera) -> tuple[float, ...]:
    w2c = camera.w2c
    return (*map(float, rotation_quaternion(w2c[:3, :3])), *map(float, w2c[:3, 3]))


def _binary_model(cameras: Mapping[str, Camera]) -> dict[str, bytes]:
    count = struct.pack("<Q", len(cameras))
    intrinsics, images = [count], [count]
    for number, (name, camera) in enumerate(cameras.items(), start=1):
        head = struct.pack("<iiQQ", number, MODELS["PINHOLE"][0], camera.width, camera.height)
        intrinsics.append(head + struct.pack("<4d", *_pinhole(camera)))
        pose = struct.pack("<i7di", number, *_pose(camera), number)
        images.append(pose + name.encode() + b"\x00" + struct.pack("<Q", 0))
    return {
        "cameras.bin": b"".join(intrinsics),
        "images.bin": b"".join(images),
        "points3D.bin": struct.pack("<Q", 0),
    }


def _text_model(cameras: Mapping[str, Camera]) -> dict[str, bytes]:
    intrinsics = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    images = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for number, (name, camera) in enumerate(cameras.items(), start=1):
        values = " ".join(map(repr, _pinhole(camera)))
        intrinsics.append(f"{number} PINHOLE {camera.width} {camera.height} {values}")
        images += [f"{number} {' '.join(map(repr, _pose(camera)))} {number} {name}", ""]
    return {
        "cameras.txt": ("\n".join(intrinsics) + "\n").encode(),
        "images.txt": ("\n".join(images) + "\n").encode(),
        "points3D.txt": b"# no points\n",
    }
