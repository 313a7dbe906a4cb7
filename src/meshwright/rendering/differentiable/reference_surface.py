"""Interpolation over visible faces in plain torch, differentiable by autograd."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshwright.rendering.differentiable.backend import OUTSIDE


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
    local = corners[..., :2] - pixel_centres(height, width, screen)[:, :, None] * _w(corners, perspective)[..., None]
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


def pixel_centres(height: int, width: int, like: Tensor) -> Float[Tensor, "h w 2"]:
    """(x, y) of each pixel centre, in the dtype and on the device of ``like``."""
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def _w(corners: Float[Tensor, "*n 3"], perspective: bool) -> Float[Tensor, "*n"]:
    return corners[..., 2] if perspective else torch.ones_like(corners[..., 2])


def _cross(a: Float[Tensor, "*n 2"], b: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
