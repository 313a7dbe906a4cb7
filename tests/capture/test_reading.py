"""What is stored is what is read: exact depth, upright images, one capture from every layout."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from capture.making import (
    NAMES,
    cameras,
    depth_pixels,
    encoded,
    frame,
    good_files,
    npy,
    png,
    rgb_pixels,
    with_cameras,
    write_folder,
    zip_bytes,
)
from meshwright.capture.capture import Capture
from meshwright.capture.decode import decode_depth, decode_mask, decode_rgb
from meshwright.capture.layout import match_key, natural_key
from meshwright.capture.limits import Limits
from meshwright.capture.load import load_capture
from meshwright.errors import FileTooLarge

LIMITS = Limits()


def codes(capture: Capture) -> set[str]:
    return {finding.code for finding in capture.findings}


def exr(values: np.ndarray, path: Path) -> bytes:
    OpenEXR = pytest.importorskip("OpenEXR")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": values}) as file:
        file.write(str(path))
    return path.read_bytes()


# Depth.

RAMP = np.arange(65_536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("data", [png(RAMP), encoded(RAMP, "TIFF"), npy(RAMP)], ids=["png", "tiff", "npy"])
def test_every_16_bit_value_survives(data: bytes) -> None:
    image = decode_depth(data, "d", LIMITS).image
    assert image.bits == 16
    np.testing.assert_array_equal(image.values, RAMP.astype(np.float32))


@pytest.mark.parametrize("kind", ["tiff", "npy", "exr"])
def test_float_depth_survives_and_what_is_not_finite_is_none(kind: str, tmp_path: Path) -> None:
    values = np.linspace(0.5, 3.0, 1024, dtype=np.float32).reshape(32, 32).copy()
    values[0, :4] = (np.nan, np.inf, -np.inf, -1.0)
    data = {
        "tiff": lambda: encoded(values, "TIFF"),
        "npy": lambda: npy(values),
        "exr": lambda: exr(values, tmp_path / "d.exr"),
    }
    image = decode_depth(data[kind](), "d", LIMITS).image
    assert image.bits == 32
    assert not image.values[0, :4].any()
    np.testing.assert_array_equal(image.values[1:], values[1:])


def test_a_grey_colour_image_is_depth_and_alpha_says_where_there_is_none() -> None:
    grey = depth_pixels(32, np.uint8)
    alpha = np.where(np.arange(32)[None, :] < 16, 255, 0).astype(np.uint8).repeat(32, 0)
    image = decode_depth(png(np.dstack([grey, grey, grey, alpha])), "d", LIMITS).image
    np.testing.assert_array_equal(image.values, np.where(alpha > 0, grey, 0))


def test_a_background_stored_as_the_farthest_value_is_no_depth() -> None:
    values = depth_pixels(32)
    far = np.where(values == 0, 65_535, values)
    depth = decode_depth(png(far.astype(np.uint16)), "d", LIMITS)
    np.testing.assert_array_equal(depth.image.values, values)
    assert depth.notes == ("depth_background_far",)


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
def test_exr_is_read_like_the_openexr_library_writes_it(compression: str, dtype: type, tmp_path: Path) -> None:
    OpenEXR = pytest.importorskip("OpenEXR")
    values = (np.random.default_rng(0).integers(1, 900, (37, 21)) / (1 if dtype == np.uint32 else 8)).astype(dtype)
    values[:, :9] = 7  # runs, so that every compression compresses
    header = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION"), "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"A": np.ones((37, 21), np.float32), "Z": values}) as file:
        file.write(str(tmp_path / "d.exr"))
    read = decode_depth((tmp_path / "d.exr").read_bytes(), "d", LIMITS).image.values
    np.testing.assert_array_equal(read, values.astype(np.float32))


def test_an_exr_of_another_compression_says_what_to_do(tmp_path: Path) -> None:
    from meshwright.errors import InvalidFileFormat

    OpenEXR = pytest.importorskip("OpenEXR")
    header = {"compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": np.ones((32, 32), np.float32)}) as file:
        file.write(str(tmp_path / "d.exr"))
    with pytest.raises(InvalidFileFormat, match="PIZ") as caught:
        decode_depth((tmp_path / "d.exr").read_bytes(), "d", LIMITS)
    assert caught.value.reason == "exr_compression"


# Images.


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_colour_formats_agree(kind: str) -> None:
    pixels = np.asarray(Image.fromarray(rgb_pixels()).resize((64, 64), Image.Resampling.BICUBIC))
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    read = decode_rgb(encoded(pixels, kind, **options), "i", LIMITS).rgb
    assert np.abs(read.astype(int) - pixels).max() <= (4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [("TIFF", {}), ("WEBP", {"lossless": True})])
def test_exif_orientation_is_undone(orientation: int, kind: str, options: dict) -> None:
    """The transposition that EXIF 2.3 (table 4.6.4) asks for."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb_pixels(3)[:48]).save(buffer, kind, exif=exif, **options)
    T = Image.Transpose
    turns = {
        2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_270, 7: T.TRANSVERSE,
        8: T.ROTATE_90,
    }  # fmt: skip
    image = Image.fromarray(rgb_pixels(3)[:48])
    expected = image.transpose(turns[orientation]) if orientation > 1 else image
    np.testing.assert_array_equal(decode_rgb(buffer.getvalue(), "i", LIMITS).rgb, np.asarray(expected))


def test_alpha_becomes_the_mask_over_white() -> None:
    alpha = np.zeros((32, 32), np.uint8)
    alpha[8:24, 8:24] = 255
    read = decode_rgb(png(np.dstack([rgb_pixels(1, 32), alpha])), "i", LIMITS)
    assert read.mask is not None
    np.testing.assert_array_equal(read.mask, alpha > 0)
    assert (read.rgb[~read.mask] == 255).all()


def test_16_bit_grey_is_scaled_and_not_saturated() -> None:
    read = decode_rgb(png(RAMP), "i", LIMITS)
    np.testing.assert_array_equal(read.rgb[..., 0], np.rint(RAMP / 257).astype(np.uint8))


def test_what_follows_a_png_is_never_seen() -> None:
    data = png(rgb_pixels())
    np.testing.assert_array_equal(decode_rgb(data + b"PK\x03\x04<script>", "i", LIMITS).rgb, rgb_pixels())


@pytest.mark.parametrize("values", [(0, 1), (0, 255)])
def test_masks_of_either_range(values: tuple[int, int]) -> None:
    shape = rgb_pixels()[..., 0] < 255
    np.testing.assert_array_equal(
        decode_mask(png(np.where(shape, values[1], values[0]).astype(np.uint8)), "m", LIMITS), shape
    )


@given(
    st.integers(0, 10_000), st.sampled_from([png(rgb_pixels()), png(depth_pixels(32)), encoded(rgb_pixels(), "TIFF")])
)
def test_a_cut_image_is_refused_or_whole(cut: int, data: bytes) -> None:
    """No prefix of a file decodes to other pixels."""
    from meshwright.errors import InputError

    whole = decode_rgb(data, "i", LIMITS).rgb
    try:
        read = decode_rgb(data[: cut % len(data)], "i", LIMITS).rgb
    except InputError:
        return
    np.testing.assert_array_equal(read, whole)


def test_no_image_is_decoded_before_its_header_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(FileTooLarge):
        decode_rgb(png(np.zeros((8, 80), np.uint8)), "i", Limits(image_side=64))


# Layouts.

LAYOUTS = {
    "reference": lambda n: (f"multi_views/{n}.png", f"depth_renders/{n}.png"),
    "ours": lambda n: (f"rgb/{n}.png", f"depth/{n}.png"),
    "images": lambda n: (f"images/{n}.png", f"depth/{n}_depth.png"),
    "flat": lambda n: (f"{n}.png", f"{n}_depth.png"),
    "flat, role first": lambda n: (f"rgb_{n}.png", f"depth_{n}.png"),
    "in one folder": lambda n: (f"shoe/views/{n}.png", f"shoe/depth/{n}.png"),
    "numbered": lambda n: (f"views/view_{NAMES.index(n):02d}.png", f"depth/depth_{NAMES.index(n):02d}.png"),
    "capitals": lambda n: (f"Multi_Views/{n.title()}.PNG", f"Depth_Renders/{n.upper()}.PNG"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_every_layout_is_the_same_capture(layout: str, packed: bool, tmp_path: Path) -> None:
    files = {}
    for i, name in enumerate(NAMES):
        rgb, depth = LAYOUTS[layout](name)
        files[rgb], files[depth] = png(rgb_pixels(i)), png(depth_pixels(32 + i))
    path = tmp_path / "capture.zip"
    if packed:
        path.write_bytes(zip_bytes({**files, "__MACOSX/._x.png": b"", ".DS_Store": b"", "notes.txt": b"x"}))
    capture = load_capture(path if packed else write_folder(tmp_path / "capture", files))
    assert capture.names == NAMES
    for i, view in enumerate(capture.views):
        np.testing.assert_array_equal(view.rgb, rgb_pixels(i))
        assert view.depth is not None
        assert view.depth.values.shape == (32 + i, 32 + i)
    assert ("named_by_order" in codes(capture)) == (layout == "numbered")


def test_masks_are_optional_and_belong_to_their_view(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 20:40] = 255
    capture = load_capture(write_folder(tmp_path, {**good_files(), "masks/back.png": png(mask)}))
    assert [view.mask is not None for view in capture.views] == [False, True, False, False, False, False]


def test_files_keep_their_hashes(tmp_path: Path) -> None:
    import hashlib

    files = good_files()
    capture = load_capture(write_folder(tmp_path, files))
    kept = {file.path: file.sha256 for view in capture.views for file in view.files}
    assert kept == {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}


def test_one_to_many_views(tmp_path: Path) -> None:
    for count in (1, 2, 7):
        files = {f"views/IMG_{i}.png": png(rgb_pixels(i)) for i in range(count)}
        capture = load_capture(write_folder(tmp_path / str(count), files))
        assert capture.names == tuple(f"IMG_{i}" for i in range(count))
        assert not capture.has_depth


def test_view_2_comes_before_view_10() -> None:
    assert sorted(["view_10", "view_2", "view_1"], key=natural_key) == ["view_1", "view_2", "view_10"]
    assert match_key("depth/view_02_depth.png") == match_key("rgb/02.jpg") == "2"


# Cameras in a capture.


def test_cameras_are_joined_to_their_images(tmp_path: Path) -> None:
    capture = load_capture(write_folder(tmp_path, with_cameras(cameras())))
    assert capture.has_cameras
    assert (capture.camera_format, capture.unit) == ("nerfstudio", None)
    assert load_capture(tmp_path, use_cameras=False).camera_format is None


def test_only_input_frames_are_read_and_evaluation_scales_are_not_used(tmp_path: Path) -> None:
    """The evaluation set's form: novel frames beside the input, a scale that belongs to another depth folder."""
    frames = [frame(n, split="input", depth_file_path=f"depth_renders/{n}.png") for n in NAMES]
    frames += [frame("novel_0", split="novel", file_path="novel_views/novel_0.png")]
    capture = load_capture(write_folder(tmp_path, with_cameras(cameras(frames=frames, depth_metric_scale=1e-4))))
    assert capture.names == NAMES
    assert "frames_left_out" in codes(capture)
    assert all(view.depth is not None and view.depth.unit_scale is None for view in capture.views)


@pytest.mark.parametrize(
    ("fields", "scale", "unit"),
    [
        ({}, None, None),
        ({"units": "metre"}, 1e-3, "metre"),
        ({"units": "mm", "depth_scale": 0.5}, 5e-4, "metre"),
        ({"depth_unit_scale_factor": 2e-3}, 2e-3, None),
        ({"units": "metre", "depth_scale": 1e-4}, 1e-4, "metre"),
    ],
)
def test_the_depth_scale_is_what_the_file_declares(
    fields: dict, scale: float | None, unit: str | None, tmp_path: Path
) -> None:
    capture = load_capture(write_folder(tmp_path, with_cameras(cameras(**fields))))
    depth = capture.views[0].depth
    assert depth is not None
    assert depth.unit_scale == pytest.approx(scale)
    assert capture.unit == unit


def test_a_camera_of_another_size_is_scaled_to_the_image(tmp_path: Path) -> None:
    frames = [frame(n, w=128, h=128, fl_x=160.0, fl_y=160.0, cx=64.0, cy=64.0) for n in NAMES]
    big = load_capture(write_folder(tmp_path / "big", with_cameras(cameras(frames=frames)))).views[0].camera
    same = load_capture(write_folder(tmp_path / "same", with_cameras(cameras()))).views[0].camera
    assert big is not None
    assert same is not None
    np.testing.assert_allclose(big.K, same.K)


def test_images_and_frames_without_a_partner_are_reported(tmp_path: Path) -> None:
    document = cameras(("front", "back", "under"))
    capture = load_capture(write_folder(tmp_path, with_cameras(document)))
    assert capture.names == ("front", "back")
    assert {"frames_without_image", "image_without_camera"} <= codes(capture)


def test_a_field_of_view_alone_is_enough(tmp_path: Path) -> None:
    """The original NeRF files: one angle, no sizes, no suffixes."""
    frames = [{"file_path": f"./multi_views/{n}", "transform_matrix": np.eye(4).tolist()} for n in NAMES]
    capture = load_capture(write_folder(tmp_path, with_cameras({"camera_angle_x": 0.8, "frames": frames})))
    camera = capture.views[0].camera
    assert camera is not None
    assert camera.fov_deg == pytest.approx(np.degrees(0.8))
    np.testing.assert_allclose(camera.K[:2, 2], 32.0)


def test_a_pose_error_says_where(tmp_path: Path) -> None:
    from meshwright.errors import InputError

    document = cameras()
    document["frames"][2]["transform_matrix"][1][1] = 5.0
    with pytest.raises(InputError) as caught:
        load_capture(write_folder(tmp_path, with_cameras(json.dumps(document))))
    assert caught.value.details["pointer"] == "/frames/2/transform_matrix"
