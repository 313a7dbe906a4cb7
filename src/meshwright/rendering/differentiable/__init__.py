"""A differentiable renderer for meshes: numba kernels on the CPU, Triton kernels on CUDA. Needs torch.

::

    cameras = CameraBatch.of(views)
    seen = rasterize(cameras.project(vertices), faces, cameras.height, cameras.width, cameras.perspective)
    image = edge_gradient(interpolate(seen, colors), seen)
    (image - photos).square().mean().backward()  # reaches vertices, colors, K and w2c
"""

from __future__ import annotations

from meshwright.rendering.differentiable.cameras import CameraBatch
from meshwright.rendering.differentiable.edges import edge_gradient
from meshwright.rendering.differentiable.fragments import Fragments, rasterize
from meshwright.rendering.differentiable.interpolate import barycentrics, depth, interpolate, normals, vertex_normals
from meshwright.rendering.differentiable.pyramid import TexturePyramid, build_texture_pyramid
from meshwright.rendering.differentiable.texture import sample_texture, texture_lod

__all__ = [
    "CameraBatch",
    "Fragments",
    "TexturePyramid",
    "barycentrics",
    "build_texture_pyramid",
    "depth",
    "edge_gradient",
    "interpolate",
    "normals",
    "rasterize",
    "sample_texture",
    "texture_lod",
    "vertex_normals",
]
