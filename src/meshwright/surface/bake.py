"""Baking: from the sightings of all texels to one colour per texel."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.mesh import Mesh
from meshwright.progress import Context
from meshwright.rendering.threads import worker_count
from meshwright.surface.blend import blend_sightings
from meshwright.surface.levelling import Levelling
from meshwright.surface.sightings import Observer, Sightings, sight
from meshwright.surface.texels import AtlasTexels

CHUNK = 262144  # texels at a time: bounds memory


def sight_texels(
    mesh: Mesh, texels: AtlasTexels, observers: Sequence[Observer], context: Context | None = None
) -> Sightings:
    """Sightings of every covered texel of an atlas, computed in chunks on all cores."""
    context = context or Context()
    found = Sightings.empty(len(texels.index))
    normals = mesh.vertex_normals()
    starts = range(0, len(texels.index), CHUNK)

    def work(start: int) -> None:
        part = slice(start, start + CHUNK)
        weight, corner = texels.barycentric[part].astype(np.float64), mesh.faces[texels.face[part]]
        points, directions = interpolate(mesh.vertices, corner, weight), interpolate(normals, corner, weight)
        directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
        into = Sightings(found.colors[part], found.weights[part], found.views[part], found.cosines[part])
        sight(points, directions, observers, into)

    with ThreadPoolExecutor(worker_count()) as pool:
        for done, _ in enumerate(pool.map(work, starts)):
            context.report(done / len(starts), "projecting views")
    return found


def blend_texels(
    mesh: Mesh, texels: AtlasTexels, sightings: Sightings, levelling: Levelling
) -> tuple[Float[np.ndarray, "t 3"], Int[np.ndarray, "t"]]:
    """Colour per texel (float32 sRGB levels) and the number of the view that decided it, -1 where none sees it."""
    colors = np.zeros((len(texels.index), 3), np.float32)
    winner = np.full(len(texels.index), -1, np.int16)

    def work(start: int) -> None:
        part = slice(start, start + CHUNK)
        blend_sightings(
            sightings.colors[part], sightings.weights[part], sightings.views[part], levelling.gains, levelling.offsets,
            mesh.faces[texels.face[part]], texels.barycentric[part], colors[part], winner[part],
        )  # fmt: skip

    with ThreadPoolExecutor(worker_count()) as pool:
        list(pool.map(work, range(0, len(texels.index), CHUNK)))
    return colors, winner


def interpolate(
    values: Float[np.ndarray, "n c"], corners: np.ndarray, barycentric: Float[np.ndarray, "t 3"]
) -> Float[np.ndarray, "t c"]:
    """Vertex values at points of faces."""
    total = values[corners[:, 0]] * barycentric[:, :1]
    for k in (1, 2):
        total += values[corners[:, k]] * barycentric[:, k : k + 1]
    return total
