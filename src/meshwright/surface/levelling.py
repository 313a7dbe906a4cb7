"""Making views agree in colour: one gain per view, then a smooth additive correction per view over the surface.

The correction follows Waechter, Moehrle, Goesele, "Let There Be Color!" (ECCV 2014), sec. 4.1: per vertex and view an
offset that closes the colour difference between views and is as flat as possible over the surface. Here it acts
wherever two views overlap, not only on hard label borders, because texels blend views. It knows nothing of charts, so
it works across their borders. On consistent views both steps do (nearly) nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.mesh import Mesh
from meshwright.surface.sightings import Sightings

SAMPLES = 200_000  # texels looked at: about seven per face at 30k faces
GAIN_LIMITS = (0.75, 1.33)
GAIN_PRIOR = 0.05  # of all that a view sees: so much pulls its log gain to 0, and a thin, shadowed overlap cannot win
USABLE_LEVELS = (8, 250)  # darker is noise, brighter is clipped
ROBUST_LOG = 0.15  # log ratios beyond this are other surfaces, highlights or background
ROBUST_LEVELS = 30.0
OVERLAP_WEIGHT = 0.5  # summed sample weight at which an overlap at a vertex counts half
FLATNESS = 4.0  # weight of "as flat as possible" against closing a full overlap
HOLD = 0.01  # weight of "no correction at all"
TOLERANCE = 0.01  # levels: what the solution may miss on average


@dataclass(frozen=True, eq=False)
class Levelling:
    """``gains`` (views, 3) multiply a view's sRGB colours, ``offsets`` (vertices, views, 3) are then added."""

    gains: Float[np.ndarray, "v 3"]
    offsets: Float[np.ndarray, "n v 3"]

    @staticmethod
    def none(n_vertices: int, n_views: int) -> Levelling:
        """Levelling that changes nothing."""
        return Levelling(np.ones((n_views, 3), np.float32), np.zeros((n_vertices, n_views, 3), np.float32))


def level(
    mesh: Mesh,
    sightings: Sightings,
    face: Int[np.ndarray, "t"],
    barycentric: Float[np.ndarray, "t 3"],
    n_views: int,
) -> Levelling:
    """Levelling of all views from the sightings of texels that lie on ``face`` at ``barycentric``."""
    stride = max(1, len(face) // SAMPLES)
    sample = slice(stride // 2, None, stride)
    colors = sightings.colors[sample].astype(np.float32)
    weights, views = sightings.weights[sample], sightings.views[sample].astype(np.int64)
    gains = estimate_gains(colors, weights, views, n_views)
    corners = mesh.faces[face[sample]]
    offsets = _estimate_offsets(mesh, colors * gains[views], weights, views, corners, barycentric[sample], n_views)
    return Levelling(gains.astype(np.float32), offsets.astype(np.float32))


def estimate_gains(
    colors: Float[np.ndarray, "s k 3"], weights: Float[np.ndarray, "s k"], views: Int[np.ndarray, "s k"], n_views: int
) -> Float[np.ndarray, "v 3"]:
    """Gain per view and channel by robust least squares on log ratios of colours seen at the same place."""
    gains = np.ones((n_views, 3))
    pairs = [
        _log_ratios(colors, weights, views, i, j)
        for i in range(weights.shape[1])
        for j in range(i + 1, weights.shape[1])
    ]
    one, two, weight = (np.concatenate([p[k] for p in pairs]) for k in range(3))
    ratio = np.concatenate([p[3] for p in pairs])
    if not len(one):
        return gains
    prior = GAIN_PRIOR * np.bincount(views.ravel(), weights.ravel(), n_views)
    for channel in range(3):
        gains[:, channel] = np.exp(_log_gains(one, two, weight, ratio[:, channel], prior))
    return np.clip(gains, *GAIN_LIMITS)


def _log_ratios(colors, weights, views, i: int, j: int):
    """(view i, view j, weight, log ratio per channel) of samples that both slots see well enough."""
    low, high = USABLE_LEVELS
    both = weights[:, j] > 0.02
    both &= (colors[:, [i, j]].min((1, 2)) > low) & (colors[:, [i, j]].max((1, 2)) < high)
    ratio = np.log(colors[both, i] / colors[both, j])
    return views[both, i], views[both, j], np.sqrt(weights[both, i] * weights[both, j]), ratio


def _log_gains(one, two, weight, ratio, prior: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v"]:
    """Iteratively reweighted (Cauchy) solution of ``gain[one] - gain[two] = -ratio`` with a pull to 0."""
    n_views = len(prior)
    log_gain, key = np.zeros(n_views), one * n_views + two
    for _ in range(12):
        residual = ratio + log_gain[one] - log_gain[two]
        w = weight / (1 + (residual / ROBUST_LOG) ** 2)
        joint = np.bincount(key, w, n_views**2).reshape(n_views, n_views)
        pull = np.bincount(key, w * ratio, n_views**2).reshape(n_views, n_views)
        overlap = joint.sum(0) + joint.sum(1)
        matrix = np.diag(overlap + prior + 1e-9) - joint - joint.T
        log_gain = np.linalg.solve(matrix, pull.sum(0) - pull.sum(1))
    return log_gain


def _estimate_offsets(mesh, colors, weights, views, corners, barycentric, n_views) -> Float[np.ndarray, "n v 3"]:
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import cg

    vertex, one, two, strength, apart = _overlaps(
        len(mesh.vertices), colors, weights, views, corners, barycentric, n_views
    )
    number, count = _unknowns(corners, weights, views, len(mesh.vertices), n_views)
    offsets = np.zeros((len(mesh.vertices), n_views, 3))
    if not len(vertex):
        return offsets
    one, two = number[vertex, one], number[vertex, two]
    edges = _same_view_edges(mesh, number)
    links = coo_matrix(
        (
            np.concatenate([strength, np.full(len(edges[0]), FLATNESS)]),
            (np.concatenate([one, edges[0]]), np.concatenate([two, edges[1]])),
        ),
        shape=(count, count),
    ).tocsr()
    links = links + links.T
    diagonal = np.asarray(links.sum(1)).ravel() + HOLD
    matrix, inverse, known = diags(diagonal) - links, diags(1 / diagonal), number >= 0
    for channel in range(3):
        pull = strength * apart[:, channel]
        right = np.bincount(two, pull, count) - np.bincount(one, pull, count)
        solution, _ = cg(
            matrix, right, rtol=1e-3, atol=float(TOLERANCE * np.linalg.norm(diagonal)), maxiter=60, M=inverse
        )
        offsets[..., channel][known] = solution
    return offsets


def _unknowns(corners, weights, views, n_vertices: int, n_views: int) -> tuple[Int[np.ndarray, "n v"], int]:
    """Number of each (vertex, view) pair that some sample touches, -1 for the rest."""
    touched = np.zeros((n_vertices, n_views), bool)
    for slot in range(weights.shape[1]):
        has = np.flatnonzero(weights[:, slot] > 0)
        for k in range(3):
            touched[corners[has, k], views[has, slot]] = True
    number = np.full(touched.shape, -1)
    number[touched] = np.arange(touched.sum())
    return number, int(touched.sum())


def _overlaps(n_vertices, colors, weights, views, corners, barycentric, n_views):
    """Where two views see the same texels: (vertex, view one, view two, strength 0..1, mean colour one minus two).

    Differences are taken texel by texel before they are averaged, so that the texture itself cancels out.
    """
    nearest = np.take_along_axis(corners, barycentric.argmax(1)[:, None], 1)[:, 0].astype(np.int64)
    keys, shares, differences = [], [], []
    for i in range(weights.shape[1]):
        for j in range(i + 1, weights.shape[1]):
            both = np.flatnonzero(weights[:, j] > 0)
            swap = (views[both, i] > views[both, j])[:, None]
            low, high = np.minimum(views[both, i], views[both, j]), np.maximum(views[both, i], views[both, j])
            apart = (colors[both, i] - colors[both, j]) * np.where(swap, -1, 1)
            trust = np.sqrt(weights[both, i] * weights[both, j]) / (1 + (np.abs(apart).max(1) / ROBUST_LEVELS) ** 4)
            keys.append((nearest[both] * n_views + low) * n_views + high)
            shares.append(trust)
            differences.append(apart)
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    share, difference = np.concatenate(shares), np.concatenate(differences)
    weight = np.bincount(place, share, len(key))
    mean = [np.bincount(place, share * difference[:, c], len(key)) for c in range(3)]
    apart = np.stack(mean, 1) / np.maximum(weight, 1e-30)[:, None]
    vertex, one, two = key // n_views**2, key // n_views % n_views, key % n_views
    return vertex, one, two, weight / (weight + OVERLAP_WEIGHT), apart


def _same_view_edges(mesh: Mesh, number: Int[np.ndarray, "n v"]):
    """Pairs of unknowns of one view at the two ends of a mesh edge."""
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    one, two = number[ends[:, 0]].ravel(), number[ends[:, 1]].ravel()
    both = (one >= 0) & (two >= 0)
    return one[both], two[both]
