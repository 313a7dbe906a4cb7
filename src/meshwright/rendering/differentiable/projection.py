"""World points through 3 x 4 matrices to homogeneous pixel points, in float64 inside: so no TF32 gets in.

One kernel each way for float32 points: launching the tensor operations would take longer than a whole image on a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def transform(points: Float[Tensor, "m V 3"], matrix: Float[Tensor, "n 3 4"]) -> Float[Tensor, "n V 3"]:
    """``matrix`` (float64) times (point, 1) for every view and point, in the points' dtype; ``m`` is 1 or n.

    Points that are not finite become NaN and pass no gradient.
    """
    if points.dtype == torch.float32:
        return _Transform.apply(points.contiguous(), matrix.contiguous())  # pyright: ignore[reportReturnType]
    finite = torch.isfinite(points).all(-1, keepdim=True)
    clean = torch.where(finite, points, 0.0).double().expand(len(matrix), -1, -1)
    screen = torch.baddbmm(matrix[:, None, :, 3], clean, matrix[..., :3].mT).to(points.dtype)
    return torch.where(finite, screen, torch.nan)


class _Transform(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(points, matrix)
        return _kernels(points).project(points, matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        points, matrix = ctx.saved_tensors
        grad = grads[0].contiguous()
        need_points, need_matrix = ctx.needs_input_grad
        to_points = _kernels(points).project_backward(points, matrix, grad) if need_points else None
        return to_points, _to_matrix(points, grad) if need_matrix else None


def _kernels(points: Tensor) -> Any:
    if points.is_cuda:
        from meshwright.rendering.differentiable import triton_project

        return triton_project
    from meshwright.rendering.differentiable import numba_project

    return numba_project


def _to_matrix(points: Float[Tensor, "m V 3"], grad: Float[Tensor, "n V 3"]) -> Float[Tensor, "n 3 4"]:
    finite = torch.isfinite(points).all(-1, keepdim=True)
    clean = torch.where(finite, points, 0.0).double()
    pull = torch.where(finite, grad, 0.0).double().mT
    return torch.cat([pull @ clean, pull.sum(-1, keepdim=True)], -1)
