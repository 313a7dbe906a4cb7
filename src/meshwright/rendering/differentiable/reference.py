"""The readable twin of the backends, in plain torch: any device, any float dtype, slow.

It is the specification. `interpolate` is differentiable by autograd, which is what `interpolate_backward` of every
backend must equal; in float64 it is the truth that tests compare with.
"""

from __future__ import annotations

from meshwright.rendering.differentiable.reference_edges import edge_backward
from meshwright.rendering.differentiable.reference_surface import interpolate, interpolate_backward
from meshwright.rendering.differentiable.reference_visibility import visibility

__all__ = ["edge_backward", "interpolate", "interpolate_backward", "visibility"]
