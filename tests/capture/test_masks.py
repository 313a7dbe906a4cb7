"""Masks recover a known silhouette, on clean and on photographic backgrounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from capture.making import depth_pixels
from meshwright.capture.capture import DepthImage, View
from meshwright.capture.masks import background_mask, depth_mask, fill_pinholes, mask_with_source, object_mask

SIZE = 256


def ring() -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    radius = np.hypot(rows - SIZE / 2, columns - SIZE / 2)
    return (radius < 80) & (radius > 35)


def bar() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[60:200, 100:160] = True
    mask[120:124, 160:220] = True  # a thin part
    return mask


def over(background: np.ndarray, mask: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.uniform(0, 1, (SIZE, SIZE, 3)), (3, 3, 0))
    texture = 40 + 120 * (texture - texture.min()) / np.ptp(texture)
    return np.clip(np.where(mask[..., None], texture, background), 0, 255).astype(np.uint8)


def white(level: float = 255.0) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), level)


def noisy(level: float = 250.0) -> np.ndarray:
    return white(level) + np.random.default_rng(1).normal(0, 2.5, (SIZE, SIZE, 3))


def uneven() -> np.ndarray:
    ramp = np.linspace(215, 252, SIZE)[None, :, None]
    return np.broadcast_to(ramp, (SIZE, SIZE, 3)) + np.random.default_rng(2).normal(0, 1.0, (SIZE, SIZE, 3))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("shape", [ring, bar])
@pytest.mark.parametrize(
    "background", [white, noisy, uneven, lambda: white(128.0)], ids=["white", "noisy", "uneven", "grey"]
)
def test_the_silhouette_is_recovered(shape, background) -> None:
    mask = shape()
    assert iou(background_mask(over(background(), mask)), mask) > 0.95


def test_a_soft_contact_shadow_is_not_object() -> None:
    mask = bar()
    shadow = 90 * ndimage.gaussian_filter(np.roll(mask, 20, axis=0).astype(float), 14)
    found = background_mask(over(noisy() - shadow[..., None], mask))
    assert iou(found, mask) > 0.88


def test_white_inside_an_outline_is_object_unless_the_depth_says_it_is_a_hole() -> None:
    """A ring before white: without depth its middle is a hole; a depth that covers it fills it."""
    mask = ring()
    image = over(white(), mask)
    assert not background_mask(image)[SIZE // 2, SIZE // 2]
    filled = ndimage.binary_fill_holes(mask)
    assert iou(background_mask(image, filled), filled) > 0.97


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turning_the_image_turns_the_mask(turns: int) -> None:
    image = over(noisy(), bar())
    assert (
        iou(background_mask(np.ascontiguousarray(np.rot90(image, turns))), np.rot90(background_mask(image), turns))
        > 0.98
    )


def view(rgb: np.ndarray, depth: np.ndarray | None = None, mask: np.ndarray | None = None) -> View:
    return View("front", rgb, None if depth is None else DepthImage(depth.astype(np.float32), 16), mask)


def test_a_given_mask_is_used_as_it_is() -> None:
    mask = np.eye(SIZE, dtype=bool)
    assert object_mask(view(over(white(), bar()), mask=mask)) is mask


def test_without_a_plain_background_the_depth_stands_in() -> None:
    clutter = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    found = mask_with_source(view(clutter, depth_pixels(64)))
    assert found.source in ("depth", "background")
    assert mask_with_source(view(np.full((64, 64, 3), 255, np.uint8), depth_pixels(64))).source == "depth"
    assert mask_with_source(view(np.full((64, 64, 3), 255, np.uint8))).source == "none"


def test_stray_depth_is_dropped_and_the_object_kept() -> None:
    depth = depth_pixels(64).copy()
    whole = depth > 0
    depth[2, 2], depth[60, 3:6] = 9000, 9000
    np.testing.assert_array_equal(depth_mask(view(np.zeros((64, 64, 3), np.uint8), depth)), whole)


def test_lost_pixels_are_no_way_through_and_real_holes_stay() -> None:
    rows, columns = np.mgrid[:200, :200]
    ring = np.abs(np.hypot(rows - 100, columns - 100) - 60) < 25
    lost = ring & (np.random.default_rng(0).random(ring.shape) < 0.05)
    filled = fill_pinholes(ring & ~lost)
    inner = ndimage.binary_erosion(ring, iterations=2)
    assert filled[inner].all()
    assert not filled[~ring].any()
    assert (fill_pinholes(filled) == filled).all()
