"""World points to homogeneous pixel points on the CPU, one kernel each way, in float64 inside.

Written out because torch's own threads keep a core busy for milliseconds after each of its operations, and that core is
wanted by the kernels that come next.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.rendering.threads import kernel, over_rows


def project(points: Float[Tensor, "m V 3"], matrix: Float[Tensor, "n 3 4"]) -> Float[Tensor, "n V 3"]:
    """``matrix`` (float64) times each point, float32; NaN for points that are not finite. ``m`` is 1 or n."""
    screen = torch.from_numpy(np.empty((len(matrix), points.shape[1], 3), np.float32))
    given = points.detach().numpy(), matrix.detach().numpy(), screen.numpy()
    over_rows(points.shape[1], lambda low, high: _project(*given, low, high))
    return screen


def project_backward(
    points: Float[Tensor, "m V 3"], matrix: Float[Tensor, "n 3 4"], grad: Float[Tensor, "n V 3"]
) -> Float[Tensor, "m V 3"]:
    """The gradient of `project` by the points; 0 for those that are not finite."""
    to_points = torch.zeros_like(points)
    given = points.detach().numpy(), matrix.detach().numpy(), grad.numpy(), to_points.numpy()
    over_rows(points.shape[1], lambda low, high: _project_backward(*given, low, high))
    return to_points


@kernel()
def _is_finite(point):
    return np.isfinite(point[0]) and np.isfinite(point[1]) and np.isfinite(point[2])


@kernel()
def _project(points, matrix, screen, start, end):
    for n in range(len(matrix)):
        own, m = points[n % len(points)], matrix[n]
        for v in range(start, end):
            if _is_finite(own[v]):
                x, y, z = np.float64(own[v, 0]), np.float64(own[v, 1]), np.float64(own[v, 2])
                for row in range(3):
                    screen[n, v, row] = m[row, 0] * x + m[row, 1] * y + m[row, 2] * z + m[row, 3]
            else:
                screen[n, v, :] = np.nan


@kernel()
def _project_backward(points, matrix, grad, to_points, start, end):
    for n in range(len(matrix)):
        own, m, to_own = points[n % len(points)], matrix[n], to_points[n % len(points)]
        for v in range(start, end):
            if _is_finite(own[v]):
                x, y, z = np.float64(grad[n, v, 0]), np.float64(grad[n, v, 1]), np.float64(grad[n, v, 2])
                for column in range(3):
                    to_own[v, column] += m[0, column] * x + m[1, column] * y + m[2, column] * z
