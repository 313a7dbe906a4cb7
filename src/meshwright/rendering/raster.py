"""From a mesh and a camera to fragments: which face, where on it and how deep, for every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.camera import Camera
from meshwright.rendering.threads import kernel, over_rows
from meshwright.rendering.visibility import checked_faces, fill_rows, snapped

NEAR = 1e-6  # of the farthest vertex's depth: nearer than that (or behind), a vertex takes its faces with it


@dataclass(frozen=True, eq=False)
class Fragments:
    """What each pixel centre of a camera sees.

    ``face_id`` int32, -1 = none. ``barycentrics`` float32 are perspective-correct weights of the face's three vertices
    in the face's order, all >= 0 with sum 1 (0 where there is no face): any vertex attribute at the pixel is their
    weighted sum. ``depth`` float32 is z-depth in world units, 0 = none.
    """

    face_id: Int[np.ndarray, "h w"]
    barycentrics: Float[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]

    def interpolate(
        self, faces: Int[np.ndarray, "m 3"], values: Float[np.ndarray, "n c"]
    ) -> Float[np.ndarray, "h w c"]:
        """Vertex values (n, c) at every pixel, float32; 0 where there is no face."""
        out = np.zeros((*self.face_id.shape, values.shape[1]), np.float32)
        hit = self.face_id >= 0
        out[hit] = np.einsum("pk,pkc->pc", self.barycentrics[hit], values[faces[self.face_id[hit]]])
        return out


@dataclass(frozen=True, eq=False)
class ScreenPoints:
    """Vertices as a camera sees them: ``points`` (x_px, y_px, key) as `visibility` takes them, and z-depth."""

    points: Float[np.ndarray, "V 3"]
    z: Float[np.ndarray, "V"]
    perspective: bool


def project_vertices(vertices: Float[np.ndarray, "V 3"], camera: Camera) -> ScreenPoints:
    """Screen points of vertices. Those at or behind the near plane, or not finite, get a NaN key and z = 1."""
    w2c = camera.w2c
    with np.errstate(all="ignore"):  # what overflows is dropped below
        local = np.asarray(vertices, np.float64) @ w2c[:3, :3].T + w2c[:3, 3]
        finite = np.asarray(np.isfinite(local).all(axis=1))
        z = local[:, 2]
        farthest = float(np.max(z, initial=0.0, where=finite))
        usable = finite & (z > NEAR * farthest)
        z = np.where(usable, z, 1.0)
        perspective = camera.projection == "perspective"
        slope = local[:, :2] / z[:, None] if perspective else local[:, :2]
        key = 1.0 / z if perspective else 1.0 + (farthest - z)
        uv = np.where(usable[:, None], slope @ camera.K[:2, :2].T + camera.K[:2, 2], 0.0)
    return ScreenPoints(np.column_stack([uv, np.where(usable, key, np.nan)]), z, perspective)


def rasterize(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera) -> Fragments:
    """Fragments of the nearest surface at each pixel centre of ``camera`` (its size is the image's).

    Both sides of faces are drawn. A face with a vertex at or behind the near plane, or with a vertex that is not
    finite, is dropped whole. Raises `InputError` if a face names a vertex that does not exist.
    """
    triangles = checked_faces(faces, len(vertices))
    return rasterize_points(project_vertices(vertices, camera), triangles, camera.height, camera.width)


def rasterize_points(seen: ScreenPoints, faces: Int[np.ndarray, "F 3"], height: int, width: int) -> Fragments:
    """`rasterize` from projected vertices and checked faces."""
    points = snapped(seen.points)
    keys, ids = np.zeros((height, width)), np.full((height, width), -1, np.int32)
    barycentrics, depth = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)

    def band(low: int, high: int) -> None:
        fill_rows(points, faces, low, high, keys, ids)
        _locate_rows(points, seen.z, seen.perspective, faces, low, high, ids, barycentrics, depth)

    if len(faces):
        over_rows(height, band)
    return Fragments(ids, barycentrics, depth)


@kernel()
def _opposite_area(points, i, j, px, py):
    """Twice the area of (sample, vertex i, vertex j): the screen weight of the third vertex."""
    return (points[i, 0] - px) * (points[j, 1] - py) - (points[i, 1] - py) * (points[j, 0] - px)


@kernel()
def _locate_rows(points, z, perspective, faces, row_start, row_end, ids, barycentrics, depth):
    """Perspective-correct barycentrics and z-depth of the visible faces.

    Screen weights times 1/z, normalised (Heckbert and Moreton 1991). The snapped points are used, so that a sample is
    never outside of the triangle that covers it.
    """
    for row in range(row_start, row_end):
        for col in range(ids.shape[1]):
            f = ids[row, col]
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            px, py = col + 0.5, row + 0.5
            wi = abs(_opposite_area(points, j, k, px, py))
            wj = abs(_opposite_area(points, k, i, px, py))
            wk = abs(_opposite_area(points, i, j, px, py))
            if perspective:
                wi, wj, wk = wi / z[i], wj / z[j], wk / z[k]
            total = wi + wj + wk
            barycentrics[row, col, 0] = wi / total
            barycentrics[row, col, 1] = wj / total
            barycentrics[row, col, 2] = wk / total
            depth[row, col] = (wi * z[i] + wj * z[j] + wk * z[k]) / total
