"""Which faces lie beside each other. Built once for each faces tensor: a sort of its edges."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_known = WeakIdKeyDictionary()


def neighbours_of(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "F 3"]:
    """`face_neighbours`, remembered for as long as ``faces`` lives and is not written to."""
    known = _known.get(faces)
    if known is None or known[0] != faces._version:
        known = _known[faces] = (faces._version, face_neighbours(faces))
    return known[1]


def face_neighbours(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "F 3"]:
    """The face across each edge, int32; edge e joins corners e and e + 1.

    -1 at a border and where more than two faces meet. Vertices are told apart by their ids, so a seam with vertices of
    its own on either side is a border. Faces that name a vertex twice have no edges.
    """
    count = len(faces)
    corners = faces.long().T  # (3, F)
    ends = corners.roll(-1, 0)
    key = torch.minimum(corners, ends) * 2**31 + torch.maximum(corners, ends)
    collapsed = (corners == ends).any(0)
    nothing = -1 - torch.arange(3 * count, device=faces.device).reshape(3, count)
    ordered, order = torch.where(collapsed, nothing, key).reshape(-1).sort()
    same = torch.nn.functional.pad(ordered[1:] == ordered[:-1], (1, 1))
    pair = same[1:-1] & ~same[:-2] & ~same[2:]
    first, second = order[:-1][pair], order[1:][pair]
    result = torch.full((3 * count,), -1, dtype=torch.int32, device=faces.device)
    result[first] = (second % max(count, 1)).int()
    result[second] = (first % max(count, 1)).int()
    return result.reshape(3, count).T.contiguous()
