"""Each doubtful thing about a view is found, with the view's name and a remedy; a good view gives none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from meshwright.capture.capture import Capture, DepthImage, View
from meshwright.capture.measures import sharpness, silhouette_overlap
from meshwright.capture.viewcheck import mask_findings, quick_findings

SIZE = 256


def disc(radius: float = 70, x: float = 128, y: float = 128) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot(rows - y, columns - x) < radius


def picture(seed: int, mask: np.ndarray, low: float = 30, high: float = 200) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).uniform(0, 1, (SIZE, SIZE, 3)), (1, 1, 0))
    texture = low + (high - low) * (noise - noise.min()) / np.ptp(noise)
    return np.where(mask[..., None], texture, 255).astype(np.uint8)


def depth_of(mask: np.ndarray) -> DepthImage:
    rows = np.mgrid[:SIZE, :SIZE][0]
    return DepthImage(np.where(mask, 20_000 + 40 * rows, 0).astype(np.float32), 16)


def good(name: str, seed: int) -> View:
    return View(name, picture(seed, disc()), depth_of(disc()))


GOOD = tuple(good(name, seed) for seed, name in enumerate(("front", "back", "left", "right")))


def spoilt(**changes: object) -> View:
    return replace(GOOD[1], **changes)  # type: ignore[arg-type]


def stray() -> DepthImage:
    values = depth_of(disc()).values.copy()
    values[3, 3:8] = 30_000
    return DepthImage(values, 16)


QUICK: dict[str, Callable[[], View]] = {
    "blurry": lambda: spoilt(rgb=ndimage.gaussian_filter(GOOD[1].rgb, (3, 3, 0))),
    "image_blank": lambda: spoilt(rgb=np.full((SIZE, SIZE, 3), 200, np.uint8)),
    "duplicate_image": lambda: spoilt(rgb=GOOD[0].rgb),
    "image_small": lambda: spoilt(rgb=GOOD[1].rgb[::2, ::2].copy()),
    "aspect_mismatch": lambda: spoilt(depth=DepthImage(GOOD[1].depth.values[:200], 16)),  # type: ignore[union-attr]
    "depth_small": lambda: spoilt(depth=DepthImage(GOOD[1].depth.values[::4, ::4], 16)),  # type: ignore[union-attr]
    "depth_stray": lambda: spoilt(depth=stray()),
    "depth_tiny": lambda: spoilt(depth=depth_of(disc(6))),
    "depth_flat": lambda: spoilt(depth=DepthImage(disc().astype(np.float32), 8)),
    "depth_coarse": lambda: spoilt(
        depth=DepthImage(np.where(disc(), 100 + np.arange(SIZE) // 40, 0).astype(np.float32), 8)
    ),
}
BY_MASK: dict[str, Callable[[], View]] = {
    "background_not_plain": lambda: spoilt(rgb=np.full((SIZE, SIZE, 3), 90, np.uint8)),
    "mask_small": lambda: spoilt(rgb=picture(1, disc(12))),
    "mask_large": lambda: spoilt(mask=disc(150)),
    "mask_cut": lambda: spoilt(rgb=picture(1, disc(70, x=20))),
    "under_exposed": lambda: spoilt(rgb=picture(1, disc(), 0, 8)),
    "over_exposed": lambda: spoilt(
        rgb=np.minimum(picture(1, disc()).astype(int) + 180, 255).astype(np.uint8), mask=disc()
    ),
    "silhouette_mismatch": lambda: spoilt(depth=depth_of(disc(30, x=60) | disc(30, x=200))),
    "silhouette_offset": lambda: spoilt(depth=depth_of(disc(70, x=140))),
}


@pytest.mark.parametrize("code", QUICK)
def test_a_spoilt_view_is_named(code: str) -> None:
    bad = QUICK[code]()
    found = {f.code: f for f in quick_findings(Capture((GOOD[0], bad, *GOOD[2:])))}
    assert found[code].view == bad.name
    assert found[code].remedy


@pytest.mark.parametrize("code", BY_MASK)
def test_a_doubtful_mask_is_named(code: str) -> None:
    found = {f.code: f for f in mask_findings(BY_MASK[code]())}
    assert code in found
    assert found[code].view == "back"
    assert found[code].remedy


def test_good_views_give_no_findings() -> None:
    assert quick_findings(Capture(GOOD)) == ()
    assert [f for view in GOOD for f in mask_findings(view)] == []


@pytest.mark.parametrize("gain", [0.6, 1.0])
def test_sharpness_falls_with_blur_and_not_with_contrast(gain: float) -> None:
    image = picture(5, disc())
    values = [
        sharpness((255 - gain * (255 - ndimage.gaussian_filter(image, (b, b, 0)))).astype(np.uint8)) for b in (0, 1, 2)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(sharpness(image), rel=0.1)


def test_the_overlap_recovers_scale_and_shift() -> None:
    overlap = silhouette_overlap(disc(77, x=138), disc(70))
    assert overlap.scale == pytest.approx(1.1, abs=0.01)
    assert overlap.shift[0] == pytest.approx(10 / SIZE, abs=0.003)
    assert overlap.aligned_iou > 0.97 > overlap.iou
