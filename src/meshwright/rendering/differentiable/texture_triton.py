"""Texture look-up, its gradients and mip levels on CUDA, float32: a program a run of pixels.

Texel gradients are added atomically: their last bits change from run to run.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.texture_reference import LEAST_TEXELS
from meshwright.rendering.differentiable.triton_launch import launch

PIXELS = 128  # a program's


class Lookup(torch.autograd.Function):
    """`texture_reference.look_up` of flat CUDA tensors; 0 where ``seen`` is False."""

    @staticmethod
    def forward(
        ctx: Any,
        texels: Float[Tensor, "t c"],
        sizes: tuple[tuple[int, int], ...],
        uv: Float[Tensor, "p 2"],
        lod: Float[Tensor, "p"],
        seen: Bool[Tensor, "p"],
    ) -> Float[Tensor, "p c"]:
        """Values at uv."""
        texels, uv, lod = (part.detach().contiguous() for part in (texels, uv, lod))
        seen = seen.contiguous().view(torch.uint8)
        ctx.sizes = sizes
        ctx.save_for_backward(texels, uv, lod, seen)
        channels = texels.shape[1]
        out = torch.empty((len(uv), channels), dtype=torch.float32, device=uv.device)
        if len(uv):
            launch(
                _look_up, (triton.cdiv(len(uv), PIXELS),),
                texels, uv, lod, seen, out, len(uv), *sizes[0], len(sizes) - 1, channels,
                triton.next_power_of_2(channels), PIXELS,
            )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Float[Tensor, "p c"]) -> tuple[Tensor | None, ...]:
        """Gradients of texels and uv, those that are needed."""
        texels, uv, lod, seen = ctx.saved_tensors
        need_texels, _, need_uv = ctx.needs_input_grad[:3]
        grad_texels = torch.zeros_like(texels) if need_texels else texels[:0]
        grad_uv = torch.empty_like(uv) if need_uv else uv[:0]
        if len(uv):
            channels = texels.shape[1]
            launch(
                _look_up_backward, (triton.cdiv(len(uv), PIXELS),),
                texels, uv, lod, seen, grads[0].contiguous(), grad_texels, grad_uv, len(uv), *ctx.sizes[0],
                len(ctx.sizes) - 1, channels, triton.next_power_of_2(channels), need_texels, need_uv, PIXELS,
            )  # fmt: skip
        return grad_texels if need_texels else None, None, grad_uv if need_uv else None, None, None


def mip_levels(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    uv: Float[Tensor, "V 2"],
    texels: int,
    perspective: bool,
) -> Float[Tensor, "n h w"]:
    """`texture_reference.mip_levels` on CUDA."""
    out = torch.empty(face_id.shape, dtype=torch.float32, device=uv.device)
    if out.numel():
        parts = (part.contiguous() for part in (screen, faces, face_id, uv))
        launch(
            _mip_levels, (triton.cdiv(out.numel(), PIXELS),),
            *parts, out, out.numel(), screen.shape[1], *face_id.shape[1:], float(texels), LEAST_TEXELS, perspective,
            PIXELS,
        )  # fmt: skip
    return out


@triton.jit
def _levels(lod, last):
    """The finer of two levels and the share of the coarser one; what is not a number is level 0."""
    level = tl.where(lod > 0, lod, 0.0)
    level = tl.where(level < last, level, last * 1.0)
    fine = level.to(tl.int32)
    return fine, level - fine.to(tl.float32)


@triton.jit
def _size(level, height, width):
    """First texel, height and width of a level: halves rounded up, one level after another."""
    first = level * 0
    h, w = level * 0 + height, level * 0 + width
    for k in range(tl.max(level, 0)):
        finer = k < level
        first = tl.where(finer, first + h * w, first)
        h, w = tl.where(finer, (h + 1) // 2, h), tl.where(finer, (w + 1) // 2, w)
    return first, h, w


@triton.jit
def _place(level, u, v, height, width):
    """Four texels of a level round (u, v), and how far (0..1) the place is from the first, along x and along y.

    Coordinates are taken one texel to the right and below, where they are positive; one that is not a number stays
    inside the texture.
    """
    first, h, w = _size(level, height, width)
    scale = tl.exp2(-level.to(tl.float32))
    x = (u - tl.floor(u)) * (width * scale) + 0.5
    y = (v - tl.floor(v)) * (height * scale) + 0.5
    column, row = x.to(tl.int32), y.to(tl.int32)
    left, upper = tl.where(column > 0, column - 1, w - 1), tl.where(row > 0, row - 1, h - 1)
    right = tl.where((column >= 0) & (column < w), column, 0)
    lower = tl.where((row >= 0) & (row < h), row, 0)
    left, upper = tl.minimum(left, w - 1), tl.minimum(upper, h - 1)
    top, bottom = first + upper * w, first + lower * w
    return top + left, top + right, bottom + left, bottom + right, x - column.to(tl.float32), y - row.to(tl.float32)


@triton.jit
def _look_up(
    texels, uv, lod, seen, out, count, height, width, last, CHANNELS: tl.constexpr, WIDE: tl.constexpr,
    PIXELS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.arange(0, WIDE)[None, :]
    given, there = n < count, channel < CHANNELS
    active = given & (tl.load(seen + n, given, 0) != 0)
    u, v = tl.load(uv + 2 * n.to(tl.int64), active, 0.0), tl.load(uv + 2 * n.to(tl.int64) + 1, active, 0.0)
    active = active & (tl.abs(u) < float("inf")) & (tl.abs(v) < float("inf"))
    u, v = tl.where(active, u, 0.0), tl.where(active, v, 0.0)
    fine, part = _levels(tl.load(lod + n, active, 0.0), last)
    found = tl.zeros((PIXELS, WIDE), tl.float32)
    for coarser in tl.static_range(2):
        weight = part if coarser else 1.0 - part
        a, b, c, d, fx, fy = _place(tl.minimum(fine + coarser, last), u, v, height, width)
        use = (active & (weight > 0))[:, None] & there
        ta = tl.load(texels + a.to(tl.int64)[:, None] * CHANNELS + channel, use, 0.0)
        tb = tl.load(texels + b.to(tl.int64)[:, None] * CHANNELS + channel, use, 0.0)
        tc = tl.load(texels + c.to(tl.int64)[:, None] * CHANNELS + channel, use, 0.0)
        td = tl.load(texels + d.to(tl.int64)[:, None] * CHANNELS + channel, use, 0.0)
        fx, fy, weight = fx[:, None], fy[:, None], weight[:, None]
        mixed = (ta * (1 - fx) + tb * fx) * (1 - fy) + (tc * (1 - fx) + td * fx) * fy
        found += tl.where(use, weight * mixed, 0.0)
    tl.store(out + n.to(tl.int64)[:, None] * CHANNELS + channel, found, given[:, None] & there)


@triton.jit
def _look_up_backward(
    texels, uv, lod, seen, grad, grad_texels, grad_uv, count, height, width, last, CHANNELS: tl.constexpr,
    WIDE: tl.constexpr, NEED_TEXELS: tl.constexpr, NEED_UV: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.arange(0, WIDE)[None, :]
    given, there = n < count, channel < CHANNELS
    active = given & (tl.load(seen + n, given, 0) != 0)
    u, v = tl.load(uv + 2 * n.to(tl.int64), active, 0.0), tl.load(uv + 2 * n.to(tl.int64) + 1, active, 0.0)
    active = active & (tl.abs(u) < float("inf")) & (tl.abs(v) < float("inf"))
    u, v = tl.where(active, u, 0.0), tl.where(active, v, 0.0)
    fine, part = _levels(tl.load(lod + n, active, 0.0), last)
    g = tl.load(grad + n.to(tl.int64)[:, None] * CHANNELS + channel, active[:, None] & there, 0.0)
    along_u, along_v = tl.zeros((PIXELS,), tl.float32), tl.zeros((PIXELS,), tl.float32)
    for coarser in tl.static_range(2):
        weight = part if coarser else 1.0 - part
        level = tl.minimum(fine + coarser, last)
        a, b, c, d, fx, fy = _place(level, u, v, height, width)
        use = (active & (weight > 0))[:, None] & there
        a, b = a.to(tl.int64)[:, None] * CHANNELS + channel, b.to(tl.int64)[:, None] * CHANNELS + channel
        c, d = c.to(tl.int64)[:, None] * CHANNELS + channel, d.to(tl.int64)[:, None] * CHANNELS + channel
        fx, fy = fx[:, None], fy[:, None]
        if NEED_TEXELS:
            share = weight[:, None] * g
            tl.atomic_add(grad_texels + a, share * (1 - fx) * (1 - fy), use, sem="relaxed")
            tl.atomic_add(grad_texels + b, share * fx * (1 - fy), use, sem="relaxed")
            tl.atomic_add(grad_texels + c, share * (1 - fx) * fy, use, sem="relaxed")
            tl.atomic_add(grad_texels + d, share * fx * fy, use, sem="relaxed")
        if NEED_UV:
            ta, tb = tl.load(texels + a, use, 0.0), tl.load(texels + b, use, 0.0)
            tc, td = tl.load(texels + c, use, 0.0), tl.load(texels + d, use, 0.0)
            scale = tl.where(active & (weight > 0), weight * tl.exp2(-level.to(tl.float32)), 0.0)
            along_u += scale * width * tl.sum(g * ((tb - ta) * (1 - fy) + (td - tc) * fy), 1)
            along_v += scale * height * tl.sum(g * ((tc - ta) * (1 - fx) + (td - tb) * fx), 1)
    if NEED_UV:
        tl.store(grad_uv + 2 * n.to(tl.int64), along_u, given)
        tl.store(grad_uv + 2 * n.to(tl.int64) + 1, along_v, given)


@triton.jit
def _mip_levels(
    screen, faces, face_id, uv, out, count, n_vertices, height, width, texels, least, PERSPECTIVE: tl.constexpr,
    PIXELS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    face = tl.load(face_id + n, n < count, -1)
    seen = face >= 0
    i = tl.load(faces + 3 * face.to(tl.int64), seen, 0)
    j = tl.load(faces + 3 * face.to(tl.int64) + 1, seen, 0)
    k = tl.load(faces + 3 * face.to(tl.int64) + 2, seen, 0)
    px = (n % width).to(tl.float64) + 0.5
    py = (n // width % height).to(tl.float64) + 0.5
    base = (n // (width * height)).to(tl.int64) * n_vertices
    ax, ay, az = _corner(screen, base + i, px, py, seen, PERSPECTIVE)
    bx, by, bz = _corner(screen, base + j, px, py, seen, PERSPECTIVE)
    cx, cy, cz = _corner(screen, base + k, px, py, seen, PERSPECTIVE)
    iu, iv = tl.load(uv + 2 * i.to(tl.int64), seen, 0.0), tl.load(uv + 2 * i.to(tl.int64) + 1, seen, 0.0)
    ju, jv = tl.load(uv + 2 * j.to(tl.int64), seen, 0.0), tl.load(uv + 2 * j.to(tl.int64) + 1, seen, 0.0)
    ku, kv = tl.load(uv + 2 * k.to(tl.int64), seen, 0.0), tl.load(uv + 2 * k.to(tl.int64) + 1, seen, 0.0)
    area = tl.abs((ju - iu) * (kv - iv) - (jv - iv) * (ku - iu)).to(tl.float64)
    wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    determinant, total = wa * az + wb * bz + wc * cz, tl.abs(wa + wb + wc)
    share = area * determinant * determinant / (total * total * total)
    spanned = share * texels
    level = 0.5 * tl.log2(tl.where((spanned > least) & (spanned < float("inf")), spanned, least).to(tl.float32))
    tl.store(out + n, tl.where(seen, level, 0.0), n < count)


@triton.jit
def _corner(screen, vertex, px, py, seen, PERSPECTIVE: tl.constexpr):
    """A homogeneous corner relative to the pixel, in float64."""
    x = tl.load(screen + 3 * vertex, seen, 0.0).to(tl.float64)
    y = tl.load(screen + 3 * vertex + 1, seen, 0.0).to(tl.float64)
    z = px * 0 + 1.0
    if PERSPECTIVE:
        z = tl.load(screen + 3 * vertex + 2, seen, 0.0).to(tl.float64)
    return x - z * px, y - z * py, z
