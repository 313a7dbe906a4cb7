"""Edge gradients in plain torch: between which pixels the surface ends, and what moving that edge changes.

Two neighbouring pixels that see different faces are a candidate if only one of them sees a face, or if the nearer one
is nearer by more than a continuous surface explains: than its own plane recedes by over the pixel, or the other plane
approaches by on the way back. The nearer one owns the edge. A walk over the mesh from its face towards the other pixel
(`reference_walk`) then finds the edge, or that the surface goes on.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import RELATIVE_GAP
from meshwright.rendering.differentiable.reference_surface import Surface, surface
from meshwright.rendering.differentiable.reference_visibility import nearness
from meshwright.rendering.differentiable.reference_walk import Walk


def edge_backward(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    neighbours: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    image: Float[Tensor, "n h w C"],
    grad: Float[Tensor, "n h w C"],
    perspective: bool,
) -> Float[Tensor, "n V 3"]:
    """The loss changes by g per pixel that the edge between A and its right (lower) neighbour B moves that way:

    g = 0.5 (grad_A + grad_B) . (image_A - image_B). It goes to the point of the mesh's edge between the two pixels,
    with frozen weights b of that edge's two vertices: where u = X/z there, dL/dX_i += g b_i / z and dL/dz_i -= g b_i
    u / z (orthographic: dL/dX_i += g b_i); likewise Y for B below A. Where the walk finds no such point, the surface
    point at the owner's pixel stands in for it.
    """
    result = torch.zeros_like(screen)
    if len(faces) == 0 or face_id.numel() == 0:
        return result
    seen = surface(screen.detach(), faces, face_id, perspective)
    nearnesses, slopes = planes(seen, perspective)
    for axis in (0, 1):
        first, second = _pair(axis, 0), _pair(axis, 1)
        g = 0.5 * ((grad[first] + grad[second]) * (image[first] - image[second])).sum(-1)
        for owner, other, sign in ((first, second, 1), (second, first, -1)):
            towards = sign * slopes[owner][..., axis], sign * slopes[other][..., axis]
            owns = candidates(face_id[owner], face_id[other], nearnesses[owner], nearnesses[other], *towards)
            for view, row, col in (owns & torch.isfinite(g) & (g != 0)).nonzero().tolist():
                walk = Walk(screen[view].detach(), faces, neighbours, perspective, axis, sign, (row, col))
                face, target = int(face_id[owner][view, row, col]), int(face_id[other][view, row, col])
                for vertex, push in walk.push(face, target, seen.weights[owner][view, row, col].tolist()):
                    result[view, vertex] += g[view, row, col] * torch.tensor(push, dtype=g.dtype, device=g.device)
    return result


def candidates(
    face: Int[Tensor, "*n"],
    other: Int[Tensor, "*n"],
    k: Float[Tensor, "*n"],
    k_other: Float[Tensor, "*n"],
    slope: Float[Tensor, "*n"],
    slope_other: Float[Tensor, "*n"],
) -> Bool[Tensor, "*n"]:
    """Where a pixel's face may end before its neighbour's: over background, or by a gap that no slope explains.

    ``k`` is nearness and ``slope`` its change per pixel towards the neighbour within the face's plane.
    """
    gap = k - k_other
    explained = torch.maximum(-slope, -slope_other).clamp(min=0) + RELATIVE_GAP * k.abs()
    return (face >= 0) & (face != other) & ((other < 0) | (gap > explained))


def planes(seen: Surface, perspective: bool) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n h w 2"]]:
    """Nearness at each pixel and its change per pixel in x and y within the plane of the face; 0 where clipped.

    1/z is linear on the screen: with the plane's normal N (of the corners as 3-D points) it is N . (px, py, 1) / N . a.
    """
    a, b, c = seen.corners.unbind(-2)
    normal = torch.linalg.cross(b - a, c - a)
    denominator = (normal * a).sum(-1) if perspective else normal[..., 2]
    flat = seen.clipped | (denominator == 0)
    slopes = normal[..., :2] / torch.where(flat, 1.0, denominator)[..., None]
    return nearness(seen.depth, perspective), torch.where(flat[..., None], 0.0, slopes)


def _pair(axis: int, side: int) -> tuple[slice, ...]:
    """Slices of the left (side 0) or right member of all horizontal pairs (axis 0); upper or lower of vertical ones."""
    chosen = slice(None, -1) if side == 0 else slice(1, None)
    return (slice(None), slice(None), chosen) if axis == 0 else (slice(None), chosen)
