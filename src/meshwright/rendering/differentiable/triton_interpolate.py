"""Attributes at pixels, on CUDA: a program a tile of pixels."""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import OUTSIDE
from meshwright.rendering.differentiable.triton_launch import launch
from meshwright.rendering.differentiable.triton_surface import corner, corner_ids, local, tile_pixels, weights

TILE_H, TILE_W = 8, 16  # a warp covers 2 x 16 pixels: near each other on the surface, whole sectors in memory


def grid_of(face_id: Int[Tensor, "n h w"]) -> tuple[int, int]:
    """Programs for all tiles of all views."""
    n, height, width = face_id.shape
    return triton.cdiv(height, TILE_H) * triton.cdiv(width, TILE_W), n


def interpolate(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    attributes: Float[Tensor, "m V C"],
    perspective: bool,
) -> Float[Tensor, "n h w C"]:
    """Vertex attributes at each pixel, perspective-correct; 0 where there is no face."""
    channels = attributes.shape[-1]
    image = torch.empty((*face_id.shape, channels), dtype=torch.float32, device=screen.device)
    if image.numel() == 0:
        return image
    if len(faces) == 0:
        return image.zero_()
    n, height, width = face_id.shape
    own = attributes.shape[1] if len(attributes) > 1 or n == 1 else 0
    launch(
        _forward, grid_of(face_id),
        screen, faces, face_id, attributes, image, screen.shape[1], own, height, width, channels, OUTSIDE, perspective,
        TILE_H, TILE_W, num_warps=4,
    )  # fmt: skip
    return image


@triton.jit
def _forward(
    screen, faces, face_id, attributes, image, n_vertices, own, height, width, CHANNELS: tl.constexpr,
    OUTSIDE: tl.constexpr, PERSPECTIVE: tl.constexpr, TILE_H: tl.constexpr, TILE_W: tl.constexpr,
):  # fmt: skip
    view, x, y, offset, inside = tile_pixels(height, width, TILE_H, TILE_W)
    face = tl.load(face_id + offset, inside, -1)
    seen = face >= 0
    i, j, k = corner_ids(faces, face, seen)
    px, py = x.to(tl.float32) + 0.5, y.to(tl.float32) + 0.5
    base = view.to(tl.int64) * n_vertices
    ax, ay, az = corner(screen, base, i, seen)
    bx, by, bz = corner(screen, base, j, seen)
    cx, cy, cz = corner(screen, base, k, seen)
    ax, ay = local(ax, ay, az, px, py, PERSPECTIVE)
    bx, by = local(bx, by, bz, px, py, PERSPECTIVE)
    cx, cy = local(cx, cy, cz, px, py, PERSPECTIVE)
    b0, b1, b2, _, _ = weights(ax, ay, bx, by, cx, cy, OUTSIDE)
    first = attributes + view.to(tl.int64) * own * CHANNELS
    for c in tl.static_range(CHANNELS):
        p = tl.load(first + i.to(tl.int64) * CHANNELS + c, seen, 0.0)
        q = tl.load(first + j.to(tl.int64) * CHANNELS + c, seen, 0.0)
        r = tl.load(first + k.to(tl.int64) * CHANNELS + c, seen, 0.0)
        tl.store(image + offset * CHANNELS + c, tl.where(seen, b0 * p + b1 * q + b2 * r, 0.0), inside)
