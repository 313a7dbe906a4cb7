"""What the pixels of all views show of the surface, and where: what material and light are worked out from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.engines.nvdiffrec.appearance import drawn_in, look_weight, registered_photo
from meshwright.engines.nvdiffrec.observations import reduced_size
from meshwright.geometry.mesh import TexturedMesh
from meshwright.geometry.tangents import vertex_tangents
from meshwright.rendering.arrays import normalized
from meshwright.rendering.color import srgb_to_linear
from meshwright.rendering.differentiable import (
    Fragments,
    interpolate,
    sample_texture,
    texture_lod,
)
from meshwright.rendering.differentiable.shading import ShadingPoints
from meshwright.rendering.material import bumped

SLOPE_FLOOR = 0.01  # linear: darker values count as this one does, their sRGB steps being noise


@dataclass(frozen=True, eq=False)
class Surfels:
    """The pixels of one view that count, in row-major order.

    ``pixel`` (p,) is row * width + column of the view's ``height`` x ``width`` image; ``uv`` and ``lod`` say where it
    falls in a texture of the mesh's size; ``points`` and ``position`` where it lies on the surface; ``photo`` is
    linear; ``weight`` is 0..1.
    """

    height: int
    width: int
    pixel: Int[Tensor, "p"]
    uv: Float[Tensor, "p 2"]
    lod: Float[Tensor, "p"]
    position: Float[Tensor, "p 3"]
    points: ShadingPoints
    photo: Float[Tensor, "p 3"]
    weight: Float[Tensor, "p"]

    @property
    def slope(self) -> Float[Tensor, "p 3"]:
        """By how much a pixel's sRGB value (0..1) grows with its linear one."""
        return 1.055 / 2.4 * self.photo.clip(SLOPE_FLOOR) ** (1 / 2.4 - 1)


def surfels_of(mesh: TexturedMesh, view: CalibratedView, size: int, device: str) -> Surfels:
    """The view at ``size`` pixels along the longer side, at most the photo's own. The mesh has a texture."""
    height, width = reduced_size(view.rgb.shape, size)
    seen = drawn_in(mesh, view, height, width, device)
    photo, inside = registered_photo(view, height, width)
    weight = torch.tensor(look_weight(mesh, view, seen, inside), device=device).reshape(-1)
    pixel = (weight > 0).nonzero()[:, 0]
    columns = [mesh.vertices, mesh.normals, view.camera.view_directions(np.asarray(mesh.vertices, float)), mesh.uv]
    values = interpolate(seen, _table(columns, device)).reshape(height * width, -1)[pixel]
    uv = values[:, 9:11].contiguous()
    lod = _level(mesh, seen).reshape(-1)[pixel]
    normals = _bumped(mesh, seen, pixel, normalized(values[:, 3:6]), uv, lod)
    linear = srgb_to_linear(torch.tensor(photo, device=device).reshape(-1, 3)[pixel] / 255)
    points = ShadingPoints.of(normals, normalized(values[:, 6:9]))
    return Surfels(height, width, pixel, uv, lod, values[:, :3], points, linear, weight[pixel])


def all_surfels(mesh: TexturedMesh, capture: CalibratedCapture, size: int, device: str) -> list[Surfels]:
    """The surfels of all views that show any."""
    every = (surfels_of(mesh, view, size, device) for view in capture.views)
    return [surfels for surfels in every if len(surfels.pixel)]


def _table(columns: list[np.ndarray | None], device: str) -> Tensor:
    whole = np.concatenate([np.asarray(c, np.float32) for c in columns if c is not None], 1)
    return torch.tensor(whole, device=device)


def _level(mesh: TexturedMesh, seen: Fragments) -> Float[Tensor, "n h w"]:
    assert mesh.uv is not None
    assert mesh.texture is not None
    uv = torch.tensor(mesh.uv, dtype=torch.float32, device=seen.screen.device)
    return texture_lod(seen, uv, *mesh.texture.shape[:2])


def _bumped(
    mesh: TexturedMesh,
    seen: Fragments,
    pixel: Int[Tensor, "p"],
    normals: Float[Tensor, "p 3"],
    uv: Float[Tensor, "p 2"],
    lod: Float[Tensor, "p"],
) -> Float[Tensor, "p 3"]:
    """The normals turned by the mesh's normal map, if it has one, as `rendering.deferred` does."""
    if mesh.material is None or mesh.material.normal_texture is None or mesh.uv is None:
        return normals
    tangents = mesh.tangents
    if tangents is None:
        tangents = vertex_tangents(np.asarray(mesh.vertices, float), mesh.faces, mesh.normals, mesh.uv)
    found = interpolate(seen, _table([tangents], str(uv.device))).reshape(-1, 4)[pixel]
    across = found[:, :3] - (found[:, :3] * normals).sum(1, keepdim=True) * normals
    sign = torch.where(found[:, 3:] < 0, -1.0, 1.0)
    image = torch.tensor(mesh.material.normal_texture, device=uv.device).float() / 255
    texels = sample_texture(image, uv, lod)
    return bumped(normals, torch.cat([normalized(across), sign], 1), texels, mesh.material.normal_scale)
