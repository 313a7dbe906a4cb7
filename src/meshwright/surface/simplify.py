"""Fewer faces, same shape, still closed: quadric edge collapse (Garland & Heckbert 1997) by fast-simplification."""

from __future__ import annotations

import numpy as np

from meshwright.geometry.mesh import Mesh, face_area_vectors
from meshwright.surface.clean import compact, is_manifold, is_watertight, make_manifold

AGGRESSION = (5.0, 3.0, 7.0)  # fast-simplification's knob; the gentler, the better the quadrics are obeyed


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """A watertight manifold of at most ``faces`` faces; the input must be a closed chain (see clean.py)."""
    result = mesh if len(mesh.faces) > faces else make_manifold(mesh)
    target = faces
    for aggression in AGGRESSION:
        if len(result.faces) <= faces:
            break
        result = make_manifold(_collapse(mesh, target, aggression))
        target = int(target * min(1.0, faces / max(len(result.faces), 1)))
    return compact(result)


def _collapse(mesh: Mesh, faces: int, aggression: float) -> Mesh:
    import fast_simplification

    centre = mesh.vertices.mean(0)
    size = float(np.ptp(mesh.vertices, axis=0).max()) or 1.0
    points = ((mesh.vertices - centre) / size).astype(np.float32)
    out, triangles = fast_simplification.simplify(
        points, mesh.faces.astype(np.int32), target_count=faces, agg=aggression
    )[:2]
    return Mesh(out.astype(np.float64) * size + centre, triangles.astype(np.int32))


def health(mesh: Mesh) -> dict[str, float | int | bool]:
    """Closedness, manifoldness, Euler number and the share of sliver faces (aspect below 0.05)."""
    corners = mesh.vertices[mesh.faces]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    height = np.linalg.norm(face_area_vectors(mesh.vertices, mesh.faces), axis=1) / np.maximum(sides.max(1), 1e-30)
    return {
        "watertight": is_watertight(mesh),
        "manifold": is_manifold(mesh),
        "euler": len(np.unique(mesh.faces)) - len(mesh.faces) // 2,
        "slivers": float((height < 0.05 * sides.max(1)).mean()),
    }
