"""Colours for texels that no view saw: spread over the surface first, then joined to the seen texels around.

Over the surface: vertex colours that solve Laplace's equation on the mesh's edges with the seen vertices fixed, so that
charts and their borders play no part. In the atlas: what is left of a step between seen texels and that solution is
spread into the unseen ones and fades. Outside the charts a pyramid fills everything (pull-push; Gortler et al. 1996,
"The Lumigraph", sec. 3.4), so that no filter ever meets a background colour.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from meshwright.geometry.mesh import Mesh
from meshwright.rendering.threads import kernel
from meshwright.surface.texels import AtlasTexels

JOINING_SWEEPS = 16
FADE = 0.97  # per texel, of the step that is spread from seen into unseen texels


def fill_unseen(
    mesh: Mesh, texels: AtlasTexels, colors: Float[np.ndarray, "t 3"], seen: Bool[np.ndarray, "t"]
) -> Float[np.ndarray, "t 3"]:
    """``colors`` with the texels that are not ``seen`` filled along the surface."""
    if seen.all():
        return colors
    near = _faces_near(mesh, texels.face[~seen])[texels.face]
    corners = mesh.faces[texels.face[near]]
    by_vertex = spread_over_surface(mesh, corners, texels.barycentric[near], colors[near], seen[near])
    smooth = np.einsum("tk,tkc->tc", texels.barycentric[near], by_vertex[corners]).astype(np.float32)
    step = np.zeros_like(colors)
    step[near] = np.where(seen[near, None], colors[near] - smooth, 0)
    fill = np.flatnonzero(near & ~seen)
    _join(texels, step, fill)
    filled = colors.astype(np.float32, copy=True)
    position = np.cumsum(near) - 1
    filled[fill] = smooth[position[fill]] + step[fill]
    return np.clip(filled, 0, 255)


def spread_over_surface(
    mesh: Mesh,
    corners: Int[np.ndarray, "t 3"],
    barycentric: Float[np.ndarray, "t 3"],
    colors: Float[np.ndarray, "t 3"],
    seen: Bool[np.ndarray, "t"],
) -> Float[np.ndarray, "n 3"]:
    """Vertex colours: means of the seen texels around, harmonic in between; the overall mean where nothing is near."""
    count = len(mesh.vertices)
    key, share = corners[seen].ravel(), (barycentric[seen] ** 2).ravel()
    weight = np.bincount(key, share, count)
    sums = [np.bincount(key, share * np.repeat(colors[seen, c], 3), count) for c in range(3)]
    known = weight > 1e-3
    value = np.where(known[:, None], np.stack(sums, 1) / np.maximum(weight, 1e-30)[:, None], np.nan)
    asked = np.zeros(count, bool)
    asked[corners.ravel()] = True
    value = _harmonic(mesh, value, asked & ~known)
    mean = colors[seen].mean(0) if seen.any() else np.full(3, 128.0)
    return np.where(np.isfinite(value), value, mean)


def fill_outside(image: UInt8[np.ndarray, "s s 3"], covered: Bool[np.ndarray, "s s"]) -> UInt8[np.ndarray, "s s 3"]:
    """The image with texels outside ``covered`` filled from a pyramid of averages of the covered ones."""
    premultiplied = np.concatenate([image, np.full((*covered.shape, 1), 255, np.uint8)], 2).astype(np.float32)
    premultiplied[~covered] = 0
    filled = _pull_push(premultiplied)
    result = image.copy()
    outside = ~covered
    result[outside] = np.clip(filled[outside] + 0.5, 0, 255).astype(np.uint8)
    return result


def _pull_push(level: Float[np.ndarray, "s s 4"]) -> Float[np.ndarray, "s s 3"]:
    """Filled colours of one level: its own mean where it has any weight, else the coarser level's."""
    weight = level[..., 3:]
    own = level[..., :3] * (255 / np.maximum(weight, 1e-6))
    if level.shape[0] <= 1 or level.shape[0] % 2:
        mean = own[weight[..., 0] > 0].mean(0) if (weight > 0).any() else np.full(3, 128.0, np.float32)
        return np.where(weight > 0, own, mean)
    coarse = _pull_push(level.reshape(level.shape[0] // 2, 2, level.shape[1] // 2, 2, 4).mean((1, 3)))
    return np.where(weight > 0, own, coarse.repeat(2, 0).repeat(2, 1))


def _faces_near(mesh: Mesh, faces: Int[np.ndarray, "u"]) -> Bool[np.ndarray, "m"]:
    """Faces that share a vertex with one of ``faces``."""
    touched = np.zeros(len(mesh.vertices), bool)
    touched[mesh.faces[faces].ravel()] = True
    return np.any(touched[mesh.faces], axis=1)


def _harmonic(mesh: Mesh, value: Float[np.ndarray, "n 3"], wanted: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """Solve for the ``wanted`` vertices; edges weigh by inverse length. Pieces without any known vertex stay NaN."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import splu

    if not wanted.any():
        return value
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    length = np.linalg.norm(mesh.vertices[ends[:, 0]] - mesh.vertices[ends[:, 1]], axis=1)
    weight = 1 / np.maximum(length, 1e-3 * max(float(length.mean()), 1e-30))
    known = np.isfinite(value[:, 0])
    useful = (wanted | known)[ends].all(1)
    ends, weight, count = ends[useful], weight[useful], len(value)
    graph = coo_matrix((weight, ends.T), shape=(count, count)).tocsr()
    graph = graph + graph.T
    inner = graph[wanted][:, wanted]
    border = graph[wanted][:, known]
    piece = connected_components(inner, directed=False)[1]
    held = np.bincount(piece, np.asarray(border.sum(1)).ravel()) > 0
    solvable = held[piece]
    rows = np.flatnonzero(wanted)[solvable]
    if not len(rows):
        return value
    total = np.asarray(graph[rows].sum(1)).ravel()
    solver = splu((diags(total) - graph[rows][:, rows]).tocsc(), permc_spec="MMD_AT_PLUS_A")
    result = value.copy()
    result[rows] = solver.solve(graph[rows][:, known] @ value[known])
    return result


def _join(texels: AtlasTexels, step: Float[np.ndarray, "t 3"], fill: Int[np.ndarray, "u"]) -> None:
    """Relax ``step`` at the texels ``fill`` towards the mean of their neighbours, in place."""
    number = np.full((texels.size, texels.size), -1, np.int32)
    number.ravel()[texels.index] = np.arange(len(texels.index))
    row, column = np.divmod(texels.index[fill], texels.size)
    neighbours = np.full((len(fill), 4), -1, np.int32)
    for k, (dy, dx) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
        y, x = np.clip(row + dy, 0, texels.size - 1), np.clip(column + dx, 0, texels.size - 1)
        neighbours[:, k] = number[y, x]
    relax(step, fill, neighbours, JOINING_SWEEPS, FADE)


@kernel()
def relax(step, fill, neighbours, sweeps, fade):
    """Symmetric Gauss-Seidel sweeps of ``step[fill] = fade * mean(step[neighbours])``; neighbour -1 is none."""
    count = len(fill)
    for sweep in range(2 * sweeps):
        for i in range(count):
            n = i if sweep % 2 == 0 else count - 1 - i
            found = 0
            r, g, b = 0.0, 0.0, 0.0
            for k in range(4):
                other = neighbours[n, k]
                if other >= 0:
                    found += 1
                    r, g, b = r + step[other, 0], g + step[other, 1], b + step[other, 2]
            if found:
                share = fade / found
                step[fill[n], 0], step[fill[n], 1], step[fill[n], 2] = r * share, g * share, b * share
