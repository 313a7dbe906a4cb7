"""World points to homogeneous pixel points on CUDA, one kernel each way, in float64 inside."""

# pyright: reportMissingImports=false, reportIndexIssue=false, reportUnusedVariable=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from meshwright.rendering.differentiable.triton_launch import launch

BLOCK = 256


def project(points: Float[Tensor, "m V 3"], matrix: Float[Tensor, "n 3 4"]) -> Float[Tensor, "n V 3"]:
    """``matrix`` (float64) times each point, float32; NaN for points that are not finite. ``m`` is 1 or n."""
    n, n_vertices = len(matrix), points.shape[1]
    screen = torch.empty((n, n_vertices, 3), dtype=torch.float32, device=points.device)
    if screen.numel():
        own = n_vertices if len(points) > 1 or n == 1 else 0
        launch(_forward, (triton.cdiv(n_vertices, BLOCK), n), points, matrix, screen, n_vertices, own, BLOCK)
    return screen


def project_backward(
    points: Float[Tensor, "m V 3"], matrix: Float[Tensor, "n 3 4"], grad: Float[Tensor, "n V 3"]
) -> Float[Tensor, "m V 3"]:
    """The gradient of `project` by the points; 0 for those that are not finite."""
    to_points = torch.empty_like(points)
    views, each = (1, len(matrix)) if len(points) == 1 else (len(points), 1)
    if points.numel():
        grid = (triton.cdiv(points.shape[1], BLOCK), views)
        launch(_backward, grid, points, matrix, grad, to_points, points.shape[1], each, BLOCK)
    return to_points


@triton.jit
def _point(points, at, inside):
    x, y, z = (
        tl.load(points + at * 3, inside, 0.0),
        tl.load(points + at * 3 + 1, inside, 0.0),
        tl.load(points + at * 3 + 2, inside, 0.0),
    )
    finite = (tl.abs(x) < float("inf")) & (tl.abs(y) < float("inf")) & (tl.abs(z) < float("inf"))
    return x.to(tl.float64), y.to(tl.float64), z.to(tl.float64), finite


@triton.jit
def _forward(points, matrix, screen, n_vertices, own, BLOCK: tl.constexpr):
    view = tl.program_id(1).to(tl.int64)
    vertex = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = vertex < n_vertices
    x, y, z, finite = _point(points, view * own + vertex, inside)
    at = screen + (view * n_vertices + vertex) * 3
    for row in tl.static_range(3):
        m = matrix + view * 12 + row * 4
        value = tl.load(m) * x + tl.load(m + 1) * y + tl.load(m + 2) * z + tl.load(m + 3)
        tl.store(at + row, tl.where(finite, value.to(tl.float32), float("nan")), inside)


@triton.jit
def _backward(points, matrix, grad, to_points, n_vertices, each, BLOCK: tl.constexpr):
    first = tl.program_id(1).to(tl.int64)
    vertex = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = vertex < n_vertices
    x, y, z, finite = _point(points, first * n_vertices + vertex, inside)
    gx, gy, gz = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    for view in range(first, first + each):
        at = grad + (view * n_vertices + vertex) * 3
        for row in tl.static_range(3):
            g = tl.load(at + row, inside, 0.0).to(tl.float64)
            m = matrix + view * 12 + row * 4
            gx += tl.load(m) * g
            gy += tl.load(m + 1) * g
            gz += tl.load(m + 2) * g
    at = to_points + (first * n_vertices + vertex) * 3
    tl.store(at, tl.where(finite, gx, 0.0).to(tl.float32), inside)
    tl.store(at + 1, tl.where(finite, gy, 0.0).to(tl.float32), inside)
    tl.store(at + 2, tl.where(finite, gz, 0.0).to(tl.float32), inside)
