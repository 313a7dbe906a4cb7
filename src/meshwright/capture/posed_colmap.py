"""COLMAP sparse models, text and binary: world-to-camera quaternions (w, x, y, z), OpenCV axes, first pixel at 0.5.

Formats: colmap.github.io/format.html. The pixel convention is the inner one, so principal points pass unchanged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from meshwright.capture.posed import (
    PosedFrame,
    PosedFrames,
    checked_distortion,
    checked_intrinsics,
    checked_pose,
    view_name,
)
from meshwright.capture.strict_json import pointer_error
from meshwright.errors import InvalidFileFormat
from meshwright.geometry.camera import Camera

# name: (id in binary files, number of parameters, positions of fx, fy, cx, cy, then of k1, k2, p1, p2 so far as given)
MODELS: dict[str, tuple[int, int, tuple[int, int, int, int], tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": (0, 3, (0, 0, 1, 2), ()),
    "PINHOLE": (1, 4, (0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": (2, 4, (0, 0, 1, 2), (3,)),
    "RADIAL": (3, 5, (0, 0, 1, 2), (3, 4)),
    "OPENCV": (4, 8, (0, 1, 2, 3), (4, 5, 6, 7)),
}
_BY_ID = {entry[0]: name for name, entry in MODELS.items()}
_MAX_IMAGES = 10_000

_Intrinsics = tuple[int, int, Float[np.ndarray, "3 3"]]
_Image = tuple[str, int, Float[np.ndarray, "4"], Float[np.ndarray, "3"]]


def parse_colmap(cameras: bytes, images: bytes, binary: bool, folder: str) -> PosedFrames:
    """The frames of ``cameras`` and ``images`` (``.bin`` or ``.txt`` contents) in the model folder ``folder``.

    Raises `InputError` naming the file and the camera or image; lens distortion over one pixel is refused.
    """
    suffix = "bin" if binary else "txt"
    cameras_path, images_path = f"{folder}cameras.{suffix}", f"{folder}images.{suffix}"
    try:
        intrinsics = dict((_binary_cameras if binary else _text_cameras)(cameras, cameras_path))
        found = list((_binary_images if binary else _text_images)(images))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise InvalidFileFormat(
            f"The COLMAP model in {folder or '.'} is damaged.",
            suggestion="Export the model again (colmap model_converter).",
            reason="colmap_corrupt",
            file=images_path,
        ) from error
    frames = tuple(_frame(image, intrinsics, images_path) for image in found)
    if not frames:
        raise pointer_error(images_path, "/", "no image is registered", "cameras_no_frames")
    return PosedFrames("colmap", images_path, frames)


def _frame(image: _Image, intrinsics: dict[int, _Intrinsics], path: str) -> PosedFrame:
    name, camera_id, wxyz, translation = image
    pointer = f"/{name}"
    if camera_id not in intrinsics:
        raise pointer_error(path, pointer, f"camera {camera_id} does not exist", "camera_value")
    width, height, K = intrinsics[camera_id]
    norm = float(np.linalg.norm(wxyz))
    if not (np.isfinite(translation).all() and np.isfinite(norm)):
        raise pointer_error(path, pointer, "the pose is not finite", "camera_not_finite")
    if abs(norm - 1) > 1e-2:
        raise pointer_error(path, pointer, f"the quaternion has length {norm:.3g}, not 1", "camera_rotation")
    rotation = quaternion_matrix(wxyz / norm)
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = rotation.T, -rotation.T @ translation
    return PosedFrame(view_name(name), Camera(K, checked_pose(c2w, path, pointer), width, height), name, pointer)


def quaternion_matrix(wxyz: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3 3"]:
    """Rotation matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = wxyz
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _intrinsics(model: str, width: int, height: int, values: list[float], path: str, pointer: str) -> _Intrinsics:
    if model not in MODELS:
        raise pointer_error(
            path, pointer, f"the camera model {model} is not supported", "camera_model",
            "Undistort the images (colmap image_undistorter) and give pinhole cameras.",
        )  # fmt: skip
    _, count, (fx, fy, cx, cy), lens = MODELS[model]
    if len(values) != count or not np.isfinite(values).all():
        raise pointer_error(path, pointer, f"{model} needs {count} finite parameters", "camera_value")
    if not (1 <= width <= 1 << 20 and 1 <= height <= 1 << 20):
        raise pointer_error(path, pointer, f"{width} x {height} is no image size", "camera_value")
    K = checked_intrinsics((values[fx], values[fy]), (values[cx], values[cy]), path, pointer)
    checked_distortion([values[i] for i in lens], K, (width, height), path, pointer)
    return width, height, K


def _text_lines(data: bytes) -> Iterator[str]:
    """Lines that are no comments, empty ones kept (an image without points has an empty second line)."""
    return (line.strip() for line in data.decode("utf-8").splitlines() if not line.startswith("#"))


def _text_cameras(data: bytes, path: str) -> Iterator[tuple[int, _Intrinsics]]:
    for line in _text_lines(data):
        if line:
            number, model, width, height, *values = line.split()
            yield (
                int(number),
                _intrinsics(model, int(width), int(height), [float(v) for v in values], path, f"/{number}"),
            )


def _text_images(data: bytes) -> Iterator[_Image]:
    lines = list(_text_lines(data))
    while lines and not lines[0]:
        lines.pop(0)
    for line in lines[::2]:
        if line:
            words = line.split(maxsplit=9)
            numbers = np.array([float(word) for word in words[1:8]])
            yield words[9], int(words[8]), numbers[:4], numbers[4:]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, code: str) -> tuple[float, ...]:
        values = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return values

    def text(self) -> str:
        end = self.data.index(b"\x00", self.at, self.at + 1024)
        text, self.at = self.data[self.at : end].decode("utf-8"), end + 1
        return text


def _binary_cameras(data: bytes, path: str) -> Iterator[tuple[int, _Intrinsics]]:
    reader = _Reader(data)
    for _ in range(_bounded(reader)):
        number, model_id, width, height = (int(v) for v in reader.take("iiQQ"))
        model = _BY_ID.get(model_id, str(model_id))
        count = MODELS[model][1] if model in MODELS else 0
        yield number, _intrinsics(model, width, height, list(reader.take("d" * count)), path, f"/{number}")


def _binary_images(data: bytes) -> Iterator[_Image]:
    reader = _Reader(data)
    for _ in range(_bounded(reader)):
        _, *numbers, camera_id = reader.take("i7di")
        name = reader.text()
        points = int(reader.take("Q")[0])
        if points > (len(data) - reader.at) // 24:  # each is two doubles and an int64
            raise ValueError("more points than bytes")
        reader.at += 24 * points
        yield name, int(camera_id), np.array(numbers[:4]), np.array(numbers[4:])


def _bounded(reader: _Reader) -> int:
    count = int(reader.take("Q")[0])
    if count > _MAX_IMAGES:
        raise ValueError("an absurd count")
    return count
