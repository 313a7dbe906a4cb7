"""The readable torch twin of the texture kernels, for every device and number type."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.rendering.arrays import rows
from meshwright.rendering.differentiable.pyramid import TexturePyramid

LEAST_TEXELS = 1e-30  # under a pixel: a level of -50


def look_up(pyramid: TexturePyramid, uv: Float[Tensor, "p 2"], lod: Float[Tensor, "p"]) -> Float[Tensor, "p c"]:
    """Bilinear look-ups of the two nearest levels, blended; gradients reach texels and uv."""
    last = len(pyramid.sizes) - 1
    lod = lod.nan_to_num().clip(0, last)
    fine = lod.floor().long()
    share = (lod - fine)[:, None]
    sharp = _bilinear(pyramid, uv, fine)
    return sharp + (_bilinear(pyramid, uv, (fine + 1).clip(0, last)) - sharp) * share if last else sharp


def _bilinear(pyramid: TexturePyramid, uv: Float[Tensor, "p 2"], level: Int[Tensor, "p"]) -> Float[Tensor, "p c"]:
    """Each at a level of its own."""
    sizes = torch.tensor(pyramid.sizes, device=uv.device)
    height, width = sizes[level].unbind(-1)
    first = (sizes.prod(1).cumsum(0) - sizes.prod(1))[level]
    uv = uv - uv.detach().floor()
    x = uv[:, 0] * pyramid.sizes[0][1] / 2.0**level - 0.5
    y = uv[:, 1] * pyramid.sizes[0][0] / 2.0**level - 0.5
    column, row = x.detach().floor(), y.detach().floor()
    fx, fy = (x - column)[:, None], (y - row)[:, None]
    left, upper = column.long() % width, row.long() % height
    right, lower = (left + 1) % width, (upper + 1) % height
    top = rows(pyramid.texels, first + upper * width + left) * (1 - fx)
    top = top + rows(pyramid.texels, first + upper * width + right) * fx
    bottom = rows(pyramid.texels, first + lower * width + left) * (1 - fx)
    bottom = bottom + rows(pyramid.texels, first + lower * width + right) * fx
    return top * (1 - fy) + bottom * fy


def mip_levels(
    screen: Float[Tensor, "n V 3"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "n h w"],
    uv: Float[Tensor, "V 2"],
    texels: int,
    perspective: bool,
) -> Float[Tensor, "n h w"]:
    """Half of log2 of how many of ``texels`` each pixel covers, 0 where there is no face; reckoned in float64."""
    view, row, column = (face_id >= 0).nonzero(as_tuple=True)
    corners = faces[face_id[view, row, column].long()].long()  # (p, 3)
    a, b, c = screen[view[:, None], corners].double().unbind(1)
    texel = uv[corners].double()
    area = _cross(texel[:, 1] - texel[:, 0], texel[:, 2] - texel[:, 0]).abs()
    if perspective:
        pixel = torch.stack([column, row], -1) + 0.5
        a2, b2, c2 = (corner[:, :2] - corner[:, 2:] * pixel for corner in (a, b, c))
        wa, wb, wc = _cross(b2, c2), _cross(c2, a2), _cross(a2, b2)
        determinant = wa * a[:, 2] + wb * b[:, 2] + wc * c[:, 2]
        area = area * determinant**2 / (wa + wb + wc).abs() ** 3  # z = determinant / (wa + wb + wc)
    else:
        area = area / _cross(b[:, :2] - a[:, :2], c[:, :2] - a[:, :2]).abs()
    out = torch.zeros(face_id.shape, dtype=uv.dtype, device=uv.device)
    spanned = (area * texels).nan_to_num(posinf=0.0).clip(LEAST_TEXELS)
    out[view, row, column] = 0.5 * torch.log2(spanned).to(uv.dtype)
    return out


def _cross(a: Float[Tensor, "p 2"], b: Float[Tensor, "p 2"]) -> Float[Tensor, "p"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
