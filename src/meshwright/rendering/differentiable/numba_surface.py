"""Interpolation over visible faces and its backward pass: the kernels of the CPU backend.

All arithmetic is float64 in registers; arrays are float32. The maths is that of `reference.surface`.
"""

from __future__ import annotations

import numpy as np

from meshwright.rendering.differentiable.backend import OUTSIDE
from meshwright.rendering.threads import kernel

LARGEST = 3.0e38  # what still fits into float32


@kernel()
def corner(screen, v, px, py, perspective):
    """Vertex ``v`` as seen from the pixel (px, py): its offset (times z in perspective), and z."""
    x, y, z = np.float64(screen[v, 0]), np.float64(screen[v, 1]), np.float64(screen[v, 2])
    w = z if perspective else 1.0
    return x - w * px, y - w * py, z


@kernel()
def is_outside(w0, w1, w2, total):
    """Whether the pixel lies so far outside of its face that the weights are to be clipped."""
    limit = -OUTSIDE * abs(total)
    sign = 1.0 if total > 0.0 else -1.0
    return not (sign * w0 >= limit and sign * w1 >= limit and sign * w2 >= limit and total != 0.0)


@kernel()
def clipped(w0, w1, w2, total):
    """The weights of the nearest way back into the face: negative ones are 0; all equal if the face has no area."""
    if total == 0.0 or not np.isfinite(total):
        return 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0
    w0, w1, w2 = max(w0 / total, 0.0), max(w1 / total, 0.0), max(w2 / total, 0.0)
    inner = w0 + w1 + w2
    return w0 / inner, w1 / inner, w2 / inner


@kernel()
def weights(screen, i, j, k, px, py, perspective):
    """Perspective-correct weights of vertices i, j, k at the pixel."""
    ax, ay, _ = corner(screen, i, px, py, perspective)
    bx, by, _ = corner(screen, j, px, py, perspective)
    cx, cy, _ = corner(screen, k, px, py, perspective)
    w0, w1, w2 = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    total = w0 + w1 + w2
    if is_outside(w0, w1, w2, total):
        return clipped(w0, w1, w2, total)
    scale = 1.0 / total
    return w0 * scale, w1 * scale, w2 * scale


@kernel()
def interpolate_rows(screen, faces, ids, attributes, perspective, row_start, row_end, image):
    """Write rows ``row_start..row_end`` of ``image`` (h, w, C) of one view."""
    for row in range(row_start, row_end):
        for col in range(ids.shape[1]):
            f = ids[row, col]
            if f < 0:
                for c in range(image.shape[2]):
                    image[row, col, c] = 0.0
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            w0, w1, w2 = weights(screen, i, j, k, col + 0.5, row + 0.5, perspective)
            for c in range(image.shape[2]):
                image[row, col, c] = w0 * attributes[i, c] + w1 * attributes[j, c] + w2 * attributes[k, c]


@kernel()
def add(gradient, v, x, y, z):
    """Add to one vertex's gradient, unless the numbers do not fit into float32."""
    if abs(x) < LARGEST and abs(y) < LARGEST and abs(z) < LARGEST:
        gradient[v, 0] += x
        gradient[v, 1] += y
        gradient[v, 2] += z


@kernel()
def attributes_backward_rows(screen, faces, ids, grad, perspective, row_start, row_end, to_attributes):
    """Add the gradient of rows ``row_start..row_end`` to ``to_attributes`` (V, C)."""
    for row in range(row_start, row_end):
        for col in range(ids.shape[1]):
            f = ids[row, col]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            w0, w1, w2 = weights(screen, i, j, k, col + 0.5, row + 0.5, perspective)
            for c in range(grad.shape[2]):
                g = np.float64(grad[row, col, c])
                to_attributes[i, c] += w0 * g
                to_attributes[j, c] += w1 * g
                to_attributes[k, c] += w2 * g


@kernel()
def screen_backward_rows(screen, faces, ids, attributes, grad, perspective, row_start, row_end, to_screen):
    """Add the gradient of rows ``row_start..row_end`` to ``to_screen`` (V, 3).

    With g_i = grad . attributes_i and h_i = (g_i - sum_k b_k g_k) / sum(w), dL/da' = (h2 b'_y - h1 c'_y,
    h1 c'_x - h2 b'_x) and so on in turn; a' moves with X_a by 1 and with z_a by -(px, py).
    """
    for row in range(row_start, row_end):
        py = row + 0.5
        for col in range(ids.shape[1]):
            f = ids[row, col]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            g0, g1, g2 = 0.0, 0.0, 0.0
            for c in range(grad.shape[2]):
                g = np.float64(grad[row, col, c])
                g0 += g * attributes[i, c]
                g1 += g * attributes[j, c]
                g2 += g * attributes[k, c]
            px = col + 0.5
            ax, ay, _ = corner(screen, i, px, py, perspective)
            bx, by, _ = corner(screen, j, px, py, perspective)
            cx, cy, _ = corner(screen, k, px, py, perspective)
            w0, w1, w2 = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            total = w0 + w1 + w2
            if is_outside(w0, w1, w2, total):
                continue
            scale = 1.0 / total
            mean = (w0 * g0 + w1 * g1 + w2 * g2) * scale
            h0, h1, h2 = (g0 - mean) * scale, (g1 - mean) * scale, (g2 - mean) * scale
            ux, uy = h2 * by - h1 * cy, h1 * cx - h2 * bx
            vx, vy = h0 * cy - h2 * ay, h2 * ax - h0 * cx
            tx, ty = h1 * ay - h0 * by, h0 * bx - h1 * ax
            qx, qy = (px, py) if perspective else (0.0, 0.0)
            add(to_screen, i, ux, uy, -(ux * qx + uy * qy))
            add(to_screen, j, vx, vy, -(vx * qx + vy * qy))
            add(to_screen, k, tx, ty, -(tx * qx + ty * qy))
