"""What a device must provide: four plain functions on contiguous tensors, and the choice between those that exist.

Screen points are homogeneous pixel points (X, Y, z), float32. Perspective: the pixel is (X/z, Y/z). Orthographic: it is
(X, Y). Pixel (column i, row j) is sampled at (i + 0.5, j + 0.5); z is depth along the optical axis. Faces are int32
(F, 3) and already checked; ``face_id`` is int32, -1 where there is none. What each function computes, to the last rule,
is what `meshwright.rendering.differentiable.reference` says in plain torch.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from meshwright.errors import InputError

NEAR = 1e-6  # of the view's farthest finite z: a vertex nearer than that, or behind, takes its faces with it
UNITS = 4096  # grid steps in a pixel: coordinates are rounded to them before coverage is decided
OUTSIDE = 0.1  # a weight below -OUTSIDE: the sample lies outside of its face (a sliver thinner than the grid)
RELATIVE_GAP = 1e-5  # of the depth: smaller gaps between neighbouring pixels are never edges
STEPS = 64  # faces that a walk to an edge passes before it gives up
BEYOND = 1.001  # pixels: a walk that gets farther has passed the next pixel's centre


class Backend(Protocol):
    """The kernels of one device. ``m`` is 1 (attributes shared by all views) or ``n``."""

    def visibility(
        self, screen: Float[Tensor, "n V 3"], faces: Int[Tensor, "F 3"], height: int, width: int, perspective: bool
    ) -> Int[Tensor, "n h w"]:
        """Id of the nearest face at each pixel centre, -1 where there is none."""
        ...

    def interpolate(
        self,
        screen: Float[Tensor, "n V 3"],
        faces: Int[Tensor, "F 3"],
        face_id: Int[Tensor, "n h w"],
        attributes: Float[Tensor, "m V C"],
        perspective: bool,
    ) -> Float[Tensor, "n h w C"]:
        """Vertex attributes at each pixel, perspective-correct; 0 where there is no face."""
        ...

    def interpolate_backward(
        self,
        screen: Float[Tensor, "n V 3"],
        faces: Int[Tensor, "F 3"],
        face_id: Int[Tensor, "n h w"],
        attributes: Float[Tensor, "m V C"],
        grad: Float[Tensor, "n h w C"],
        perspective: bool,
        need_screen: bool,
        need_attributes: bool,
    ) -> tuple[Float[Tensor, "n V 3"] | None, Float[Tensor, "m V C"] | None]:
        """Gradients of `interpolate` at fixed ids, those that are needed."""
        ...

    def edge_backward(
        self,
        screen: Float[Tensor, "n V 3"],
        faces: Int[Tensor, "F 3"],
        neighbours: Int[Tensor, "F 3"],
        face_id: Int[Tensor, "n h w"],
        image: Float[Tensor, "n h w C"],
        grad: Float[Tensor, "n h w C"],
        perspective: bool,
    ) -> Float[Tensor, "n V 3"]:
        """What moving visible edges changes, by the pixel pairs between which the surface ends.

        ``neighbours`` are `face_neighbours`.
        """
        ...


def backend_of(tensor: Tensor) -> Backend:
    """The kernels for the tensor's device: numba on the CPU, Triton on CUDA. Raises `InputError` for any other."""
    return _backend(tensor.device.type)


@cache
def _backend(kind: str) -> Backend:
    if kind == "cuda" and find_spec("triton") is None:
        raise InputError(
            "Rendering on CUDA needs Triton, which is not installed.",
            suggestion="Install triton (Linux wheels of torch bring it), or render on the CPU.",
            reason="triton_missing",
        )
    names = {"cpu": "numba_backend", "cuda": "triton_backend"}
    if kind not in names:
        raise InputError(
            f"There are no rendering kernels for the device {kind!r}.",
            suggestion="Move the tensors to the CPU or to a CUDA device.",
            reason="device_not_supported",
        )
    return import_module(f"meshwright.rendering.differentiable.{names[kind]}")  # pyright: ignore[reportReturnType]
