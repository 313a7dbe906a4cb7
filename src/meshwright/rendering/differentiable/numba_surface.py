"""Interpolation over visible faces and its backward pass: `reference_surface` as kernels of the CPU backend.

All arithmetic is float64 in registers; arrays are float32. Neighbouring pixels of a row that see the same face are a
run: its corners are loaded once, and what it adds to their gradients is written once.
"""

from __future__ import annotations

import numpy as np

from meshwright.rendering.differentiable.backend import OUTSIDE
from meshwright.rendering.threads import kernel

LARGEST = 3.0e38  # what still fits into float32
FIRST = np.uintp(0)


@kernel()
def corner_ids(faces, f):
    """A face's vertices as unsigned numbers: numba then leaves out what makes negative indices count from the end."""
    return np.uintp(faces[f, 0]), np.uintp(faces[f, 1]), np.uintp(faces[f, 2])


@kernel()
def corner(screen, v, perspective):
    """(X, Y, z) of a vertex in float64, and w: z, orthographic 1."""
    z = np.float64(screen[v, 2])
    return np.float64(screen[v, 0]), np.float64(screen[v, 1]), z, (z if perspective else 1.0)


@kernel()
def areas(a, b, c, px, py):
    """Offsets of three corners from the pixel (times w), and the cross products that their weights are parts of."""
    ax, ay = a[0] - a[3] * px, a[1] - a[3] * py
    bx, by = b[0] - b[3] * px, b[1] - b[3] * py
    cx, cy = c[0] - c[3] * px, c[1] - c[3] * py
    return ax, ay, bx, by, cx, cy, bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx


@kernel()
def is_outside(w0, w1, w2, total):
    """Whether the pixel lies so far outside of its face that the weights are to be clipped."""
    limit = -OUTSIDE * abs(total)
    lowest = min(w0, w1, w2) if total > 0.0 else -max(w0, w1, w2)
    return not (lowest >= limit and total != 0.0)


@kernel()
def clipped(w0, w1, w2, total):
    """The weights of the nearest way back into the face: negative ones are 0; all equal if the face has no area."""
    if total == 0.0 or not np.isfinite(total):
        return 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0
    w0, w1, w2 = max(w0 / total, 0.0), max(w1 / total, 0.0), max(w2 / total, 0.0)
    inner = w0 + w1 + w2
    return w0 / inner, w1 / inner, w2 / inner


@kernel()
def weights(a, b, c, px, py):
    """Perspective-correct weights of three corners at the pixel."""
    _, _, _, _, _, _, w0, w1, w2 = areas(a, b, c, px, py)
    total = w0 + w1 + w2
    if is_outside(w0, w1, w2, total):
        return clipped(w0, w1, w2, total)
    scale = 1.0 / total
    return w0 * scale, w1 * scale, w2 * scale


@kernel()
def interpolate_rows(screen, faces, ids, attributes, perspective, row_start, row_end, image):
    """Write rows ``row_start..row_end`` of ``image`` (h, w, C) of one view."""
    channels = image.shape[2]
    for row in range(row_start, row_end):
        last = -1
        i, j, k = FIRST, FIRST, FIRST
        a = b = c = (0.0, 0.0, 0.0, 0.0)
        for col in range(ids.shape[1]):
            f = ids[row, col]
            if f < 0:
                for n in range(channels):
                    image[row, col, n] = 0.0
                continue
            if f != last:
                last, (i, j, k) = f, corner_ids(faces, f)
                a, b, c = corner(screen, i, perspective), corner(screen, j, perspective), corner(screen, k, perspective)
            w0, w1, w2 = weights(a, b, c, col + 0.5, row + 0.5)
            for n in range(channels):
                image[row, col, n] = w0 * attributes[i, n] + w1 * attributes[j, n] + w2 * attributes[k, n]


@kernel()
def add(gradient, v, x, y, z):
    """Add to one vertex's gradient, unless the numbers do not fit into float32."""
    if abs(x) < LARGEST and abs(y) < LARGEST and abs(z) < LARGEST:
        gradient[v, 0] += x
        gradient[v, 1] += y
        gradient[v, 2] += z


@kernel()
def _offsets_gradient(at, scale, g0, g1, g2):
    """Gradient of the offsets a', b', c' of `areas`, given g_i = dL/d weight_i:

    with h_i = (g_i - sum_k weight_k g_k) / sum(w), dL/da' = (h2 b'_y - h1 c'_y, h1 c'_x - h2 b'_x), and so on in turn.
    """
    ax, ay, bx, by, cx, cy, w0, w1, w2 = at
    mean = (w0 * g0 + w1 * g1 + w2 * g2) * scale
    h0, h1, h2 = (g0 - mean) * scale, (g1 - mean) * scale, (g2 - mean) * scale
    return (
        (h2 * by - h1 * cy, h1 * cx - h2 * bx),
        (h0 * cy - h2 * ay, h2 * ax - h0 * cx),
        (h1 * ay - h0 * by, h0 * bx - h1 * ax),
    )


@kernel()
def _flush(to_screen, to_attributes, corners, sums, perspective):
    """Add a run's gradient to its corners, and clear it. a' moves with X_a by 1 and with z_a by -(px, py)."""
    for m in range(3):
        if len(to_screen) > 0:
            add(to_screen, corners[m], sums[m, 0], sums[m, 1], -sums[m, 2] if perspective else 0.0)
        if len(to_attributes) > 0:
            for n in range(to_attributes.shape[1]):
                to_attributes[corners[m], n] += sums[m, 3 + n]
    sums[:] = 0.0


@kernel()
def backward_rows(screen, faces, ids, attributes, grad, perspective, row_start, row_end, to_screen, to_attributes):
    """Add the gradient of rows ``row_start..row_end`` to ``to_screen`` (V, 3) and ``to_attributes`` (V, C).

    What is not needed has no rows, and is left alone.
    """
    channels, moves, colors = grad.shape[2], len(to_screen) > 0, len(to_attributes) > 0
    sums = np.zeros((3, 3 + channels))  # of a run, for each corner: what moves it (x, y, z), then its attributes
    for row in range(row_start, row_end):
        last, py = -1, row + 0.5
        a = b = c = (0.0, 0.0, 0.0, 0.0)
        i, j, k = FIRST, FIRST, FIRST
        for col in range(ids.shape[1]):
            f, px = ids[row, col], col + 0.5
            if f != last:
                if last >= 0:
                    _flush(to_screen, to_attributes, (i, j, k), sums, perspective)
                last = f
                if f >= 0:
                    i, j, k = corner_ids(faces, f)
                    a, b, c = (
                        corner(screen, i, perspective),
                        corner(screen, j, perspective),
                        corner(screen, k, perspective),
                    )
            if f < 0:
                continue
            at = areas(a, b, c, px, py)
            total = at[6] + at[7] + at[8]
            outside = is_outside(at[6], at[7], at[8], total)
            scale = 1.0 / total
            w0, w1, w2 = at[6] * scale, at[7] * scale, at[8] * scale
            if outside:
                w0, w1, w2 = clipped(at[6], at[7], at[8], total)
            g0, g1, g2 = 0.0, 0.0, 0.0
            for n in range(channels):
                g = np.float64(grad[row, col, n])
                g0 += g * attributes[i, n]
                g1 += g * attributes[j, n]
                g2 += g * attributes[k, n]
                if colors:
                    sums[0, 3 + n] += w0 * g
                    sums[1, 3 + n] += w1 * g
                    sums[2, 3 + n] += w2 * g
            if moves and not outside:
                moved = _offsets_gradient(at, scale, g0, g1, g2)
                for m in range(3):
                    x, y = moved[m]
                    sums[m, 0] += x
                    sums[m, 1] += y
                    sums[m, 2] += x * px + y * py
        if last >= 0:
            _flush(to_screen, to_attributes, (i, j, k), sums, perspective)
