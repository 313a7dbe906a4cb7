"""Image files in and out of arrays, with the same bytes every time, and the sRGB curve of vertex colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from meshwright.errors import FileTooLarge, InvalidFileFormat
from meshwright.rendering import color
from meshwright.rendering.color import srgb_to_linear

__all__ = [
    "ImageFormat",
    "decode_rgb",
    "encode_image",
    "linear_to_srgb",
    "rgb_array",
    "sample_texture",
    "srgb_to_linear",
    "times_linear",
    "to_uint8",
    "write_image",
]

ImageFormat = Literal["png", "jpeg"]
MIME_TYPES: dict[str, str] = {"png": "image/png", "jpeg": "image/jpeg"}
MAX_PIXELS = 16384 * 16384
# A 2048 x 2048 texture: level 4 takes 0.6 s, level 6 takes 2.0 s and is 1 % larger.
PNG_LEVEL = 4


def encode_image(pixels: UInt8[np.ndarray, "h w *c"], kind: ImageFormat = "png", quality: int = 92) -> bytes:
    """PNG or JPEG bytes of a grey, RGB or RGBA image (HWC uint8 sRGB), without metadata."""
    image, buffer = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
    if kind == "png":
        image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    else:
        image.convert("RGB").save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def decode_rgb(data: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """The RGB pixels of an image file; `name` is what errors call it.

    Raises:
        FileTooLarge: over 16384 x 16384 pixels (told from the header).
        InvalidFileFormat: not an image, or damaged.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return rgb_array(image, name)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidFileFormat(
            f"{name} is not a readable image: {error}",
            suggestion="Write the file again from its source.",
            reason="image_corrupt",
        ) from error


def rgb_array(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of an opened Pillow image, its size checked before it is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise FileTooLarge(
            f"{name} has {image.width} x {image.height} pixels.",
            suggestion="Use images of at most 16384 x 16384 pixels.",
            reason="image_too_large",
        )
    return np.asarray(image.convert("RGB"))


def write_image(path: Path, pixels: UInt8[np.ndarray, "h w *c"]) -> None:
    """Write a PNG file."""
    path.write_bytes(encode_image(pixels))


def linear_to_srgb(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """sRGB values of linear light, both in 0..1; the inverse of `srgb_to_linear`."""
    return color.linear_to_srgb(np.clip(values, 0.0, 1.0))


def to_uint8(values: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n"]:
    """0..1 to 0..255, rounded."""
    return np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)


def times_linear(image: UInt8[np.ndarray, "*n 3"], factor: Float[np.ndarray, "3"]) -> UInt8[np.ndarray, "*n 3"]:
    """The sRGB image with its linear light multiplied by ``factor``."""
    if (factor > 0.999).all():
        return image
    codes = srgb_to_linear(np.arange(256) / 255.0)
    return np.stack([to_uint8(linear_to_srgb(codes * factor[k]))[image[..., k]] for k in range(3)], -1)


def sample_texture(texture: UInt8[np.ndarray, "h w 3"], uv: Float[np.ndarray, "n 2"]) -> UInt8[np.ndarray, "n 3"]:
    """Bilinear texture colours at ``uv`` (top-left origin), clamped at the border."""
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(uv[:, 1] * height - 0.5, 0, height - 1)
    column, row = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    fx, fy = (x - column)[:, None], (y - row)[:, None]
    upper = texture[row, column] * (1 - fx) + texture[row, right] * fx
    lower = texture[below, column] * (1 - fx) + texture[below, right] * fx
    return np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)
