"""Which face each pixel of each view sees, with all that gradients need to know about it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from meshwright.errors import InputError
from meshwright.rendering.differentiable.backend import backend_of

_checked = WeakIdKeyDictionary()


@dataclass(frozen=True, eq=False)
class Fragments:
    """What each pixel centre sees. ``face_id`` int32, -1 = none; it has no gradient, `edge_gradient` stands in for it.

    ``screen`` are the homogeneous pixel points (float32) that the gradients of `interpolate` and `edge_gradient` go to,
    ``faces`` int32.
    """

    screen: Float[Tensor, "n V 3"]
    faces: Int[Tensor, "F 3"]
    face_id: Int[Tensor, "n h w"]
    perspective: bool

    @property
    def mask(self) -> Float[Tensor, "n h w"]:
        """1 where there is a face, else 0; float32, without gradient (give it to `edge_gradient`)."""
        return (self.face_id >= 0).float()


def rasterize(
    screen: Float[Tensor, "n V 3"], faces: Int[Tensor, "F 3"], height: int, width: int, perspective: bool = True
) -> Fragments:
    """Fragments of the nearest surface at each pixel centre of each view; both sides of faces are drawn.

    A face with a vertex that is not finite, or at or behind the near plane (1e-6 of the view's farthest z), is dropped
    whole; so is a face without area. Of equally near faces the lowest id is seen. Raises `InputError` if a face names
    a vertex that does not exist.
    """
    points = screen.float().contiguous()
    triangles = checked_faces(faces, points.shape[1])
    ids = backend_of(points).visibility(points.detach(), triangles, height, width, perspective)
    return Fragments(points, triangles, ids, perspective)


def checked_faces(faces: Int[Tensor, "F 3"], n_vertices: int) -> Int[Tensor, "F 3"]:
    """Faces as contiguous int32, checked once for each tensor: on a GPU each check waits for the device.

    Raises `InputError` where an index lies outside ``0..n_vertices - 1``.
    """
    known = _checked.get(faces)
    if known is not None and known[0] == faces._version and known[1] < n_vertices:
        return known[2]
    lowest, highest = (int(faces.min()), int(faces.max())) if len(faces) else (0, -1)
    if lowest < 0 or highest >= n_vertices:
        raise InputError(
            f"The mesh has faces that name vertices outside 0..{n_vertices - 1}.",
            suggestion="Check that vertices and faces belong to the same mesh.",
            reason="face_index_out_of_range",
        )
    triangles = faces.detach().to(torch.int32).contiguous()
    _checked[faces] = (faces._version, highest, triangles)
    return triangles
