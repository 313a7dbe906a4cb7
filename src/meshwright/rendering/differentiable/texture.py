"""Mip-mapped texture look-up, differentiable in the texture and in uv.

Conventions are those of `rendering.sampling`: uv has its origin at the top left, v downwards; texel (column i, row j)
of a W x H texture has its centre at ((i + 0.5) / W, (j + 0.5) / H); textures repeat. The footprint of a pixel is taken
as isotropic: a square of the same area, so that one number, the mip level, says it. The level has no gradient.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from meshwright.errors import InputError
from meshwright.rendering.differentiable import texture_numba, texture_reference
from meshwright.rendering.differentiable.fragments import Fragments
from meshwright.rendering.differentiable.pyramid import TexturePyramid, build_texture_pyramid, single_level


def sample_texture(
    texture: Float[Tensor, "h w c"] | TexturePyramid,
    uv: Float[Tensor, "*n 2"],
    lod: Float[Tensor, "*n"] | None = None,
    mask: Bool[Tensor, "*n"] | None = None,
) -> Float[Tensor, "*n c"]:
    """The texture at ``uv``: bilinear within a mip level, linear between levels.

    ``lod`` is log2 of how many texels of level 0 a pixel spans (`texture_lod`); it is clamped to the levels there are,
    and None means level 0. With a ``lod``, a texture that is no pyramid yet is made into one. Where ``mask`` is False
    or ``uv`` not finite nothing is looked up: the result is 0 and no gradient flows.

    Raises `InputError` if shapes do not fit or number types differ.
    """
    pyramid = texture if isinstance(texture, TexturePyramid) else _as_pyramid(texture, lod)
    _check(pyramid, uv, lod, mask)
    seen = torch.ones(uv.shape[:-1], dtype=torch.bool, device=uv.device) if mask is None else mask
    flat, seen = uv.reshape(-1, 2), seen.reshape(-1)
    levels = torch.zeros_like(flat[:, 0]) if lod is None else lod.detach().to(uv.dtype).reshape(-1)
    kernels = _kernels(uv)
    if kernels is not None:
        found = kernels.Lookup.apply(pyramid.texels, pyramid.sizes, flat, levels, seen)
        return found.reshape(*uv.shape[:-1], pyramid.texels.shape[1])
    index = (seen & flat.isfinite().all(-1)).nonzero()[:, 0]
    found = texture_reference.look_up(pyramid, flat.index_select(0, index), levels[index])
    whole = found.new_zeros(len(flat), found.shape[1]).index_copy(0, index, found)
    return whole.reshape(*uv.shape[:-1], pyramid.texels.shape[1])


def texture_lod(fragments: Fragments, uv: Float[Tensor, "V 2"], height: int, width: int) -> Float[Tensor, "n h w"]:
    """The mip level of a ``height`` x ``width`` texture that fits each pixel; 0 where there is no face.

    ``uv`` are the vertices'. The area of a pixel's footprint is the Jacobian of the screen-to-texture homography at the
    pixel's centre: with homogeneous corners as rows of M and their uv area A (Heckbert 1989, Fundamentals of Texture
    Mapping and Image Warping, sec. 2.3), it is A * z^3 / |det M|.
    """
    kernels = _kernels(uv) or texture_reference
    seen = (fragments.screen.detach(), fragments.faces, fragments.face_id)
    return kernels.mip_levels(*seen, uv.detach(), height * width, fragments.perspective)


def _kernels(uv: Tensor) -> Any:
    """The module of the device's kernels, numba on the CPU and Triton on CUDA; None where plain torch must do."""
    if uv.device.type == "cpu":
        return texture_numba
    if uv.device.type != "cuda" or uv.dtype != torch.float32 or find_spec("triton") is None:
        return None
    return import_module("meshwright.rendering.differentiable.texture_triton")


def _as_pyramid(texture: Float[Tensor, "h w c"], lod: Tensor | None) -> TexturePyramid:
    return single_level(texture) if lod is None else build_texture_pyramid(texture)


def _check(pyramid: TexturePyramid, uv: Tensor, lod: Tensor | None, mask: Tensor | None) -> None:
    shaped = uv.ndim > 0 and uv.shape[-1] == 2
    shaped = shaped and all(part is None or part.shape == uv.shape[:-1] for part in (lod, mask))
    if not shaped or uv.dtype != pyramid.texels.dtype or uv.device != pyramid.texels.device:
        raise InputError(
            f"Texture coordinates of shape {tuple(uv.shape)} and type {uv.dtype} on {uv.device} do not fit.",
            suggestion="Give uv (..., 2) of the texture's number type and device; lod and mask (...) as uv.",
            reason="bad_uv",
        )
