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

__all__ = [
    "CameraBatch",
    "Fragments",
    "barycentrics",
    "depth",
    "edge_gradient",
    "interpolate",
    "normals",
    "rasterize",
    "vertex_normals",
]
