"""Where short rays meet a mesh: faces sorted into a grid of cubes, kernels that walk through it.

Made for rays of a few cubes that start near the surface; nothing is built but two arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from meshwright.geometry.mesh import Mesh
from meshwright.rendering.threads import kernel

MOST_CELLS = 160  # along the longest side: 16 MB of cubes at most
CELL_EDGES = 2.0  # a cube's side, in typical edges of the mesh
SLACK = 1e-6  # of a face, by which a ray may pass beside it: no ray slips through between two faces


@dataclass(frozen=True, eq=False)
class FaceGrid:
    """Cubes of side ``cell`` from ``origin``, ``shape`` of them; cube c holds ``members[first[c]:first[c + 1]]``."""

    corners: Float[np.ndarray, "m 3 3"]
    origin: Float[np.ndarray, "3"]
    cell: float
    shape: Int[np.ndarray, "3"]
    first: Int[np.ndarray, "c"]
    members: Int[np.ndarray, "k"]

    @staticmethod
    def of(mesh: Mesh) -> FaceGrid:
        """The grid of a mesh that has faces. Those with corners that are not finite are left out."""
        corners = np.asarray(mesh.vertices, np.float64)[mesh.faces]
        corners = np.ascontiguousarray(corners[np.isfinite(corners).all((1, 2))])
        if not len(corners):
            corners = np.zeros((1, 3, 3))
        low, high = corners.min((0, 1)), corners.max((0, 1))
        edge = float(np.median(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)))
        cell = max(CELL_EDGES * edge, float((high - low).max()) / MOST_CELLS, 1e-12)
        shape = np.maximum(np.ceil((high - low) / cell + 1e-9), 1).astype(np.int64)
        counts = np.zeros(int(shape.prod()) + 1, np.int64)
        sort_faces(corners, low, cell, shape, counts, np.zeros(0, np.int32))
        first = np.cumsum(counts) - counts
        members = np.zeros(int(counts.sum()), np.int32)
        sort_faces(corners, low, cell, shape, first.copy(), members)
        return FaceGrid(corners, low, cell, shape, first, members)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
        """What the kernels take."""
        return self.corners, self.origin, self.cell, self.shape, self.first, self.members


@kernel()
def sort_faces(corners, origin, cell, shape, place, members):
    """Add each face to the cubes it touches: only counted in ``place`` if ``members`` is empty, else put there."""
    for f in range(len(corners)):
        ax, ay, az = corners[f, 0, 0], corners[f, 0, 1], corners[f, 0, 2]
        ux, uy, uz = corners[f, 1, 0] - ax, corners[f, 1, 1] - ay, corners[f, 1, 2] - az
        vx, vy, vz = corners[f, 2, 0] - ax, corners[f, 2, 1] - ay, corners[f, 2, 2] - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        half = 0.5 * cell * (abs(nx) + abs(ny) + abs(nz)) * (1 + 1e-9)
        low = np.zeros(3, np.int64)
        high = np.zeros(3, np.int64)
        for k in range(3):
            least = min(corners[f, 0, k], corners[f, 1, k], corners[f, 2, k])
            most = max(corners[f, 0, k], corners[f, 1, k], corners[f, 2, k])
            low[k] = max(min(int((least - origin[k]) / cell - 1e-6), shape[k] - 1), 0)
            high[k] = max(min(int((most - origin[k]) / cell + 1e-6), shape[k] - 1), 0)
        for x in range(low[0], high[0] + 1):
            mx = origin[0] + (x + 0.5) * cell - ax
            for y in range(low[1], high[1] + 1):
                my = origin[1] + (y + 0.5) * cell - ay
                for z in range(low[2], high[2] + 1):
                    mz = origin[2] + (z + 0.5) * cell - az
                    if abs(nx * mx + ny * my + nz * mz) <= half:  # the face's plane cuts the cube
                        c = (x * shape[1] + y) * shape[2] + z
                        if len(members):
                            members[place[c]] = f
                        place[c] += 1


@kernel()
def cast(grid, px, py, pz, dx, dy, dz, reach, least_cosine, hit):
    """The nearest face along a unit direction within ``reach`` whose normal is not turned away from it.

    ``hit`` (3,) receives the distance and the weights of the second and third corner. Returns the face, -1 for none.
    """
    corners, origin, cell, shape, first, members = grid
    position, step = (px, py, pz), (dx, dy, dz)
    best, face = reach, -1
    start, end = 0.0, reach
    for k in range(3):  # the part of the ray that lies in the grid
        if abs(step[k]) > 1e-15:
            one = (origin[k] - position[k]) / step[k]
            two = (origin[k] + shape[k] * cell - position[k]) / step[k]
            start, end = max(start, min(one, two)), min(end, max(one, two))
        elif position[k] < origin[k] or position[k] > origin[k] + shape[k] * cell:
            return -1
    if start > end:
        return -1
    at = start
    x = min(max(int((px + at * dx - origin[0]) / cell), 0), shape[0] - 1)
    y = min(max(int((py + at * dy - origin[1]) / cell), 0), shape[1] - 1)
    z = min(max(int((pz + at * dz - origin[2]) / cell), 0), shape[2] - 1)
    while True:
        c = (x * shape[1] + y) * shape[2] + z
        for n in range(first[c], first[c + 1]):
            t, u, v = meet(corners[members[n]], px, py, pz, dx, dy, dz, least_cosine)
            if 0.0 <= t <= best and (t < best or face < 0 or members[n] < face):
                best, face = t, members[n]
                hit[0], hit[1], hit[2] = t, u, v
        out_x = leave(px, dx, origin[0], cell, x)
        out_y = leave(py, dy, origin[1], cell, y)
        out_z = leave(pz, dz, origin[2], cell, z)
        at = min(out_x, out_y, out_z)
        if at > best or at > end:
            return face
        if out_x == at:
            x += 1 if dx > 0 else -1
        elif out_y == at:
            y += 1 if dy > 0 else -1
        else:
            z += 1 if dz > 0 else -1
        if x < 0 or y < 0 or z < 0 or x >= shape[0] or y >= shape[1] or z >= shape[2]:
            return face


@kernel()
def leave(p, d, origin, cell, index):
    """How far along the ray the cube's side is that it leaves through, on one axis."""
    if abs(d) < 1e-15:
        return np.inf
    return (origin + (index + (1 if d > 0 else 0)) * cell - p) / d


@kernel()
def meet(corners, px, py, pz, dx, dy, dz, least_cosine):
    """(t, u, v) of ray and face (Moeller and Trumbore 1997); t = -1 where they do not meet, or only edge-on or behind.

    ``least_cosine`` bounds the angle between normal and direction: above it if positive, below if negative.
    """
    ux, uy, uz = corners[1, 0] - corners[0, 0], corners[1, 1] - corners[0, 1], corners[1, 2] - corners[0, 2]
    vx, vy, vz = corners[2, 0] - corners[0, 0], corners[2, 1] - corners[0, 1], corners[2, 2] - corners[0, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    area = np.sqrt(nx * nx + ny * ny + nz * nz)
    facing = nx * dx + ny * dy + nz * dz
    if area < 1e-30 or (facing < least_cosine * area if least_cosine > 0 else facing > least_cosine * area):
        return -1.0, 0.0, 0.0
    wx, wy, wz = px - corners[0, 0], py - corners[0, 1], pz - corners[0, 2]
    t = -(nx * wx + ny * wy + nz * wz) / facing
    qx, qy, qz = wx + t * dx, wy + t * dy, wz + t * dz
    u = (nx * (qy * vz - qz * vy) + ny * (qz * vx - qx * vz) + nz * (qx * vy - qy * vx)) / (area * area)
    v = (nx * (uy * qz - uz * qy) + ny * (uz * qx - ux * qz) + nz * (ux * qy - uy * qx)) / (area * area)
    if u < -SLACK or v < -SLACK or u + v > 1 + SLACK:
        return -1.0, 0.0, 0.0
    return t, u, v
