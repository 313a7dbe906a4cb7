"""Interpolation over visible faces and its backward pass: `reference_surface` as kernels of the CPU backend.

All arithmetic is float64 in registers; arrays are float32. Neighbouring pixels of a row that see the same face are a
run: its corners are loaded once, along it the weights (times w) grow by a constant, and what it adds to the gradients
of its corners is written once. Channels are taken three at a time, so that all sums of a run stay in registers.
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
def _growth(a, b, c, at):
    """What the weights of b and c and the sum of all grow by from one pixel of a row to the next."""
    ay, by, cy = at[1], at[3], at[5]
    of_b, of_c = cy * a[3] - c[3] * ay, ay * b[3] - a[3] * by
    return of_b, of_c, by * c[3] - b[3] * cy + of_b + of_c


@kernel()
def _shares(at, growth, d):
    """Weights of b and c ``d`` pixels after the first of a run, and 1 / the sum of all; clipped where need be."""
    scale = 1.0 / (at[6] + at[7] + at[8] + d * growth[2])
    w1, w2 = (at[7] + d * growth[0]) * scale, (at[8] + d * growth[1]) * scale
    if w1 >= -OUTSIDE and w2 >= -OUTSIDE and w1 + w2 <= 1.0 + OUTSIDE:
        return w1, w2, scale
    w1, w2 = at[7] + d * growth[0], at[8] + d * growth[1]
    total = at[6] + at[7] + at[8] + d * growth[2]
    _, w1, w2 = clipped(total - w1 - w2, w1, w2, total)
    return w1, w2, 0.0


@kernel()
def _triple(values, v, n, count):
    """Channels n, n + 1, n + 2 of a vertex; those that there are not are 0."""
    x = np.float64(values[v, n])
    y = np.float64(values[v, n + 1]) if count > 1 else 0.0
    return x, y, (np.float64(values[v, n + 2]) if count > 2 else 0.0)


@kernel()
def _draw_run(ids, row, first, at, growth, p, q, r, n, count, image):
    """Write channels n, n + 1, n + 2 of a run, p, q, r those of the corners; gives the column after the run."""
    q, r = (q[0] - p[0], q[1] - p[1], q[2] - p[2]), (r[0] - p[0], r[1] - p[1], r[2] - p[2])
    col, f, u = first, ids[row, first], np.uintp(row)
    n0, n1, n2 = np.uintp(n), np.uintp(n + 1), np.uintp(n + 2)
    while col < ids.shape[1] and ids[u, np.uintp(col)] == f:
        v = np.uintp(col)
        w1, w2, _ = _shares(at, growth, float(col - first))
        image[u, v, n0] = p[0] + w1 * q[0] + w2 * r[0]
        if count > 1:
            image[u, v, n1] = p[1] + w1 * q[1] + w2 * r[1]
        if count > 2:
            image[u, v, n2] = p[2] + w1 * q[2] + w2 * r[2]
        col += 1
    return col


@kernel()
def interpolate_rows(screen, faces, ids, attributes, perspective, row_start, row_end, image):
    """Write rows ``row_start..row_end`` of ``image`` (h, w, C) of one view."""
    channels = image.shape[2]
    for row in range(row_start, row_end):
        col = 0
        while col < ids.shape[1]:
            if ids[row, col] < 0:
                for n in range(channels):
                    image[row, col, n] = 0.0
                col += 1
                continue
            i, j, k = corner_ids(faces, ids[row, col])
            a, b, c = corner(screen, i, perspective), corner(screen, j, perspective), corner(screen, k, perspective)
            at = areas(a, b, c, col + 0.5, row + 0.5)
            growth, end = _growth(a, b, c, at), col + 1
            for n in range(0, channels, 3):
                count = channels - n
                p, q = _triple(attributes, i, n, count), _triple(attributes, j, n, count)
                r = _triple(attributes, k, n, count)
                end = _draw_run(ids, row, col, at, growth, p, q, r, n, count, image)
            col = end


@kernel()
def add(gradient, v, x, y, z):
    """Add to one vertex's gradient, unless the numbers do not fit into float32."""
    if abs(x) < LARGEST and abs(y) < LARGEST and abs(z) < LARGEST:
        gradient[v, 0] += x
        gradient[v, 1] += y
        gradient[v, 2] += z


@kernel()
def _add_triple(gradient, v, n, count, sums):
    """Add to channels n, n + 1, n + 2 of one vertex."""
    gradient[v, n] += sums[0]
    if count > 1:
        gradient[v, n + 1] += sums[1]
    if count > 2:
        gradient[v, n + 2] += sums[2]


@kernel()
def _sum_run(ids, row, first, at, growth, p, q, r, n, count, grad):
    """Sums over a run of the gradients (x, y, z) of channels n, n + 1, n + 2, and the column after it.

    The sums are those of (x, y, z), of it times the weights of b and of c, of h, and of d h, where d counts the run's
    pixels and, by the chain rule through `areas`,

        h_i = (g_i - sum_k weight_k g_k) / sum(w),  g_i = dL/d weight_i;  0 where the weights are clipped.
    """
    q, r = (q[0] - p[0], q[1] - p[1], q[2] - p[2]), (r[0] - p[0], r[1] - p[1], r[2] - p[2])
    p0, p1, p2, q0, q1, q2, r0, r1, r2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    m, b, c, dm, db, dc = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    col, f, u = first, ids[row, first], np.uintp(row)
    n0, n1, n2 = np.uintp(n), np.uintp(n + 1), np.uintp(n + 2)
    while col < ids.shape[1] and ids[u, np.uintp(col)] == f:
        v = np.uintp(col)
        d = float(col - first)
        w1, w2, scale = _shares(at, growth, d)
        x = np.float64(grad[u, v, n0])
        y = np.float64(grad[u, v, n1]) if count > 1 else 0.0
        z = np.float64(grad[u, v, n2]) if count > 2 else 0.0
        to_b = (x * q[0] + y * q[1] + z * q[2]) * scale
        to_c = (x * r[0] + y * r[1] + z * r[2]) * scale
        mean = w1 * to_b + w2 * to_c
        m, b, c = m + mean, b + to_b, c + to_c
        dm, db, dc = dm + d * mean, db + d * to_b, dc + d * to_c
        p0, p1, p2 = p0 + x, p1 + y, p2 + z
        q0, q1, q2 = q0 + w1 * x, q1 + w1 * y, q2 + w1 * z
        r0, r1, r2 = r0 + w2 * x, r1 + w2 * y, r2 + w2 * z
        col += 1
    p0, p1, p2 = p0 - q0 - r0, p1 - q1 - r1, p2 - q2 - r2
    return (p0, p1, p2), (q0, q1, q2), (r0, r1, r2), (-m, b - m, c - m), (-dm, db - dm, dc - dm), col


@kernel()
def _move(to_screen, v, b, c, hb, hc, px, py, perspective):
    """Add what a run pulls one corner by: dL/da' = sum of (h_c b'_y - h_b c'_y, h_b c'_x - h_c b'_x).

    ``b`` and ``c`` are the next corners' (x', y', w) at the run's first pixel (px, py); along it y' stays and x' falls
    by w. ``hb`` and ``hc`` are the sums (h, d h) of those corners. a' moves with X_a by 1 and with z_a by -(px, py).
    """
    x = hc[0] * b[1] - hb[0] * c[1]
    y = hb[0] * c[0] - hc[0] * b[0] - (hb[1] * c[2] - hc[1] * b[2])
    z = x * px + (hc[1] * b[1] - hb[1] * c[1]) + y * py
    add(to_screen, v, x, y, -z if perspective else 0.0)


@kernel()
def backward_rows(screen, faces, ids, attributes, grad, perspective, row_start, row_end, to_screen, to_attributes):
    """Add the gradient of rows ``row_start..row_end`` to ``to_screen`` (V, 3) and ``to_attributes`` (V, C).

    What is not needed has no rows, and is left alone.
    """
    width, channels = ids.shape[1], grad.shape[2]
    moves, colors = len(to_screen) > 0, len(to_attributes) > 0
    for row in range(row_start, row_end):
        col, py = 0, row + 0.5
        while col < width:
            if ids[row, col] < 0:
                col += 1
                continue
            i, j, k = corner_ids(faces, ids[row, col])
            a, b, c = corner(screen, i, perspective), corner(screen, j, perspective), corner(screen, k, perspective)
            px, end = col + 0.5, col + 1
            at = areas(a, b, c, px, py)
            growth = _growth(a, b, c, at)
            a, b, c = (at[0], at[1], a[3]), (at[2], at[3], b[3]), (at[4], at[5], c[3])
            for n in range(0, channels, 3):
                count = channels - n
                p, q = _triple(attributes, i, n, count), _triple(attributes, j, n, count)
                r = _triple(attributes, k, n, count)
                p, q, r, h, d, end = _sum_run(ids, row, col, at, growth, p, q, r, n, count, grad)
                if colors:
                    _add_triple(to_attributes, i, n, count, p)
                    _add_triple(to_attributes, j, n, count, q)
                    _add_triple(to_attributes, k, n, count, r)
                if moves:
                    _move(to_screen, i, b, c, (h[1], d[1]), (h[2], d[2]), px, py, perspective)
                    _move(to_screen, j, c, a, (h[2], d[2]), (h[0], d[0]), px, py, perspective)
                    _move(to_screen, k, a, b, (h[0], d[0]), (h[1], d[1]), px, py, perspective)
            col = end
