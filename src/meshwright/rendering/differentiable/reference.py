"""The readable twin of the backends, in plain torch: any device, any float dtype, slow.

This file is the specification. `interpolate` is differentiable by autograd, which is what `interpolate_backward` of
every backend must equal; in float64 it is the truth that tests compare with.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import NEAR, OUTSIDE, RELATIVE_GAP, SLOPES, UNITS

FARTHEST_UNITS = 2**30  # products of two such coordinates fit in int64


def visibility(
    screen: Float[Tensor, "n V 3"], faces: Int[Tensor, "F 3"], height: int, width: int, perspective: bool
) -> Int[Tensor, "n h w"]:
    """Each face over the whole image, in exact integers. The nearest wins, by a float32 key; then the lowest id."""
    ids = torch.full((len(screen), height, width), -1, dtype=torch.int32, device=screen.device)
    for n, points in enumerate(screen.detach()):
        nearest = torch.full((height, width), -torch.inf, dtype=torch.float32, device=screen.device)
        usable = usable_vertices(points)
        grid = snapped(points, perspective)
        key = nearness(points[:, 2].double(), perspective)
        for f, face in enumerate(faces.long()):
            if bool(usable[face].all()):
                inside, weights = cover(grid[face], height, width)
                at_pixel = ((weights @ key[face]) / weights.sum(-1).clamp(min=1)).float()
                nearer = inside & (at_pixel > nearest)
                nearest[nearer] = at_pixel[nearer]
                ids[n][nearer] = f
    return ids


def usable_vertices(points: Float[Tensor, "V 3"]) -> Bool[Tensor, "V"]:
    """Vertices that are finite and in front of the near plane, which is `NEAR` times the farthest finite z."""
    finite = torch.isfinite(points).all(-1)
    z = points[:, 2].double()
    farthest = torch.where(finite, z, 0.0).amax().clamp(min=0) if len(z) else 0.0
    return finite & (z > NEAR * farthest)


def snapped(points: Float[Tensor, "V 3"], perspective: bool) -> Int[Tensor, "V 2"]:
    """Pixel coordinates in grid steps, rounded half to even; meaningless for vertices that are not usable."""
    points = points.double()
    xy = points[:, :2] / points[:, 2:] if perspective else points[:, :2]
    steps = torch.round(xy * UNITS).nan_to_num(0.0).clamp(-FARTHEST_UNITS, FARTHEST_UNITS)
    return steps.long()


def nearness(z: Float[Tensor, "*n"], perspective: bool) -> Float[Tensor, "*n"]:
    """What is larger for nearer points and linear over the screen within a face: 1/z, orthographic -z."""
    return 1 / z if perspective else -z


def cover(corners: Int[Tensor, "3 2"], height: int, width: int) -> tuple[Bool[Tensor, "h w"], Float[Tensor, "h w 3"]]:
    """Which pixel centres a triangle covers by the top-left rule, and the screen weights of its corners there."""
    y = (torch.arange(height, device=corners.device) * UNITS + UNITS // 2)[:, None]
    x = (torch.arange(width, device=corners.device) * UNITS + UNITS // 2)[None]
    a, b, c = corners
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    inside = torch.full((height, width), bool(area != 0), device=corners.device)
    weights: list[Tensor] = []
    for start, end in ((b, c), (c, a), (a, b)):
        step, origin = (end - start, start) if area > 0 else (start - end, end)
        weight = step[0] * (y - origin[1]) - step[1] * (x - origin[0])
        top_or_left = bool((step[1] < 0) | ((step[1] == 0) & (step[0] > 0)))
        inside = inside & ((weight >= 0) if top_or_left else (weight > 0))
        weights.append(weight.double())
    return inside, torch.stack(weights, -1)


class Surface(NamedTuple):
    """The visible face at each pixel: corner ids, corners, weights of the corners, and where the weights were clipped.

    Pixels without a face hold face 0's corner ids and some triangle: they are for the caller to mask out.
    """

    vertices: Int[Tensor, "n h w 3"]
    corners: Float[Tensor, "n h w 3 3"]
    weights: Float[Tensor, "n h w 3"]
    clipped: Bool[Tensor, "n h w"]

    @property
    def depth(self) -> Float[Tensor, "n h w"]:
        """z at each pixel."""
        return (self.weights * self.corners[..., 2]).sum(-1)


def surface(
    screen: Float[Tensor, "n V 3"], faces: Int[Tensor, "F 3"], face_id: Int[Tensor, "n h w"], perspective: bool
) -> Surface:
    """Perspective-correct weights: the ray through the pixel (px, py) meets the plane of the corners there.

    With a' = (X_a - z_a px, Y_a - z_a py) and so on (orthographic: X_a - px, Y_a - py) the weights are proportional to
    b' x c', c' x a', a' x b'. A sliver thinner than the grid may cover a pixel centre that lies outside of it: if a
    weight is below `-OUTSIDE` (or their sum is 0) the weights are clipped to the face and have no gradient.
    """
    _, height, width = face_id.shape
    index = faces.long()[face_id.clamp(min=0).long()]
    view = torch.arange(len(screen), device=screen.device)[:, None, None, None]
    some = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=screen.dtype, device=screen.device)
    corners = torch.where((face_id >= 0)[..., None, None], screen[view, index], some)
    local = corners[..., :2] - _centres(height, width, screen)[:, :, None] * _w(corners, perspective)[..., None]
    a, b, c = local.unbind(-2)
    areas = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], -1)
    total = areas.sum(-1, keepdim=True)
    exact = areas / torch.where(total == 0, 1.0, total)
    clipped = ((exact < -OUTSIDE) | (total == 0)).any(-1)
    inner = exact.detach().clamp(min=0) + torch.where(total == 0, 1.0, 0.0)
    weights = torch.where(clipped[..., None], inner / inner.sum(-1, keepdim=True).clamp(min=1e-30), exact)
    return Surface(index, corners, weights, clipped)


def interpolate(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    attributes: Float[Tensor, "m V C"],
    perspective: bool,
) -> Float[Tensor, "n h w C"]:
    """The weighted sum of the corners' attributes; 0 where there is no face."""
    if len(faces) == 0:
        return screen.new_zeros((*face_id.shape, attributes.shape[-1]))
    seen = surface(screen, faces, face_id, perspective)
    view = torch.arange(len(screen), device=screen.device)[:, None, None, None] % max(len(attributes), 1)
    image = (seen.weights[..., None] * attributes[view, seen.vertices]).sum(-2)
    return torch.where((face_id >= 0)[..., None], image, 0.0)


def interpolate_backward(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    attributes: Float[Tensor, "m V C"],
    grad: Float[Tensor, "n h w C"],
    perspective: bool,
    need_screen: bool,
    need_attributes: bool,
) -> tuple[Float[Tensor, "n V 3"] | None, Float[Tensor, "m V C"] | None]:
    """Autograd of `interpolate`."""
    inputs = screen.detach().requires_grad_(), attributes.detach().requires_grad_()
    with torch.enable_grad():
        image = interpolate(inputs[0], faces, face_id, inputs[1], perspective)
    if not image.requires_grad:
        found = tuple(torch.zeros_like(value) for value in inputs)
    else:
        found = torch.autograd.grad(image, inputs, grad, allow_unused=True, materialize_grads=True)
    return found[0] if need_screen else None, found[1] if need_attributes else None


def edge_backward(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    image: Float[Tensor, "n h w C"],
    grad: Float[Tensor, "n h w C"],
    perspective: bool,
) -> Float[Tensor, "n V 3"]:
    """The loss changes by g per pixel that the edge between A and its right (lower) neighbour B moves that way:

    g = 0.5 (grad_A + grad_B) . (image_A - image_B). It is handed to the surface point seen at the owner's pixel, its
    weights b frozen: with u = X/z, dL/dX_i += g b_i / z and dL/dz_i -= g b_i u / z (orthographic: dL/dX_i += g b_i).
    """
    result = torch.zeros_like(screen)
    if len(faces) == 0 or face_id.numel() == 0:
        return result
    seen = surface(screen.detach(), faces, face_id, perspective)
    k, slopes = planes(seen, perspective)
    centres = _centres(face_id.shape[1], face_id.shape[2], screen).expand(*face_id.shape, 2)
    for axis in (0, 1):
        first, second = _pair(axis, 0), _pair(axis, 1)
        g = 0.5 * ((grad[first] + grad[second]) * (image[first] - image[second])).sum(-1)
        for owner, other, sign in ((first, second, 1.0), (second, first, -1.0)):
            towards = sign * slopes[owner][..., axis], sign * slopes[other][..., axis]
            owns = owned_edges(face_id[owner], face_id[other], k[owner], k[other], *towards)
            strength = torch.where(owns & torch.isfinite(g), g, 0.0)[..., None] * seen.weights[owner]
            push = torch.zeros_like(seen.corners[owner])
            push[..., axis] = strength
            if perspective:
                push[..., axis] /= seen.depth[owner][..., None]
                push[..., 2] = -push[..., axis] * centres[owner][..., axis, None]
            view = torch.arange(len(screen), device=screen.device)[:, None, None, None].expand_as(seen.vertices[owner])
            result.index_put_((view, seen.vertices[owner]), push, accumulate=True)
    return result


def owned_edges(
    face: Int[Tensor, "*n"],
    other: Int[Tensor, "*n"],
    k: Float[Tensor, "*n"],
    k_other: Float[Tensor, "*n"],
    slope: Float[Tensor, "*n"],
    slope_other: Float[Tensor, "*n"],
) -> Bool[Tensor, "*n"]:
    """Where there is an edge between a pixel and its neighbour, and the pixel's face is the one that ends there.

    ``k`` is nearness and ``slope`` its change per pixel towards the neighbour within the face's plane. Over background
    every face ends. Of two faces the nearer one ends if the gap is more than a continuous surface explains: `SLOPES`
    times what its own plane recedes by in one pixel, or the other's plane approaches by on the way back.
    """
    gap = k - k_other
    explained = SLOPES * torch.maximum(-slope, -slope_other).clamp(min=0) + RELATIVE_GAP * k.abs()
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


def _centres(height: int, width: int, like: Tensor) -> Float[Tensor, "h w 2"]:
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def _w(corners: Float[Tensor, "*n 3"], perspective: bool) -> Float[Tensor, "*n"]:
    return corners[..., 2] if perspective else torch.ones_like(corners[..., 2])


def _cross(a: Float[Tensor, "*n 2"], b: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
