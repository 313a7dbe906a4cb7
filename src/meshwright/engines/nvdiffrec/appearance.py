"""The texture that explains the photos best, near the one that was blended from them.

With A the look-up of every pixel of every view in the texture (mip-mapped, so that all texels under a pixel take part),
p the photos and T0 the blended texture, this minimises

    sum_pixels w (A T - p)^2  +  mu |T - T0|^2

by steps T - (A'w(AT - p) + mu (T - T0)) / (A'w + mu), which need no length, as the weights of a look-up sum to 1.
Blending takes the best view of each texel; this also undoes what sampling a photo and looking it up again lost of its
sharpness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshwright.engines.nvdiffrec.observations import beside_jump, reduced_size
from meshwright.geometry.mesh import Coverage, TexturedMesh
from meshwright.rendering.differentiable import (
    CameraBatch,
    Fragments,
    build_texture_pyramid,
    interpolate,
    rasterize,
    sample_texture,
    texture_lod,
)
from meshwright.workers import mapped

if TYPE_CHECKING:
    from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
    from meshwright.progress import Context

NEAR = 0.2  # mu, of the typical weight of a texel: how much the blended texture counts beside the photos
JUMP_PX = 8  # pixel sizes that neighbours are apart across a jump
RIM_PX = 3  # pixels from an outline or a depth jump within which a photo may show something else
GRAZING = 0.35  # cosine of incidence from which a view counts


def refine_texture(
    mesh: TexturedMesh, capture: CalibratedCapture, size: int, rounds: int, device: str, context: Context
) -> TexturedMesh:
    """``mesh`` with a texture that shows the photos better; texels that no view saw stay as they are.

    Works at ``size`` pixels along the longer side of the photos. A mesh without a texture is given back as it is.
    """
    if mesh.uv is None or mesh.texture is None or rounds == 0:
        return mesh
    start = torch.tensor(mesh.texture, dtype=torch.float32, device=device)
    photos = mapped(lambda view: registered_photo(view, *reduced_size(view.rgb.shape, size)), capture.views)
    texture = start
    views = [_Look.of(mesh, view, *photo, device) for view, photo in zip(capture.views, photos, strict=True)]
    for done in range(rounds):
        context.report(done / rounds, f"texture, round {done + 1} of {rounds}")
        pull, weight = _pull(texture, views)
        mu = NEAR * weight[weight > 0].median() if (weight > 0).any() else 1.0
        texture = texture - (pull + mu * (texture - start)) / (weight + mu)
    found = texture.clamp(0, 255).round().byte().cpu().numpy()
    if mesh.coverage is not None:
        found = np.where((mesh.coverage >= Coverage.GRAZING)[..., None], found, mesh.texture)
    return replace(mesh, texture=found)


def _pull(texture: Float[Tensor, "s s 3"], looks: list[_Look]) -> tuple[Float[Tensor, "s s 3"], Float[Tensor, "s s 1"]]:
    """A'w(AT - p), and A'w."""
    given = torch.cat([texture, torch.zeros_like(texture[..., :1])], -1).requires_grad_()
    pyramid, total = build_texture_pyramid(given), torch.zeros((), device=texture.device)
    for look in looks:
        shown = sample_texture(pyramid, look.uv, look.lod)
        apart = torch.cat([shown[:, :3].detach() - look.photo, torch.ones_like(look.photo[:, :1])], -1)
        total = total + (shown * apart * look.weight[:, None]).sum()
    (gradient,) = torch.autograd.grad(total, given)
    return gradient[..., :3], gradient[..., 3:]


@dataclass(frozen=True, eq=False)
class _Look:
    """What one view sees of the texture, pixels that count alone: where they fall in it, and what the photo shows."""

    uv: Float[Tensor, "p 2"]
    lod: Float[Tensor, "p"]
    photo: Float[Tensor, "p 3"]
    weight: Float[Tensor, "p"]

    @staticmethod
    def of(mesh: TexturedMesh, view: CalibratedView, photo: np.ndarray, inside: np.ndarray, device: str) -> _Look:
        """The view at the size of ``photo``, its `registered_photo`."""
        height, width = photo.shape[:2]
        seen = drawn_in(mesh, view, height, width, device)
        weight = torch.tensor(look_weight(mesh, view, seen, inside), device=device)
        counts = weight > 0
        uv, lod = _coordinates(mesh, seen)
        return _Look(uv[counts], lod[counts], torch.tensor(photo, device=device)[counts], weight[counts])


def drawn_in(mesh: TexturedMesh, view: CalibratedView, height: int, width: int, device: str) -> Fragments:
    """What one view sees of the mesh, at ``height`` x ``width`` pixels."""
    camera = CameraBatch.of([view.camera.resized(width, height)], device)
    vertices = torch.tensor(mesh.vertices, dtype=torch.float32, device=device)
    faces = torch.tensor(mesh.faces, dtype=torch.int32, device=device)
    return rasterize(camera.project(vertices), faces, height, width, camera.perspective)


def _coordinates(mesh: TexturedMesh, seen: Fragments) -> tuple[Float[Tensor, "h w 2"], Float[Tensor, "h w"]]:
    """Where each pixel of the one view falls in the texture, and the mip level that fits it."""
    assert mesh.uv is not None
    assert mesh.texture is not None
    uv = torch.tensor(mesh.uv, dtype=torch.float32, device=seen.screen.device)
    return interpolate(seen, uv)[0], texture_lod(seen, uv, *mesh.texture.shape[:2])[0]


def registered_photo(view: CalibratedView, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo as the surface camera sees it (h, w, 3) in 0..255, and where it is known to show the object."""
    from PIL import Image
    from scipy.ndimage import map_coordinates

    from meshwright.geometry.camera import pixel_grid

    rgb = np.asarray(Image.fromarray(view.rgb).resize((width, height), Image.Resampling.BOX), np.float32)
    places = view.registration.apply_pixels(pixel_grid(width, height), width, height)[..., ::-1] - 0.5
    rows, columns = places[..., 0], places[..., 1]
    photo = np.stack([map_coordinates(rgb[..., c], [rows, columns], order=1, mode="nearest") for c in range(3)], -1)
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    if view.rgb_mask is not None:
        full_height, full_width = view.rgb_mask.shape
        at_row = np.clip((rows + 0.5) * full_height / height, 0, full_height - 1).astype(int)
        at_column = np.clip((columns + 0.5) * full_width / width, 0, full_width - 1).astype(int)
        inside &= view.rgb_mask[at_row, at_column]
    return photo.astype(np.float32), inside


def look_weight(mesh: TexturedMesh, view: CalibratedView, seen: Fragments, inside: np.ndarray) -> np.ndarray:
    """How much each pixel counts: the cosine of incidence squared; 0 at rims, where photo and surface may differ."""
    from scipy.ndimage import binary_dilation

    towards = view.camera.view_directions(np.asarray(mesh.vertices, float))
    cosines = torch.tensor((mesh.normals * towards).sum(1)[:, None], dtype=torch.float32, device=seen.screen.device)
    depth = interpolate(seen, seen.screen[..., 2:])[0, ..., 0].cpu().numpy()
    cosine = interpolate(seen, cosines)[0, ..., 0].cpu().numpy()
    typical = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
    step = JUMP_PX * float(np.max(view.camera.pixel_size(typical)))
    rim = np.logical_not(inside & (depth > 0)) | beside_jump(depth, step)
    solid = np.logical_not(binary_dilation(rim, iterations=RIM_PX))
    return (solid * np.where(cosine > GRAZING, cosine**2, 0.0)).astype(np.float32)
