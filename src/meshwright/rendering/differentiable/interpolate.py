"""Values of the visible surface at each pixel, differentiable in the values and in where the vertices are.

All of it is exact calculus at fixed face ids; what changes when the ids do is the matter of `edge_gradient`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from meshwright.errors import InputError
from meshwright.rendering.differentiable.backend import backend_of
from meshwright.rendering.differentiable.fragments import Fragments


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, screen: Tensor, attributes: Tensor, fragments: Fragments) -> Tensor:
        ctx.fragments = fragments
        ctx.save_for_backward(screen, attributes)
        backend = backend_of(screen)
        return backend.interpolate(screen, fragments.faces, fragments.face_id, attributes, fragments.perspective)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        screen, attributes = ctx.saved_tensors
        seen: Fragments = ctx.fragments
        need_screen, need_attributes = ctx.needs_input_grad[:2]
        to_screen, to_attributes = backend_of(screen).interpolate_backward(
            screen,
            seen.faces,
            seen.face_id,
            attributes,
            grads[0].contiguous(),
            seen.perspective,
            need_screen,
            need_attributes,
        )
        return to_screen, to_attributes, None


def interpolate(fragments: Fragments, attributes: Float[Tensor, "*m V C"]) -> Float[Tensor, "n h w C"]:
    """Vertex attributes (V, C), or (n, V, C) if each view has its own, at every pixel; 0 where there is no face.

    float32, perspective-correct, differentiable in the attributes and in ``fragments.screen``. Raises `InputError` if
    there are not as many attributes as vertices.
    """
    n, n_vertices = fragments.screen.shape[:2]
    values = attributes[None] if attributes.ndim == 2 else attributes
    if values.ndim != 3 or values.shape[0] not in (1, n) or values.shape[1] != n_vertices:
        raise InputError(
            f"Attributes of shape {tuple(attributes.shape)} do not fit {n} views of {n_vertices} vertices.",
            suggestion="Give one row of values for each vertex: (V, C), or (n, V, C).",
            reason="attributes_do_not_fit",
        )
    image = _Interpolate.apply(fragments.screen, values.float().contiguous(), fragments)
    return image  # pyright: ignore[reportReturnType]


def depth(fragments: Fragments) -> Float[Tensor, "n h w"]:
    """z-depth at every pixel; 0 where there is no face."""
    return interpolate(fragments, fragments.screen[..., 2:])[..., 0]


def barycentrics(fragments: Fragments) -> Float[Tensor, "n h w 3"]:
    """Perspective-correct weights of the face's three vertices, in the face's order; they sum to 1 (0 where no face).

    Each face gets corners of its own for this (3F vertices a view): for attributes `interpolate` needs less memory.
    """
    corners = fragments.faces.reshape(-1).long()
    own = torch.arange(len(corners), dtype=torch.int32, device=corners.device).reshape(-1, 3)
    exploded = fragments.screen.index_select(1, corners).contiguous()
    unit = torch.eye(3, device=corners.device).repeat(len(own), 1)
    return interpolate(Fragments(exploded, own, fragments.face_id, fragments.perspective), unit)


def normals(fragments: Fragments, points: Float[Tensor, "V 3"]) -> Float[Tensor, "n h w 3"]:
    """Smooth unit normals at every pixel, in the frame of ``points`` (the vertices); 0 where there is no face."""
    image = interpolate(fragments, vertex_normals(points, fragments.faces))
    return _unit(image)


def vertex_normals(points: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Unit normals of vertices, each the area-weighted mean of its faces'; 0 at vertices without a face."""
    index = faces.long()
    a, b, c = (points.index_select(0, index[:, k]) for k in range(3))
    face_normals = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(points)
    for k in range(3):
        total = total.index_add(0, index[:, k], face_normals)
    return _unit(total)


def _unit(vectors: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Vectors of length 1; those of length 0 stay 0 and pass a finite gradient."""
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors * torch.where(squared > 0, squared, 1.0).rsqrt()
