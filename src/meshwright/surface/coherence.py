"""Letting one view speak for a whole region, for captures whose photos do not show exactly the surface.

Where photos and depth disagree in shape, two views put the same feature at different places of the surface. A decision
per texel then mixes them: flecks where a ledge hides a few texels from the better view, doubled laces, torn lines.
Here a view's weight is first averaged over the surface around, so that neighbouring texels listen to the same view and
views hand over to each other along smooth lines. It is used for such captures alone (`texture.texture_mesh`): where
photos fit the surface, per-texel weights are sharper.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.mesh import Mesh
from meshwright.surface.sightings import Sightings
from meshwright.surface.texels import AtlasTexels

REACH = 0.03  # of the diagonal: radius over which weights are averaged; a lace is about as wide
MOST_ROUNDS = 400
DECISIVE = 3.0  # power of a view's averaged weight against the best one's: how narrow the hand-over is
HIDDEN = 0.02  # share of its surroundings' weight below which a texel does not see the view well enough


def cohere(mesh: Mesh, texels: AtlasTexels, sightings: Sightings, n_views: int, diagonal: float) -> Sightings:
    """The sightings with weights that vary slowly over the surface, 0 where there was none."""
    around = averaged_weights(mesh, texels, sightings, n_views, REACH * diagonal).astype(np.float32)
    corners, share = mesh.faces[texels.face], texels.barycentric.astype(np.float32)
    weights = np.zeros_like(sightings.weights)
    for slot in range(weights.shape[1]):
        view = sightings.views[:, slot]
        weights[:, slot] = sum(share[:, k] * around[corners[:, k], view] for k in range(3))
    seen = sightings.weights > 0
    clear = np.minimum(sightings.weights / np.maximum(HIDDEN * weights, 1e-12), 1.0)
    weights *= seen
    best = np.maximum(weights.max(1, keepdims=True), 1e-12)
    decided = np.where(seen, np.maximum((weights / best) ** DECISIVE * clear, 1e-9), 0.0)
    return replace(sightings, weights=decided.astype(np.float32))


def averaged_weights(
    mesh: Mesh, texels: AtlasTexels, sightings: Sightings, n_views: int, radius: float
) -> Float[np.ndarray, "n v"]:
    """Each view's weight around each vertex, averaged over about ``radius`` along the surface."""
    corners = mesh.faces[texels.face]
    nearest = np.take_along_axis(corners, texels.barycentric.argmax(1)[:, None], 1)[:, 0].astype(np.int64)
    sums = np.zeros((len(mesh.vertices), n_views))
    for slot in range(sightings.weights.shape[1]):
        key = nearest * n_views + sightings.views[:, slot]
        sums += np.bincount(key, sightings.weights[:, slot], sums.size).reshape(sums.shape)
    count = np.bincount(nearest, minlength=len(mesh.vertices)).astype(float)
    return _diffused(mesh, sums, count, radius)


def _diffused(
    mesh: Mesh, sums: Float[np.ndarray, "n v"], count: Float[np.ndarray, "n"], radius: float
) -> Float[np.ndarray, "n v"]:
    """Quotient of both after a random walk along edges whose steps add up to ``radius`` (standard deviation)."""
    from scipy.sparse import coo_matrix, diags

    ends = _edges(mesh)
    length = np.linalg.norm(mesh.vertices[ends[:, 0]] - mesh.vertices[ends[:, 1]], axis=1)
    rounds = int(np.clip(2 * (radius / max(float(np.sqrt((length**2).mean())), 1e-30)) ** 2, 1, MOST_ROUNDS))
    n = len(mesh.vertices)
    links = coo_matrix((np.ones(len(ends)), ends.T), shape=(n, n)).tocsr()
    links = links + links.T
    step = links @ diags(0.5 / np.maximum(np.asarray(links.sum(0)).ravel(), 1)) + diags(np.full(n, 0.5))
    state = np.column_stack([sums, count])
    for _ in range(rounds):
        state = step @ state
    return state[:, :-1] / np.maximum(state[:, -1:], 1e-9)


def _edges(mesh: Mesh) -> Int[np.ndarray, "e 2"]:
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    return np.unique(np.sort(ends, axis=1), axis=0)
