"""Camera formats: what is written is read back as it was, and the half pixel goes the right way in each."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.making import NAMES, depth_pixels, encoded, png, rgb_pixels, write_folder
from meshwright.cameras.bop import write_bop
from meshwright.cameras.colmap import rotation_quaternion, write_colmap
from meshwright.cameras.nerfstudio import read_cameras, read_registrations, write_cameras
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.capture.limits import Limits
from meshwright.capture.load import load_capture
from meshwright.capture.posed_bop import parse_bop
from meshwright.capture.posed_colmap import parse_colmap, quaternion_matrix
from meshwright.capture.posed_nerfstudio import parse_nerfstudio
from meshwright.capture.strict_json import parse_json
from meshwright.errors import InputError
from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import exp_so3
from meshwright.geometry.similarity import Similarity2d

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
angles = st.tuples(*[st.floats(-3, 3)] * 3)
small = st.floats(-1, 1)


def camera(rotation: tuple[float, float, float] = (0.3, -0.2, 0.1), size: int = 64, shift: float = 1.7) -> Camera:
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = exp_so3(np.array(rotation)), (0.4, -0.5, 2.0)
    return Camera(np.array([[80.0, 0, size / 2 + shift], [0, 81.0, size / 2 - shift], [0, 0, 1]]), c2w, size, size)


def same(a: Camera, b: Camera) -> None:
    np.testing.assert_allclose(a.K, b.K, **TIGHT)
    np.testing.assert_allclose(a.c2w, b.c2w, **TIGHT)
    assert (a.width, a.height, a.projection) == (b.width, b.height, b.projection)


def calibrated(cameras: list[Camera], moved: Similarity2d, scale: float | None = 0.01) -> CalibratedCapture:
    views = tuple(
        CalibratedView(f"view {i}", c.resized(32, 32), np.ones((32, 32), bool), None, np.zeros((64, 64, 3), np.uint8),
                       moved, depth_scale=scale)
        for i, c in enumerate(cameras)
    )  # fmt: skip
    report = CalibrationReport("estimated", {"naming": "object", "rolls": np.array([1, 2])}, margin=float("inf"))
    return CalibratedCapture(views, report, 1.0, np.array([[-1.0] * 3, [1.0] * 3]))


# nerfstudio.


@given(angles, small, small, small, st.sampled_from([None, 0.01, 3.0]))
def test_our_cameras_json_read_back_is_the_identity(
    rotation: tuple[float, float, float], angle: float, x: float, y: float, scale: float | None
) -> None:
    moved = Similarity2d(1.0 + 0.1 * angle, 0.05 * angle, 0.06 * x, 0.06 * y)
    capture = calibrated([camera(rotation), camera()], moved, scale)
    document = json.loads(json.dumps(write_cameras(capture), allow_nan=False))
    posed, registrations = read_cameras(document), read_registrations(document)
    assert [frame.name for frame in posed.frames] == [view.name for view in capture.views]
    for frame, view in zip(posed.frames, capture.views, strict=True):
        same(frame.camera, view.rgb_camera)
        assert frame.depth_scale == view.depth_scale
        back = registrations[view.name]
        assert back.matrix() == pytest.approx(moved.matrix(), abs=1e-15)


def test_orthographic_cameras_survive_too() -> None:
    from dataclasses import replace

    capture = calibrated([replace(camera(), projection="orthographic"), camera()], Similarity2d())
    document = write_cameras(capture)
    assert document["camera_model"] == "MIXED"
    assert [f.camera.projection for f in read_cameras(document).frames] == ["orthographic", "perspective"]


def test_the_report_of_how_cameras_came_is_plain_json() -> None:
    document = write_cameras(calibrated([camera()], Similarity2d()))
    assert document["calibration"]["margin"] is None
    assert document["calibration"]["hypothesis"] == {"naming": "object", "rolls": [1, 2]}
    assert document["frames"][0]["obtained"]["camera"] == "estimated"


def frame(**changes: object) -> dict:
    base = {"file_path": "a.png", "w": 64, "h": 64, "fl_x": 80.0, "fl_y": 80.0, "cx": 32.0, "cy": 32.0}
    return {**base, "transform_matrix": np.eye(4).tolist(), **changes}


@pytest.mark.parametrize(
    ("convention", "centre"),
    [
        (None, 32.5),  # nerfstudio's documented default: integer coordinates are pixel centres
        ("OpenGL c2w: x right, y up, looks along -z; pixel centres at +0.5", 32.0),
        ({"axes": "opengl", "matrix": "c2w", "pixel_centre": 0.5}, 32.0),
        ({"axes": "opengl", "pixel_center": 0}, 32.5),
    ],
)
def test_the_half_pixel_of_nerfstudio(convention: object, centre: float) -> None:
    document = {"frames": [frame()], **({} if convention is None else {"convention": convention})}
    np.testing.assert_array_equal(parse_nerfstudio(document, "f").frames[0].camera.K[:2, 2], centre)


def test_without_a_principal_point_the_centre_is_the_middle() -> None:
    bare = {k: v for k, v in frame().items() if k not in ("cx", "cy")}
    np.testing.assert_array_equal(parse_nerfstudio({"frames": [bare]}, "f").frames[0].camera.K[:2, 2], 32.0)


@given(angles)
def test_axes_and_direction_follow_the_convention(rotation: tuple[float, float, float]) -> None:
    """One pose said in four ways is one camera."""
    c2w, flip = camera(rotation).c2w, np.diag([1.0, -1.0, -1.0, 1.0])
    ways = {
        "OpenGL c2w": c2w @ flip,
        "OpenCV c2w": c2w,
        "OpenCV w2c": np.linalg.inv(c2w),
        "OpenGL w2c": np.linalg.inv(c2w @ flip),
    }
    for convention, matrix in ways.items():
        document = {"convention": convention, "frames": [frame(transform_matrix=matrix.tolist())]}
        np.testing.assert_allclose(parse_nerfstudio(document, "f").frames[0].camera.c2w, c2w, atol=1e-9)


def test_global_intrinsics_hold_where_a_frame_has_none() -> None:
    shared = {key: frame()[key] for key in ("w", "h", "fl_x", "fl_y", "cx", "cy")}
    frames = [{"file_path": f"{i}.png", "transform_matrix": np.eye(4).tolist()} for i in range(2)]
    frames[1]["fl_x"] = 99.0
    posed = parse_nerfstudio({**shared, "frames": frames}, "f").frames
    assert [f.camera.K[0, 0] for f in posed] == [80.0, 99.0]


def test_declared_units_become_metres() -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = (100.0, 200.0, 300.0)
    document = {"units": "mm", "frames": [frame(transform_matrix=matrix.tolist())]}
    posed = parse_nerfstudio(document, "f")
    np.testing.assert_allclose(posed.frames[0].camera.center, (0.1, 0.2, 0.3))
    assert posed.unit == "metre"


def json_values() -> st.SearchStrategy:
    leaves = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
    keys = st.text(max_size=4)
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))


FIELDS = ("transform_matrix", "fl_x", "fl_y", "cx", "w", "file_path", "depth_scale", "k1", "split")


@given(json_values(), st.sampled_from(FIELDS))
def test_any_value_in_any_field_is_read_or_refused_with_its_place(value: object, key: str) -> None:
    document = {"frames": [frame(), frame(file_path="b.png", **({key: value} if key != "file_path" else {}))]}
    if key == "file_path":
        document["frames"][1]["file_path"] = value
    try:
        posed = parse_json(json.dumps(document).encode(), "f", Limits())
        frames = parse_nerfstudio(posed, "f").frames
    except InputError as error:
        named = error.details["file"]
    else:
        named = "f"
        assert all(np.isfinite(f.camera.K).all() and np.isfinite(f.camera.c2w).all() for f in frames)
    assert named == "f"


# COLMAP.


@given(angles)
def test_quaternions_and_rotations_are_inverse(rotation: tuple[float, float, float]) -> None:
    matrix = exp_so3(np.array(rotation))
    np.testing.assert_allclose(quaternion_matrix(rotation_quaternion(matrix)), matrix, atol=1e-12)


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
@given(angles, angles)
def test_a_colmap_model_read_back_is_the_identity(binary: bool, a: tuple, b: tuple) -> None:
    cameras = {"front.png": camera(a), "left/back view.png": camera(b, 128)}
    files = write_colmap(cameras, binary=binary)
    suffix = "bin" if binary else "txt"
    posed = parse_colmap(files[f"cameras.{suffix}"], files[f"images.{suffix}"], binary, "sparse/0/")
    assert [f.rgb_path for f in posed.frames] == list(cameras)
    for found, given_camera in zip(posed.frames, cameras.values(), strict=True):
        same(found.camera, given_camera)


def test_the_half_pixel_of_colmap() -> None:
    """COLMAP's first pixel centre is at 0.5 like ours: the principal point is untouched."""
    text = b"1 SIMPLE_PINHOLE 64 48 80 32 24\n"
    posed = parse_colmap(text, b"1 1 0 0 0 0 0 2 1 a.png\n\n", False, "")
    np.testing.assert_array_equal(posed.frames[0].camera.K[:2, 2], (32.0, 24.0))
    np.testing.assert_allclose(posed.frames[0].camera.center, (0, 0, -2))


def test_points_in_a_binary_model_are_skipped() -> None:
    files = write_colmap({"a.png": camera(), "b.png": camera()})
    images = files["images.bin"]
    at = images.index(b"a.png\0") + 6
    with_points = images[:at] + struct.pack("<Q", 2) + struct.pack("<2dq", 1, 2, -1) * 2 + images[at + 8 :]
    assert len(parse_colmap(files["cameras.bin"], with_points, True, "").frames) == 2


@pytest.mark.parametrize(
    ("cameras", "images", "reason"),
    [
        (b"1 FISHEYE 64 64 1 2 3\n", b"1 1 0 0 0 0 0 2 1 a.png\n\n", "camera_model"),
        (b"1 PINHOLE 64 64 80 80 32\n", b"1 1 0 0 0 0 0 2 1 a.png\n\n", "camera_value"),
        (b"1 PINHOLE 64 64 80 80 32 nan\n", b"1 1 0 0 0 0 0 2 1 a.png\n\n", "camera_value"),
        (b"1 PINHOLE 64 64 0 80 32 32\n", b"1 1 0 0 0 0 0 2 1 a.png\n\n", "camera_focal"),
        (b"1 RADIAL 64 64 80 32 32 0.4 0\n", b"1 1 0 0 0 0 0 2 1 a.png\n\n", "camera_distortion"),
        (b"1 PINHOLE 64 64 80 80 32 32\n", b"1 2 0 0 0 0 0 2 1 a.png\n\n", "camera_rotation"),
        (b"1 PINHOLE 64 64 80 80 32 32\n", b"1 1 0 0 0 inf 0 2 1 a.png\n\n", "camera_not_finite"),
        (b"1 PINHOLE 64 64 80 80 32 32\n", b"1 1 0 0 0 0 0 2 7 a.png\n\n", "camera_value"),
        (b"1 PINHOLE 64 64 80 80 32 32\n", b"", "cameras_no_frames"),
        (b"1 PINHOLE\n", b"1 1 0 0 0 0 0 2 1 a.png\n\n", "colmap_corrupt"),
    ],
)
def test_bad_colmap_models_are_refused(cameras: bytes, images: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_colmap(cameras, images, False, "")
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_a_cut_binary_model_is_refused(name: str) -> None:
    files = write_colmap({f"{n}.png": camera() for n in NAMES})
    for cut in range(0, len(files[name]), 7):
        spoilt = {**files, name: files[name][:cut]}
        with pytest.raises(InputError):
            parse_colmap(spoilt["cameras.bin"], spoilt["images.bin"], True, "")


# BOP.


@given(angles)
def test_a_bop_scene_read_back_is_the_identity(rotation: tuple[float, float, float]) -> None:
    document = json.loads(json.dumps(write_bop([camera(rotation)], {0: 1e-4})))
    posed = parse_bop(document, None, "scene_camera.json", {0: {"rgb": "rgb/000000.png"}})
    found = posed.frames[0]
    np.testing.assert_allclose(found.camera.K, camera(rotation).K, **TIGHT)
    np.testing.assert_allclose(found.camera.c2w, camera(rotation).c2w, **TIGHT)
    assert found.depth_scale == pytest.approx(1e-4)
    assert posed.unit == "metre"


def test_the_half_pixel_of_bop() -> None:
    """``cam_K`` has integer coordinates at pixel centres: half a pixel is added."""
    entry = {
        "cam_K": [80, 0, 31.5, 0, 80, 23.5, 0, 0, 1],
        "cam_R_w2c": np.eye(3).ravel().tolist(),
        "cam_t_w2c": [0, 0, 500],
    }
    posed = parse_bop({"0": entry}, None, "f", {0: {"rgb": "rgb/000000.png"}})
    np.testing.assert_array_equal(posed.frames[0].camera.K[:2, 2], (32.0, 24.0))
    np.testing.assert_allclose(posed.frames[0].camera.center, (0, 0, -0.5))


def test_one_annotated_object_is_the_world_where_there_are_no_poses() -> None:
    entry = {"cam_K": [80, 0, 32, 0, 80, 32, 0, 0, 1], "depth_scale": 0.1}
    truth = {"0": [{"cam_R_m2c": np.eye(3).ravel().tolist(), "cam_t_m2c": [0, 0, 300], "obj_id": 1}]}
    posed = parse_bop({"0": entry}, truth, "f", {0: {"rgb": "rgb/000000.png"}})
    np.testing.assert_allclose(posed.frames[0].camera.center, (0, 0, -0.3))
    with pytest.raises(InputError):
        parse_bop({"0": entry}, None, "f", {0: {"rgb": "rgb/000000.png"}})


# Whole captures of each format.


def test_a_colmap_capture_is_read(tmp_path: Path) -> None:
    files = {f"images/{n}.jpg": encoded(rgb_pixels(i), "JPEG") for i, n in enumerate(NAMES)}
    cameras = {f"{n}.jpg": camera((0.1 * i, 0, 0)) for i, n in enumerate(NAMES)}
    model = {f"sparse/0/{name}": data for name, data in write_colmap(cameras).items()}
    capture = load_capture(write_folder(tmp_path, {**files, **model}))
    assert (capture.camera_format, capture.names) == ("colmap", NAMES)
    for view, expected in zip(capture.views, cameras.values(), strict=True):
        assert view.camera is not None
        same(view.camera, expected)


def test_a_bop_capture_is_read(tmp_path: Path) -> None:
    files = {}
    for i in range(3):
        files[f"rgb/{i:06d}.png"], files[f"depth/{i:06d}.png"] = png(rgb_pixels(i)), png(depth_pixels(64))
        files[f"mask_visib/{i:06d}_000000.png"] = png(np.where(depth_pixels(64) > 0, 255, 0).astype(np.uint8))
    document = write_bop([camera((0.1 * i, 0, 0)) for i in range(3)])
    capture = load_capture(write_folder(tmp_path, {**files, "scene_camera.json": json.dumps(document).encode()}))
    assert (capture.camera_format, capture.unit, len(capture.views)) == ("bop", "metre", 3)
    for i, view in enumerate(capture.views):
        assert view.camera is not None
        assert view.depth is not None
        assert view.mask is not None
        same(view.camera, camera((0.1 * i, 0, 0)))
        assert view.depth.unit_scale == pytest.approx(1e-3)
