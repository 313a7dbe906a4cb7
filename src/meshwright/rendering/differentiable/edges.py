"""The gradient of visibility: what changes in an image when a visible edge moves.

Between two neighbouring pixels that see different surfaces there is an edge. If it moves by one pixel, one pixel's
colour becomes the other's: the loss changes by the image's gradient times the colour difference (edge gradients:
Pidhorskyi et al. 2024, arXiv 2405.02508). There it goes to the surface point seen on the nearer side. Here it goes to
the mesh's own edge, which a walk from that point finds: on curved surfaces the point next to the edge lies so far in
front of it that turning the object would move it quite differently.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from meshwright.errors import InputError
from meshwright.rendering.differentiable.backend import backend_of
from meshwright.rendering.differentiable.fragments import Fragments
from meshwright.rendering.differentiable.topology import neighbours_of


class _EdgeGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, screen: Tensor, fragments: Fragments) -> Tensor:
        ctx.fragments = fragments
        ctx.save_for_backward(image, screen)
        return image.view_as(image)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not ctx.needs_input_grad[1]:
            return grads[0], None, None
        image, screen = ctx.saved_tensors
        seen: Fragments = ctx.fragments
        to_screen = backend_of(screen).edge_backward(
            screen,
            seen.faces,
            neighbours_of(seen.faces),
            seen.face_id,
            image,
            grads[0].contiguous(),
            seen.perspective,
        )
        return grads[0], to_screen, None


def edge_gradient(image: Float[Tensor, "n h w C"], fragments: Fragments) -> Float[Tensor, "n h w C"]:
    """The image itself, whose gradient now also reaches ``fragments.screen`` through its visible edges.

    ``image`` (float32) is anything made per pixel from these fragments: a mask, colours, several of them side by side.
    Use it before whatever mixes pixels (blur, resize, crop). Raises `InputError` if the sizes differ.
    """
    if image.ndim != 4 or image.shape[:3] != fragments.face_id.shape:
        raise InputError(
            f"An image of shape {tuple(image.shape)} was not made from fragments {tuple(fragments.face_id.shape)}.",
            suggestion="Give the image (n, h, w, C) at the fragments' own size; a mask needs a channel axis.",
            reason="image_does_not_fit",
        )
    return _EdgeGradient.apply(image.float().contiguous(), fragments.screen, fragments)  # pyright: ignore[reportReturnType]
