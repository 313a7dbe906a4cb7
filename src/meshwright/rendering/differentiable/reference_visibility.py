"""Visibility in plain torch: each face over the whole image, in exact integers, with the textbook top-left rule."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import NEAR, UNITS

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
