"""The gradient of visible edges on CUDA: `reference_edges`.

`_find` looks from each pixel to the right and down and lists, in float32 and so with some slack, the few pairs at
which the surface may end; `walk` then gives each of them a lane and judges it in float64. The list has room for every
pair, so nothing is ever dropped.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import BEYOND, OUTSIDE, RELATIVE_GAP, STEPS
from meshwright.rendering.differentiable.triton_interpolate import TILE_H, TILE_W, grid_of
from meshwright.rendering.differentiable.triton_launch import launch
from meshwright.rendering.differentiable.triton_surface import plane, tile_pixels
from meshwright.rendering.differentiable.triton_walk import walk

LANES = 32
PROGRAMS = 4224
SLACK = 0.8  # of `RELATIVE_GAP`: float32 is wrong by less than the rest, except where a face is `UNSURE`
UNSURE = 1e-4  # terms of a plane's equation cancel to this part of their sum: leave it to float64


def edge_backward(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    neighbours: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    image: Float[Tensor, "n h w C"],
    grad: Float[Tensor, "n h w C"],
    perspective: bool,
) -> Float[Tensor, "n V 3"]:
    """What moving visible edges changes, by the pixel pairs between which the surface ends."""
    numbers = torch.zeros(screen.numel() + 1, dtype=torch.float32, device=screen.device)
    to_screen, count = numbers[:-1].view(screen.shape), numbers[-1:].view(torch.int32)
    if len(faces) == 0 or grad.numel() == 0:
        return to_screen
    _, height, width = face_id.shape
    pairs = torch.empty(2 * face_id.numel(), dtype=torch.int64, device=screen.device)
    changes = torch.empty(2 * face_id.numel(), dtype=torch.float32, device=screen.device)
    launch(
        _find, grid_of(face_id),
        screen, faces, face_id, image, grad, pairs, changes, count, screen.shape[1], height, width, image.shape[-1],
        OUTSIDE, SLACK * RELATIVE_GAP, UNSURE, perspective, TILE_H, TILE_W, num_warps=4,
    )  # fmt: skip
    launch(
        walk, (PROGRAMS,),
        screen, faces, neighbours, face_id, pairs, changes, count, to_screen, screen.shape[1], height, width, OUTSIDE,
        RELATIVE_GAP, STEPS, BEYOND, perspective, LANES, num_warps=1, enable_fp_fusion=False,
    )  # fmt: skip
    return to_screen


@triton.jit
def _find(
    screen, faces, face_id, image, grad, pairs, changes, count, n_vertices, height, width, CHANNELS: tl.constexpr,
    OUTSIDE: tl.constexpr, GAP: tl.constexpr, UNSURE: tl.constexpr, PERSPECTIVE: tl.constexpr, TILE_H: tl.constexpr,
    TILE_W: tl.constexpr,
):  # fmt: skip
    """List pairs as first pixel << 2 | axis << 1 | whether the second one owns the edge, and what moving it changes."""
    view, x, y, offset, inside = tile_pixels(height, width, TILE_H, TILE_W)
    base = view.to(tl.int64) * n_vertices
    face = tl.load(face_id + offset, inside, -1)
    right, g_right, across = _pair(face, face_id, image, grad, offset, offset + 1, inside & (x + 1 < width), CHANNELS)
    below, g_below, down = _pair(
        face, face_id, image, grad, offset, offset + width, inside & (y + 1 < height), CHANNELS
    )
    if tl.max((across | down).to(tl.int32), 0) > 0:
        # a plane is needed only where both sides see a face
        both_across, both_down = across & (face >= 0) & (right >= 0), down & (face >= 0) & (below >= 0)
        px, py = x.to(tl.float32) + 0.5, y.to(tl.float32) + 0.5
        key, slope_x, slope_y, sure = plane(
            screen, faces, base, face, px, py, both_across | both_down, OUTSIDE, UNSURE, PERSPECTIVE
        )
        key_right, slope_right, _, sure_right = plane(
            screen, faces, base, right, px + 1.0, py, both_across, OUTSIDE, UNSURE, PERSPECTIVE
        )
        key_below, _, slope_below, sure_below = plane(
            screen, faces, base, below, px, py + 1.0, both_down, OUTSIDE, UNSURE, PERSPECTIVE
        )
        first, second = _owners(face, right, key, key_right, slope_x, slope_right, sure & sure_right, across, GAP)
        upper, lower = _owners(face, below, key, key_below, slope_y, slope_below, sure & sure_below, down, GAP)
        found_x, found_y = (first | second).to(tl.int32), (upper | lower).to(tl.int32)
        total_x = tl.sum(found_x, 0)
        total = total_x + tl.sum(found_y, 0)
        if total > 0:
            start = tl.atomic_add(count, total, sem="relaxed")
            at_x = start + tl.cumsum(found_x, 0) - 1
            at_y = start + total_x + tl.cumsum(found_y, 0) - 1
            tl.store(pairs + at_x, offset * 4 + second.to(tl.int64), found_x > 0)
            tl.store(changes + at_x, g_right, found_x > 0)
            tl.store(pairs + at_y, offset * 4 + 2 + lower.to(tl.int64), found_y > 0)
            tl.store(changes + at_y, g_below, found_y > 0)


@triton.jit
def _pair(face, face_id, image, grad, offset, beside, pair, CHANNELS: tl.constexpr):
    """The neighbour's face, what the edge's motion by a pixel changes, and where there can be such an edge at all."""
    other = tl.load(face_id + beside, pair, -1)
    pair = pair & (face != other)
    g = tl.zeros_like(face.to(tl.float32))
    for c in tl.static_range(CHANNELS):
        at, by = offset * CHANNELS + c, beside * CHANNELS + c
        pull = tl.load(grad + at, pair, 0.0) + tl.load(grad + by, pair, 0.0)
        g += 0.5 * pull * (tl.load(image + at, pair, 0.0) - tl.load(image + by, pair, 0.0))
    return other, g, pair & (g != 0.0) & (tl.abs(g) < float("inf"))


@triton.jit
def _owners(face, other, key, other_key, slope, other_slope, sure, pair, GAP: tl.constexpr):
    """Where the first face may end before the second, and where the second before the first."""
    gap = key - other_key
    ahead = tl.where(sure, tl.maximum(tl.maximum(-slope, -other_slope), 0.0) + GAP * tl.abs(key), 0.0)
    back = tl.where(sure, tl.maximum(tl.maximum(slope, other_slope), 0.0) + GAP * tl.abs(other_key), 0.0)
    first = pair & (face >= 0) & ((other < 0) | (gap > ahead))
    second = pair & (other >= 0) & ((face < 0) | (-gap > back))
    return first, second
