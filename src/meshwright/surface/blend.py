"""From several sightings of a texel to one colour: the colour that the well-placed views agree on.

The sighting with the most agreement (weighted kernel density over colours) is taken as the truth; others count with the
square of their weight and only as far as they agree with it. So a background that bled into one view, or a shadow, is
outvoted, and where views agree the best-placed one dominates, which keeps detail sharp.
"""

from __future__ import annotations

import numpy as np

from meshwright.rendering.threads import kernel

AGREEMENT = 36.0  # sRGB levels (largest channel) at which two sightings disagree


@kernel()
def blend_sightings(colors, weights, views, gains, offsets, corners, barycentric, out, winner):
    """Colours (t, 3) float32 into ``out``, the decisive view (t,) or -1 into ``winner``.

    ``colors, weights, views`` as in `Sightings`; ``gains`` (views, 3) multiplies and ``offsets`` (vertices, views, 3)
    adds to each view's colours, interpolated over the texel's face (``corners`` (t, 3), ``barycentric`` (t, 3)).
    """
    kept = weights.shape[1]
    leveled = np.zeros((kept, 3))
    for t in range(weights.shape[0]):
        count = 0
        while count < kept and weights[t, count] > 0:
            view = views[t, count]
            for c in range(3):
                shift = 0.0
                for k in range(3):
                    shift += barycentric[t, k] * offsets[corners[t, k], view, c]
                leveled[count, c] = colors[t, count, c] * gains[view, c] + shift
            count += 1
        winner[t] = -1
        if count == 0:
            continue
        truth = _most_agreed(leveled, weights[t], count)
        total, highest = 0.0, 0.0
        out[t, 0] = out[t, 1] = out[t, 2] = 0.0
        for j in range(count):
            share = weights[t, j] ** 2 * _agreement(leveled, truth, j)
            total += share
            for c in range(3):
                out[t, c] += share * leveled[j, c]
            if share > highest:
                highest, winner[t] = share, views[t, j]
        for c in range(3):
            out[t, c] /= total


@kernel()
def _agreement(leveled, i, j):
    """1 for equal colours, falling to 0.37 at `AGREEMENT` levels."""
    apart = 0.0
    for c in range(3):
        apart = max(apart, abs(leveled[i, c] - leveled[j, c]))
    return np.exp(-((apart / AGREEMENT) ** 2))


@kernel()
def _most_agreed(leveled, weights, count):
    best, most = 0, -1.0
    for i in range(count):
        votes = 0.0
        for j in range(count):
            votes += weights[j] * _agreement(leveled, i, j)
        if votes > most + 1e-9:
            best, most = i, votes
    return best
