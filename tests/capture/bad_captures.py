"""Captures that must be refused: name -> (files or ZIP bytes, code, reason). One entry is one way to be wrong."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

from capture.making import (
    bare_png,
    cameras,
    chunk,
    depth_pixels,
    encoded,
    frame,
    good_files,
    npy,
    png,
    rgb_pixels,
    with_cameras,
    zip_bytes,
)

Files = dict[str, bytes]
Content = Files | bytes
FORMAT, LARGE, COUNT, VALUE = "INVALID_FILE_FORMAT", "FILE_TOO_LARGE", "INVALID_FILE_COUNT", "VALIDATION_FAILED"


def swapped(path: str, data: bytes) -> Files:
    """The good capture with one file replaced or added."""
    return {**good_files(), path: data}


def front(data: bytes) -> Files:
    return swapped("multi_views/front.png", data)


def depth(data: bytes, path: str = "depth_renders/front.png") -> Files:
    files = good_files()
    del files["depth_renders/front.png"]
    return {**files, path: data}


def without(*paths: str) -> Files:
    return {path: data for path, data in good_files().items() if path not in paths}


def one_camera(**changes: object) -> Files:
    names = ("front", "back", "left", "right", "top", "bottom")
    return with_cameras(cameras(frames=[frame(n, **(changes if n == "front" else {})) for n in names]))


def one_split(split: str) -> Files:
    return with_cameras(cameras(frames=[frame("front", split=split)]))


def matrix(edit: Callable[[np.ndarray], None]) -> Files:
    value = np.eye(4)
    edit(value)
    return one_camera(transform_matrix=value.tolist())


def animated_png() -> bytes:
    buffer = BytesIO()
    frames = [Image.fromarray(rgb_pixels(i)) for i in range(2)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def pages_tiff() -> bytes:
    buffer = BytesIO()
    pages = [Image.fromarray(rgb_pixels(i)) for i in range(2)]
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def archive(edit: Callable[[zipfile.ZipFile], None]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in good_files().items():
            target.writestr(name, data)
        edit(target)
    return buffer.getvalue()


def named(name: str) -> bytes:
    return archive(lambda z: z.writestr(zipfile.ZipInfo(name), b"x"))


def linked(mode: int) -> bytes:
    info = zipfile.ZipInfo("multi_views/extra.png")
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    return archive(lambda z: z.writestr(info, b"/etc/passwd"))


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """A field of the first record with that signature overwritten."""
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


def overlapping() -> bytes:
    """Two directory entries that share one local entry's bytes (the quoted-overlap bomb's trick)."""
    data = zip_bytes({"a.png": b"12345678", "b.png": b"12345678"}, zipfile.ZIP_STORED)
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 1)
    return patched(data, data[second : second + 46], 42, bytes(4))


def lying_size() -> bytes:
    data = zip_bytes({"multi_views/front.png": bytes(5000)})
    return patched(data, b"PK\x01\x02", 24, struct.pack("<I", 400))


def bomb() -> bytes:
    return zip_bytes({"multi_views/front.png": bytes(30_000_000)})


def huge_count() -> bytes:
    return zip_bytes({f"f{i}.txt": b"" for i in range(300)})


def deep_json() -> bytes:
    return b'{"frames": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"


ROTATED = [[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
RGB, DEPTH = png(rgb_pixels()), png(depth_pixels(32))
JPEG_DEPTH = encoded(depth_pixels(32, np.uint8), "JPEG")
NPY = "depth_renders/front.npy"
BOAST = npy(np.ones((32, 32))).replace(b"(32, 32)", b"(3200,2)")
ZIP = zip_bytes(good_files())

BAD: dict[str, tuple[Content, str, str]] = {
    # Counts and names
    "empty folder": ({}, COUNT, "no_views"),
    "only a text file": ({"readme.txt": b"hello"}, COUNT, "no_views"),
    "65 views": ({f"views/{i}.png": RGB for i in range(65)}, COUNT, "too_many_views"),
    "one depth map missing": (without("depth_renders/top.png"), COUNT, "depth_count"),
    "one view missing": (without("multi_views/top.png"), COUNT, "depth_count"),
    "depth of another view": (depth(DEPTH, "depth_renders/side.png"), COUNT, "depth_count"),
    "two files of one view": (swapped("multi_views/front.jpg", encoded(rgb_pixels(), "JPEG")), COUNT, "duplicate_view"),
    "mask of no view": (swapped("masks/behind.png", png(np.full((64, 64), 255, np.uint8))), COUNT, "mask_count"),
    # Images
    "truncated PNG": (front(RGB[: len(RGB) // 2]), FORMAT, "image_corrupt"),
    "PNG without end": (front(RGB[:-12]), FORMAT, "image_corrupt"),
    "PNG with a flipped bit": (front(flipped(RGB, len(RGB) // 2)), FORMAT, "image_corrupt"),
    "PNG header alone": (front(RGB[:33]), FORMAT, "image_corrupt"),
    "28 bytes of garbage": (front(b"\x89PNG\r\n\x1a\n" + bytes(20)), FORMAT, "image_corrupt"),
    "50,000 px PNG": (front(bare_png(50_000, 50_000, zlib.compress(bytes(10_000)))), LARGE, "image_too_large"),
    "13,300 px PNG": (front(bare_png(13_300, 13_300, zlib.compress(bytes(10_000)))), LARGE, "image_too_large"),
    "PNG of no pixels": (front(bare_png(0, 0)), FORMAT, "image_corrupt"),
    "PNG with too little data": (front(bare_png(64, 64, zlib.compress(bytes(100)))), FORMAT, "image_corrupt"),
    "PNG of 20,000 chunks": (front(bare_png(64, 64, extra=chunk(b"teXt", b"") * 20_000)), FORMAT, "image_corrupt"),
    "PNG of an unknown kind": (front(bare_png(64, 64, bits=3)), FORMAT, "image_corrupt"),
    "animated PNG": (front(animated_png()), FORMAT, "image_animated"),
    "TIFF of two pages": (front(pages_tiff()), FORMAT, "image_animated"),
    "truncated JPEG": (front(encoded(rgb_pixels(), "JPEG")[:400]), FORMAT, "image_corrupt"),
    "truncated WebP": (front(encoded(rgb_pixels(), "WEBP")[:-20]), FORMAT, "image_corrupt"),
    "text named PNG": (front(b"this is no image"), FORMAT, "image_unknown"),
    "empty PNG file": (front(b""), FORMAT, "image_unknown"),
    "GIF named PNG": (front(encoded(rgb_pixels(), "GIF")), FORMAT, "image_unknown"),
    "float image as colour": (front(encoded(np.ones((64, 64), np.float32), "TIFF")), FORMAT, "image_mode"),
    "image of 8 x 8": (front(png(rgb_pixels(size=8))), FORMAT, "image_tiny"),
    "image over 32 MiB": (front(RGB + bytes(32 * 1024 * 1024)), LARGE, "file_too_large"),
    "fully transparent image": (front(png(np.zeros((64, 64, 4), np.uint8))), FORMAT, "mask_empty"),
    "empty mask": (swapped("masks/front.png", png(np.zeros((64, 64), np.uint8))), FORMAT, "mask_empty"),
    "mask of another shape": (swapped("masks/front.png", png(np.full((64, 32), 255, np.uint8))), FORMAT, "mask_size"),
    # Depth
    "depth all zero": (depth(png(np.zeros((32, 32), np.uint16))), FORMAT, "depth_empty"),
    "depth all 65535": (depth(png(np.full((32, 32), 65535, np.uint16))), FORMAT, "depth_constant"),
    "depth all NaN": (depth(npy(np.full((32, 32), np.nan)), NPY), FORMAT, "depth_empty"),
    "depth as JPEG": (depth(JPEG_DEPTH, "depth_renders/front.jpg"), FORMAT, "depth_lossy"),
    "false-colour depth": (depth(RGB), FORMAT, "depth_not_grey"),
    "1-bit depth": (depth(png(np.eye(32, dtype=bool))), FORMAT, "depth_bits"),
    "depth of 64-bit integers": (depth(npy(np.ones((32, 32), np.int64)), NPY), FORMAT, "image_mode"),
    "pickled NPY": (depth(npy(np.array([{}]), allow_pickle=True), NPY), FORMAT, "image_mode"),
    "NPY cut short": (depth(npy(np.ones((32, 32)))[:-8], NPY), FORMAT, "image_corrupt"),
    "NPY that claims more": (depth(BOAST, NPY), FORMAT, "image_corrupt"),
    "NPY of three dimensions": (depth(npy(np.ones((32, 32, 3))), NPY), FORMAT, "image_mode"),
    "damaged EXR": (depth(b"v/1\x01\x02\0\0\0" + bytes(99), "depth_renders/front.exr"), FORMAT, "image_corrupt"),
    # Cameras
    "cameras: no JSON": (with_cameras("{"), FORMAT, "json_invalid"),
    "cameras: a list": (with_cameras("[]"), FORMAT, "json_invalid"),
    "cameras: not UTF-8": (with_cameras(b"\xff\xfe{}"), FORMAT, "json_invalid"),
    "cameras: NaN": (with_cameras('{"frames": [], "w": NaN}'), FORMAT, "json_not_finite"),
    "cameras: 1e999": (with_cameras('{"frames": [], "w": 1e999}'), FORMAT, "json_not_finite"),
    "cameras: a text for a number": (one_camera(fl_x="inf"), VALUE, "camera_value"),
    "cameras: true for a number": (one_camera(cx=True), VALUE, "camera_value"),
    "cameras: duplicate key": (with_cameras('{"w": 1, "w": 2, "frames": []}'), FORMAT, "json_duplicate_key"),
    "cameras: 10,000 levels deep": (with_cameras(deep_json()), FORMAT, "json_too_deep"),
    "cameras: over 1 MiB": (with_cameras(json.dumps(cameras()) + " " * (1 << 20)), LARGE, "json_too_large"),
    "cameras: no frames": (with_cameras({"w": 64}), VALUE, "cameras_no_frames"),
    "cameras: no input frame": (one_split("novel"), VALUE, "cameras_no_frames"),
    "cameras: of other images": (with_cameras(cameras(("a", "b"))), VALUE, "cameras_match_no_image"),
    "cameras: one frame twice": (with_cameras(cameras(("front", "front"))), VALUE, "camera_duplicate"),
    "cameras: names absent depth": (one_camera(depth_file_path="depth/none.png"), VALUE, "file_missing"),
    "cameras: singular rotation": (matrix(lambda m: m.__setitem__((0, 0), 0.0)), VALUE, "camera_rotation"),
    "cameras: scaled rotation": (matrix(lambda m: m.__setitem__(slice(0, 3), m[:3] * 1.01)), VALUE, "camera_rotation"),
    "cameras: mirrored": (matrix(lambda m: m.__setitem__((0, 0), -1.0)), VALUE, "camera_mirrored"),
    "cameras: 3 x 3 matrix": (one_camera(transform_matrix=np.eye(3).tolist()), VALUE, "camera_value"),
    "cameras: projective matrix": (matrix(lambda m: m.__setitem__((3, 0), 0.1)), VALUE, "camera_value"),
    "cameras: absurdly far": (matrix(lambda m: m.__setitem__((0, 3), 1e12)), VALUE, "camera_not_finite"),
    "cameras: zero focal length": (one_camera(fl_x=0.0), VALUE, "camera_focal"),
    "cameras: no focal length": (one_camera(fl_x=None), VALUE, "camera_value"),
    "cameras: another aspect": (one_camera(w=64, h=32), VALUE, "camera_size"),
    "cameras: fish-eye": (one_camera(camera_model="OPENCV_FISHEYE"), VALUE, "camera_model"),
    "cameras: strong distortion": (one_camera(k1=-0.3), VALUE, "camera_distortion"),
    "cameras: unknown convention": (
        with_cameras(cameras(convention={"axes": "maya"})), VALUE, "camera_convention"),
    "cameras: negative depth scale": (one_camera(depth_scale=-1.0), VALUE, "depth_scale"),
    # Archives
    "no ZIP": (b"hello", FORMAT, "archive_unknown"),
    "empty file": (b"", FORMAT, "archive_empty"),
    "ZIP cut short": (ZIP[:-100], FORMAT, "archive_corrupt"),
    "ZIP with a damaged directory": (patched(ZIP, b"PK\x01\x02", 0, b"XXXX"), FORMAT, "archive_corrupt"),
    "zip-slip": (named("../../evil.png"), FORMAT, "archive_name"),
    "absolute path": (named("/etc/evil.png"), FORMAT, "archive_name"),
    "drive letter": (named("C:evil.png"), FORMAT, "archive_name"),
    "backslashes": (named("..\\evil.png"), FORMAT, "archive_name"),
    "control character": (named("a\x1b[2J.png"), FORMAT, "archive_name"),
    "right-to-left override": (named("a\u202egnp.exe"), FORMAT, "archive_name"),
    "reserved name": (named("multi_views/CON.png"), FORMAT, "archive_name"),
    "case twins": (named("multi_views/FRONT.png"), FORMAT, "archive_duplicate"),
    "NFC twins": (zip_bytes({"views/caf\u00e9.png": RGB, "views/cafe\u0301.png": RGB}), FORMAT, "archive_duplicate"),
    "symlink": (linked(stat.S_IFLNK), FORMAT, "archive_link"),
    "device": (linked(stat.S_IFCHR), FORMAT, "archive_link"),
    "nested archive": (named("more.zip"), FORMAT, "archive_nested"),
    "encrypted": (patched(ZIP, b"PK\x01\x02", 8, b"\x01\x00"), FORMAT, "archive_encrypted"),
    "unknown method": (patched(ZIP, b"PK\x01\x02", 10, b"\x0c\x00"), FORMAT, "archive_method"),
    "bomb": (bomb(), LARGE, "archive_ratio"),
    "lying size": (lying_size(), FORMAT, "archive_size_lies"),
    "overlapping entries": (overlapping(), FORMAT, "archive_overlap"),
    "data in front": (b"#!/bin/sh\n" + ZIP, FORMAT, "archive_unknown"),
    "300 entries": (huge_count(), COUNT, "archive_entries"),
    "local name differs": (patched(ZIP, b"PK\x03\x04", 30, b"M"), FORMAT, "archive_name"),
    "wrong checksum": (patched(ZIP, b"PK\x01\x02", 16, b"\0\0\0\0"), FORMAT, "archive_size_lies"),
    "a broken image inside": (zip_bytes(front(RGB[:50])), FORMAT, "image_corrupt"),
}  # fmt: skip
