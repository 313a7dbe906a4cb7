"""The mip pyramid and its gradient on the CPU: all levels in one buffer, one pass over each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from meshwright.rendering.threads import kernel, over_rows

FEW = 16384  # texels or pixels: fewer are done before threads have started
Sizes = tuple[tuple[int, int], ...]
_NOTHING = np.zeros((0, 0), np.bool_)


class NumbaPyramid(torch.autograd.Function):
    """Texture (h, w, c) to the texels (t, c) of all levels; ``covered`` says which texels count, None all."""

    @staticmethod
    def forward(
        ctx: Any, texture: Float[Tensor, "h w c"], sizes: Sizes, covered: Bool[Tensor, "h w"] | None
    ) -> Float[Tensor, "t c"]:
        """Halve until the last level, then fill gaps from there."""
        count = sum(height * width for height, width in sizes)
        texels = texture.new_empty(count, texture.shape[2])
        levels, masks = _views(texels, sizes), [_NOTHING] * len(sizes)
        levels[0][:] = texture.detach().numpy()
        if covered is not None:
            masks = [covered.contiguous().numpy(), *(np.zeros(size, np.bool_) for size in sizes[1:])]
        for k in range(1, len(sizes)):
            _over(sizes[k], halve_rows, levels[k - 1], masks[k - 1], levels[k], masks[k])
        if covered is not None and len(sizes) > 1:
            levels[-1][~masks[-1]] = levels[-1][masks[-1]].mean(0)
            for k in range(len(sizes) - 2, 0, -1):
                _over(sizes[k], fill_rows, levels[k + 1], masks[k], levels[k])
        ctx.sizes, ctx.masks = sizes, masks
        return texels

    @staticmethod
    def backward(ctx: Any, *grads: Float[Tensor, "t c"]) -> tuple[Tensor | None, ...]:
        """The same steps backwards."""
        sizes, masks = ctx.sizes, ctx.masks
        levels = _views(grads[0].clone(memory_format=torch.contiguous_format), sizes)
        if masks[0] is not _NOTHING and len(sizes) > 1:
            for k in range(1, len(sizes) - 1):
                _over(sizes[k + 1], fill_rows_backward, levels[k], masks[k], levels[k + 1])
            top, mask = levels[-1], masks[-1]
            top[mask] += top[~mask].sum(0) / mask.sum()
        for k in range(len(sizes) - 1, 0, -1):
            _over(sizes[k], halve_rows_backward, levels[k], masks[k - 1], levels[k - 1])
        return torch.from_numpy(levels[0]), None, None


def _views(texels: Float[Tensor, "t c"], sizes: Sizes) -> list[Float[np.ndarray, "h w c"]]:
    """The levels as images that share the texels' memory."""
    counts = [height * width for height, width in sizes]
    flat = np.split(texels.numpy(), np.cumsum(counts)[:-1])
    return [part.reshape(height, width, -1) for part, (height, width) in zip(flat, sizes, strict=True)]


def _over(size: tuple[int, int], work: Any, *arrays: np.ndarray) -> None:
    if size[0] * size[1] < FEW:
        work(*arrays, 0, size[0])
    else:
        over_rows(size[0], lambda low, high: work(*arrays, low, high))


@kernel()
def halve_rows(fine, covered, coarse, coarse_covered, low, high):
    """Rows ``low..high`` of ``coarse``: means of 2 x 2 texels, only of covered ones if ``covered`` is not empty; the
    last row and column stand for those beyond them."""
    height, width, channels = fine.shape
    real = fine.dtype.type
    for row in range(low, high):
        for col in range(coarse.shape[1]):
            total = 0
            coarse[row, col, :] = 0
            for i in range(2 * row, 2 * row + 2):
                for j in range(2 * col, 2 * col + 2):
                    y, x = min(i, height - 1), min(j, width - 1)
                    if len(covered) > 0 and (i >= height or j >= width or not covered[y, x]):
                        continue
                    total += 1
                    for c in range(channels):
                        coarse[row, col, c] += fine[y, x, c]
            if total > 0:
                for c in range(channels):
                    coarse[row, col, c] /= real(total)
            if len(covered) > 0:
                coarse_covered[row, col] = total > 0


@kernel()
def halve_rows_backward(coarse, covered, fine, low, high):
    """Add the gradients of rows ``low..high`` of ``coarse`` to those of ``fine``."""
    height, width, channels = fine.shape
    real = fine.dtype.type
    for row in range(low, high):
        for col in range(coarse.shape[1]):
            total = 4
            if len(covered) > 0:
                total = 0
                for y in range(2 * row, min(2 * row + 2, height)):
                    for x in range(2 * col, min(2 * col + 2, width)):
                        total += 1 if covered[y, x] else 0
            for i in range(2 * row, 2 * row + 2):
                for j in range(2 * col, 2 * col + 2):
                    y, x = min(i, height - 1), min(j, width - 1)
                    if len(covered) > 0 and (i >= height or j >= width or not covered[y, x]):
                        continue
                    for c in range(channels):
                        fine[y, x, c] += coarse[row, col, c] / real(total)


@kernel()
def fill_rows(coarse, covered, fine, low, high):
    """Texels of ``fine`` that are not covered get the colour of the level above, in rows ``low..high``."""
    for row in range(low, high):
        for col in range(fine.shape[1]):
            if not covered[row, col]:
                for c in range(fine.shape[2]):
                    fine[row, col, c] = coarse[row // 2, col // 2, c]


@kernel()
def fill_rows_backward(fine, covered, coarse, low, high):
    """Move the gradients of uncovered texels to rows ``low..high`` of the level above."""
    for row in range(low, high):
        for y in range(2 * row, min(2 * row + 2, fine.shape[0])):
            for x in range(fine.shape[1]):
                if not covered[y, x]:
                    for c in range(fine.shape[2]):
                        coarse[row, x // 2, c] += fine[y, x, c]
                        fine[y, x, c] = 0
