"""Texture look-up and its gradients on the CPU: kernels that touch nothing but covered pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.pyramid_numba import FEW
from meshwright.rendering.differentiable.texture_reference import LEAST_TEXELS
from meshwright.rendering.threads import kernel, row_bands, worker_count
from meshwright.workers import mapped

SUMS = 4  # threads that add up texel gradients, each into a copy of the texture of its own


class Lookup(torch.autograd.Function):
    """`texture_reference.look_up` of flat CPU tensors; 0 where ``seen`` is False."""

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
        ctx.save_for_backward(texels, uv, lod, seen)
        ctx.levels = level_tables(sizes)
        places = tuple(part.contiguous().numpy() for part in (texels.detach(), uv.detach(), lod, seen))
        out = uv.new_empty(len(uv), texels.shape[1])
        bands = _bands(len(uv))
        _each(bands, lambda n: look_up_numba(*ctx.levels, *places, *bands[n], out.numpy()))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Float[Tensor, "p c"]) -> tuple[Tensor | None, ...]:
        """Gradients of texels and uv. Texels are summed in the order of pixels, so that runs repeat bit by bit."""
        texels, uv, lod, seen = ctx.saved_tensors
        places = tuple(part.detach().contiguous().numpy() for part in (texels, uv, lod, seen, grads[0]))
        need_texels, _, need_uv = ctx.needs_input_grad[:3]
        bands = _bands(len(uv), SUMS)
        sums = [texels.new_empty(texels.shape if need_texels else (0, texels.shape[1])) for _ in bands]
        grad_uv = uv.new_empty(uv.shape if need_uv else (0, 2))

        def work(n: int) -> None:
            total = sums[n].zero_()  # new_zeros takes eight times as long: fresh pages
            look_up_backward_numba(*ctx.levels, *places, *bands[n], total.numpy(), grad_uv.numpy())

        _each(bands, work)
        for part in sums[1:]:
            sums[0].add_(part)
        grad_texels = (sums[0] if sums else torch.zeros_like(texels)) if need_texels else None
        return grad_texels, None, grad_uv if need_uv else None, None, None


def _bands(count: int, most: int = 1024) -> list[tuple[int, int]]:
    return row_bands(count, 1 if count < FEW else min(worker_count(), most))


def _each(bands: list[tuple[int, int]], work: Callable[[int], None]) -> None:
    """Call ``work`` with the number of each band, one a core."""
    if len(bands) == 1:
        work(0)
    else:
        list(mapped(work, range(len(bands))))


def level_tables(sizes: tuple[tuple[int, int], ...]) -> tuple[Int[np.ndarray, "l 3"], Float[np.ndarray, "l 2"]]:
    """Rows of (first texel, height, width), and how many texels of a level uv's unit square spans (down, across)."""
    table = np.array(sizes, np.int64).reshape(-1, 2)
    levels = np.column_stack([np.cumsum(table.prod(1)) - table.prod(1), table])
    return levels, table[0] / 2.0 ** np.arange(len(table))[:, None]


def mip_levels(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    uv: Float[Tensor, "V 2"],
    texels: int,
    perspective: bool,
) -> Float[Tensor, "n h w"]:
    """`texture_reference.mip_levels` on the CPU."""
    out = uv.new_zeros(face_id.shape)
    parts = tuple(part.contiguous().numpy() for part in (screen, faces, face_id, uv))
    bands = row_bands(face_id.shape[0] * face_id.shape[1], worker_count())
    _each(bands, lambda n: mip_level_rows(*parts, float(texels), perspective, *bands[n], out.numpy()))
    return out


@kernel()
def place(levels, scales, level, u, v):
    """Four texels of a level round (u, v), and how far (0..1) the place is from the first, along x and along y.

    Coordinates are taken one texel to the right and below, where they are positive and rounding down is a conversion.
    """
    first, height, width = levels[level, 0], levels[level, 1], levels[level, 2]
    x = (u - np.floor(u)) * scales[level, 1] + 0.5
    y = (v - np.floor(v)) * scales[level, 0] + 0.5
    column, row = np.int32(x), np.int32(y)
    left, upper = column - 1 if column > 0 else width - 1, row - 1 if row > 0 else height - 1
    right, lower = column if 0 <= column < width else 0, row if 0 <= row < height else 0
    top, bottom = first + upper * width, first + lower * width
    return top + left, top + right, bottom + left, bottom + right, x - column, y - row


@kernel()
def clamped(lod, last):
    """The finer of two levels and the share of the coarser one."""
    level = lod if lod > 0.0 else 0.0  # also where it is not a number
    level = level if level < last else last
    return int(level), level - int(level)


@kernel()
def look_up_numba(levels, scales, texels, uv, lod, seen, low, high, out):
    """Write the values at pixels ``low..high`` to ``out`` (p, c)."""
    real = texels.dtype.type
    for n in range(low, high):
        to = out[n]
        to[:] = 0
        if not (seen[n] and abs(uv[n, 0]) < np.inf and abs(uv[n, 1]) < np.inf):
            continue
        fine, part = clamped(lod[n], len(levels) - 1.0)
        for k in range(fine, fine + (2 if part > 0.0 else 1)):
            weight = 1.0 - part if k == fine else part
            a, b, c, d, fx, fy = place(levels, scales, k, uv[n, 0], uv[n, 1])
            wa, wb = real(weight * (1.0 - fx) * (1.0 - fy)), real(weight * fx * (1.0 - fy))
            wc, wd = real(weight * (1.0 - fx) * fy), real(weight * fx * fy)
            ta, tb, tc, td = texels[a], texels[b], texels[c], texels[d]
            for i in range(len(to)):
                to[i] += wa * ta[i] + wb * tb[i] + wc * tc[i] + wd * td[i]


@kernel()
def look_up_backward_numba(levels, scales, texels, uv, lod, seen, grad, low, high, grad_texels, grad_uv):
    """Add texel gradients, write uv gradients of pixels ``low..high``; an empty one is not asked for."""
    real = texels.dtype.type
    for n in range(low, high):
        if len(grad_uv) > 0:
            grad_uv[n, :] = 0
        if not (seen[n] and abs(uv[n, 0]) < np.inf and abs(uv[n, 1]) < np.inf):
            continue
        fine, part = clamped(lod[n], len(levels) - 1.0)
        given = grad[n]
        for k in range(fine, fine + (2 if part > 0.0 else 1)):
            weight = 1.0 - part if k == fine else part
            a, b, c, d, fx, fy = place(levels, scales, k, uv[n, 0], uv[n, 1])
            if len(grad_texels) > 0:
                wa, wb = real(weight * (1.0 - fx) * (1.0 - fy)), real(weight * fx * (1.0 - fy))
                wc, wd = real(weight * (1.0 - fx) * fy), real(weight * fx * fy)
                ga, gb, gc, gd = grad_texels[a], grad_texels[b], grad_texels[c], grad_texels[d]
                for i in range(len(given)):
                    ga[i] += wa * given[i]
                    gb[i] += wb * given[i]
                    gc[i] += wc * given[i]
                    gd[i] += wd * given[i]
            if len(grad_uv) > 0:
                sx, sy, rx, ry = real(fx), real(fy), real(1.0 - fx), real(1.0 - fy)
                along_x, along_y = real(0.0), real(0.0)
                ta, tb, tc, td = texels[a], texels[b], texels[c], texels[d]
                for i in range(len(given)):
                    along_x += given[i] * ((tb[i] - ta[i]) * ry + (td[i] - tc[i]) * sy)
                    along_y += given[i] * ((tc[i] - ta[i]) * rx + (td[i] - tb[i]) * sx)
                grad_uv[n, 0] += weight * along_x * scales[k, 1]
                grad_uv[n, 1] += weight * along_y * scales[k, 0]


@kernel()
def mip_level_rows(screen, faces, face_id, uv, texels, perspective, low, high, out):
    """The mip levels of rows ``low..high`` of all views' rows, one after another."""
    height, width = face_id.shape[1], face_id.shape[2]
    for line in range(low, high):
        view, row = line // height, line % height
        for col in range(width):
            f = face_id[view, row, col]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            area = abs(
                float(uv[j, 0] - uv[i, 0]) * float(uv[k, 1] - uv[i, 1])
                - float(uv[j, 1] - uv[i, 1]) * float(uv[k, 0] - uv[i, 0])
            )
            az, bz, cz = float(screen[view, i, 2]), float(screen[view, j, 2]), float(screen[view, k, 2])
            if not perspective:
                az, bz, cz = 1.0, 1.0, 1.0
            px, py = col + 0.5, row + 0.5
            ax, ay = screen[view, i, 0] - az * px, screen[view, i, 1] - az * py
            bx, by = screen[view, j, 0] - bz * px, screen[view, j, 1] - bz * py
            cx, cy = screen[view, k, 0] - cz * px, screen[view, k, 1] - cz * py
            wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            determinant = wa * az + wb * bz + wc * cz
            spanned = texels * area * determinant**2 / abs(wa + wb + wc) ** 3
            out[view, row, col] = 0.5 * np.log2(spanned if LEAST_TEXELS < spanned < np.inf else LEAST_TEXELS)
