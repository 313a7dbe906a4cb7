"""Pixels out of image files: sRGB images with alpha as mask, masks, and depth exactly as stored.

One image is decoded at a time in a process, so that a capture's peak memory is that of its largest image. Depth never
passes through an 8-bit conversion (Pillow saturates 16-bit images there: research/reliability.md M3).
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageOps

from meshwright.capture.capture import DepthImage
from meshwright.capture.exr import read_exr
from meshwright.capture.gate import ImageHeader, bad_image, corrupt, read_header
from meshwright.capture.limits import Limits
from meshwright.errors import InputError

_ONE_AT_A_TIME = threading.Lock()
# What Pillow's and numpy's readers raise on damaged files, besides their own errors.
_DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, LookupError, TypeError, ArithmeticError, zlib.error,
    AttributeError, RuntimeError, MemoryError, Warning, Image.DecompressionBombError,
)  # fmt: skip
_ALPHA_OBJECT = 128
_MAX_EXACT = 1 << 24  # integers up to here are exact in float32


class RgbImage(NamedTuple):
    """A decoded view: uint8 sRGB over white, its alpha as a mask (None where all is opaque), and remarks."""

    rgb: UInt8[np.ndarray, "h w 3"]
    mask: Bool[np.ndarray, "h w"] | None
    notes: tuple[str, ...] = ()


class Depth(NamedTuple):
    """A decoded depth map and remarks about what was dropped."""

    image: DepthImage
    notes: tuple[str, ...] = ()


def decode_rgb(data: bytes, path: str, limits: Limits) -> RgbImage:
    """A view's image, turned as its EXIF orientation says, alpha composited on white.

    Raises `InvalidFileFormat` or `FileTooLarge` naming ``path``.
    """
    header = read_header(data, path, limits)
    if header.is_float or header.format in ("exr", "npy"):
        raise bad_image("image_mode", path, "holds floating-point or raw values and cannot be a colour image")
    with _decoding(path):
        image = _opened(header)
        turn = 1 if header.format == "tiff" else image.getexif().get(0x0112, 1)  # Pillow turns TIFFs by itself
        image.load()
        notes = ("image_16_bit",) if header.bits == 16 else ()
        image = _eight_bit(image)
        alpha = _alpha(image)
        rgb = np.asarray(_over_white(image, alpha))
        if turn in range(2, 9):
            rgb = _turned(rgb, turn)
            alpha = None if alpha is None else _turned(alpha, turn)
    mask = None if alpha is None or alpha.min() >= 250 else alpha >= _ALPHA_OBJECT
    return RgbImage(np.ascontiguousarray(rgb), mask, notes)


def decode_mask(data: bytes, path: str, limits: Limits) -> Bool[np.ndarray, "h w"]:
    """A mask file: above half of its own range is object; alpha counts where there is some."""
    header = read_header(data, path, limits)
    if header.format == "npy":
        values = _npy_values(header, path)
        return values > (0 if values.max() <= 1 else values.max() / 2)
    if header.is_float:
        raise bad_image("image_mode", path, "holds floating-point values and cannot be a mask")
    with _decoding(path):
        image = _eight_bit(_opened(header))
        alpha = _alpha(image)
        if alpha is not None and alpha.min() < 250:
            return alpha >= _ALPHA_OBJECT
        grey = np.asarray(image.convert("L"))
        return grey > (0 if grey.max() <= 1 else 127)


def decode_depth(data: bytes, path: str, limits: Limits) -> Depth:
    """A depth map, its values exactly as stored, 0 where there is none.

    8- or 16-bit grey PNG, 8-, 16-, 32-bit or float TIFF, scan-line EXR and NPY are taken; JPEG and WebP are
    refused because they blur depth at every edge.
    """
    header = read_header(data, path, limits)
    if header.format in ("jpeg", "webp"):
        raise bad_image(
            "depth_lossy", path, f"is a {header.format.upper()} file, which does not keep depth exactly",
            "Save depth as 16-bit PNG, float TIFF, EXR or NPY.",
        )  # fmt: skip
    if header.format == "npy":
        values = _npy_values(header, path)
    elif header.format == "exr":
        values = _exr_values(header, path)
    else:
        values = _grey_values(header, path)
    return _as_depth(values, path)


@contextmanager
def _decoding(path: str) -> Generator[None]:
    """One decoder at a time; its warnings and errors become `InvalidFileFormat`."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        except InputError:
            raise
        except _DAMAGE as error:
            raise corrupt(path) from error


def _opened(header: ImageHeader) -> Image.Image:
    image = Image.open(io.BytesIO(header.data), formats=[header.format.upper()])
    size = (header.height, header.width) if header.orientation > 4 else (header.width, header.height)
    if getattr(image, "n_frames", 1) != 1 or image.size != size:
        raise ValueError("the decoder sees another image than the header")
    return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Any integer mode as L, LA, RGB or RGBA; 16-bit grey is divided, never saturated."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(np.rint(values / 257), 0, 255).astype(np.uint8))
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    if image.mode in ("1", "CMYK", "YCbCr"):
        return image.convert("RGB")
    raise ValueError(f"mode {image.mode}")


def _alpha(image: Image.Image) -> UInt8[np.ndarray, "h w"] | None:
    return np.asarray(image.getchannel("A")) if "A" in image.getbands() else None


def _over_white(image: Image.Image, alpha: UInt8[np.ndarray, "h w"] | None) -> Image.Image:
    if alpha is None:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels after the EXIF orientation is undone."""
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def _grey_values(header: ImageHeader, path: str) -> np.ndarray:
    """The stored numbers of a PNG or TIFF, in their own type."""
    if header.format == "png" and header.bits < 8:
        raise bad_image("depth_bits", path, f"has {header.bits} bits", "Save depth with 8 or, better, 16 bits.")
    with _decoding(path):
        image = _opened(header)
        if image.mode == "P":
            raise bad_image("depth_not_grey", path, "has a palette", "Save depth as a grey image.")
        values = np.asarray(image)
        if header.bits == 16 and values.dtype == np.uint8:
            raise bad_image("depth_not_grey", path, "is a 16-bit colour image", "Save depth as one grey channel.")
        return _one_channel(values, path)


def _one_channel(values: np.ndarray, path: str) -> np.ndarray:
    """Grey of (h, w), or of (h, w, c) whose colour channels are equal; where alpha is below half there is no depth."""
    if values.ndim == 2:
        return values
    colours = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    if (colours != colours[..., :1]).any():
        raise bad_image(
            "depth_not_grey", path, "is a colour image, perhaps a false-colour picture of depth",
            "Save the depth values themselves as one grey channel.",
        )  # fmt: skip
    if values.shape[-1] in (2, 4):
        return np.where(values[..., -1] >= _ALPHA_OBJECT, colours[..., 0], 0)
    return colours[..., 0]


def _npy_values(header: ImageHeader, path: str) -> np.ndarray:
    with _decoding(path):
        values = np.load(io.BytesIO(header.data), allow_pickle=False)
        return values.reshape(header.height, header.width)


def _exr_values(header: ImageHeader, path: str) -> Float[np.ndarray, "h w"]:
    with _decoding(path):
        return read_exr(header.data, path, header.width, header.height)


def _as_depth(values: np.ndarray, path: str) -> Depth:
    notes: list[str] = []
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite: no depth
            values = values.astype(np.float32)
        good = np.isfinite(values) & (values > 0)
        if (values < 0).any():
            notes.append("depth_negative")
        image = DepthImage(np.where(good, values, np.float32(0)), 32)
    elif values.dtype.kind in "iub" and (not values.size or int(values.max()) < _MAX_EXACT):
        if int(values.min()) < 0:
            notes.append("depth_negative")
        bits = 8 if values.dtype.itemsize == 1 else 16
        image = DepthImage(np.maximum(values, 0).astype(np.float32), bits)
    else:
        raise bad_image(
            "depth_bits", path, "holds integers that are too large to keep exactly", "Save 16-bit or float depth."
        )
    return _without_far_plane(image, notes)


def _without_far_plane(image: DepthImage, notes: list[str]) -> Depth:
    """A background stored as the farthest value instead of 0: where the frame holds it and nothing is 0."""
    values = image.values
    frame = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    far = float(values.max(initial=0))
    if far > 0 and (values > 0).all() and np.mean(frame == far) > 0.9 and (values < far).any():
        notes.append("depth_background_far")
        image = DepthImage(np.where(values == far, np.float32(0), values), image.bits, image.unit_scale)
    return Depth(image, tuple(notes))
