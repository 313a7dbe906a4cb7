"""The picture that shows where a view fits and where not: input | render | error, with a legend in numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from meshwright.quality.compare import ViewComparison
from meshwright.quality.summary import metric_text

TOP_LEVEL = 64  # grey levels at the top of the scale: RMS over the channels; 64 is a PSNR of 12 dB
TICKS = 4
HEADER, FOOTER, GAP = 26, 40, 6
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

INK, PAPER = (32, 32, 36), (255, 255, 255)

# Anchors of the scale at 0, 1/6 ... 1 of TOP_LEVEL: grey blue to yellow, rising in lightness so that it reads in grey.
SCALE = np.array(
    [[38, 40, 74], [59, 60, 134], [98, 57, 153], [161, 58, 136], [216, 80, 94], [247, 138, 61], [252, 228, 110]], float
)


def heat_map(view: ViewComparison) -> UInt8[np.ndarray, "h w 3"]:
    """Input, render and error of one view side by side; the error is blank outside both silhouettes."""
    error = colour_error(error_levels(view), view.union)
    panels = [view.reference.composited, view.render, error]
    height, width = error.shape[:2]
    canvas = Image.new("RGB", (3 * width + 4 * GAP, height + HEADER + FOOTER), PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(max(10, min(15, width // 24)))
    titles = (f"{view.name}: input", "render", "error")
    for index, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        left = GAP + index * (width + GAP)
        canvas.paste(Image.fromarray(panel), (left, HEADER))
        draw.rectangle((left - 1, HEADER - 1, left + width, HEADER + height), outline=(208, 208, 212))
        draw.text((left + 2, HEADER / 2), title, INK, font, anchor="lm")
    below = HEADER + height + FOOTER / 2
    draw.text((GAP + 2, below), metric_text(view.metrics), INK, font, anchor="lm")
    _draw_legend(canvas, draw, font, GAP + 2 * (width + GAP), width, int(below))
    return np.asarray(canvas)


def error_levels(view: ViewComparison) -> Float[np.ndarray, "h w"]:
    """Root mean square over the channels of the difference per pixel, in grey levels of 0..255."""
    difference = view.render.astype(np.float32) - view.reference.composited.astype(np.float32)
    return np.sqrt((difference**2).mean(-1))


def colour_error(levels: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The error in the scale's colours, white outside ``inside``."""
    return np.where(inside[..., None], scale_colours(levels / TOP_LEVEL), np.uint8(255))


def scale_colours(fraction: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n 3"]:
    """Colours of the scale at 0..1, linear between the anchors; beyond the ends they stay."""
    anchors = np.linspace(0, 1, len(SCALE))
    channels = [np.interp(fraction, anchors, SCALE[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def _draw_legend(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, font: Font, left: int, width: int, middle: int
) -> None:
    """The scale as a bar with its numbers, in the space below the error panel."""
    bar_width, bar_height = max(60, width // 2), 8
    bar = np.broadcast_to(scale_colours(np.linspace(0, 1, bar_width))[None], (bar_height, bar_width, 3))
    start, top = left + 12, middle - 14
    canvas.paste(Image.fromarray(np.ascontiguousarray(bar)), (start, top))
    for step in range(TICKS + 1):
        text = f"{TOP_LEVEL * step // TICKS}" + ("+" if step == TICKS else "")
        at = start + round(bar_width * step / TICKS)
        draw.line((at, top + bar_height, at, top + bar_height + 3), INK)
        draw.text((at, top + bar_height + 4), text, INK, font, anchor="mt")
    draw.text((start + bar_width + 22, middle), "of 255 levels", INK, font, anchor="lm")
