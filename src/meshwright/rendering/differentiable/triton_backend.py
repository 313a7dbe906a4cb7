"""The CUDA backend: Triton kernels, compiled on first use by the Triton that comes with torch; no toolkit needed."""

from __future__ import annotations

from meshwright.rendering.differentiable.triton_edges import edge_backward
from meshwright.rendering.differentiable.triton_gather import interpolate_backward
from meshwright.rendering.differentiable.triton_interpolate import interpolate
from meshwright.rendering.differentiable.triton_visibility import visibility

__all__ = ["edge_backward", "interpolate", "interpolate_backward", "visibility"]
