"""Scores a result again from its own files, without the capture: what ``meshwright verify`` compares.

An error picture (`quality.heatmap`) holds the reference image exactly, and its error panel is white exactly outside
the union of both silhouettes. With the camera and the mesh, PSNR and SSIM follow again; mask IoU and depth need the
capture.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from meshwright.cameras.nerfstudio import read_cameras
from meshwright.errors import IncompleteResults, InputError
from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh
from meshwright.quality.heatmap import FOOTER, GAP, HEADER
from meshwright.quality.metrics import Metrics, Score, psnr, ssim
from meshwright.quality.reference import WHITE
from meshwright.quality.verdict import mean_metrics

ABSENT = Score.absent("needs the capture")


def rescore_result(folder: Path, engine: str, mesh: TexturedMesh) -> dict[str, float | None]:
    """Mean ``psnr`` and ``ssim`` of ``mesh`` over the views that are not held out, each rendered anew.

    Empty for a result without error pictures.

    Raises:
        IncompleteResults: reason ``rescore_failed``, when cameras, ``quality.json`` and pictures do not fit together.
    """
    try:
        cameras = read_cameras(json.loads((folder / "cameras.json").read_bytes()))
        by_name = {frame.name: frame.camera for frame in cameras.frames}
        views = json.loads((folder / engine / "quality.json").read_bytes())["views"]
        chosen = [view for view in views if not view["held_out"]]
        pictures = {view["name"]: _picture(folder, engine, view["heat_map"]) for view in chosen}
        found = {
            name: score_picture(picture, mesh, by_name[name])
            for name, picture in pictures.items()
            if picture is not None
        }
    except (InputError, OSError, ValueError, KeyError, TypeError) as error:
        raise IncompleteResults(
            f"The metrics of {engine} cannot be worked out from its files: {error!r}.",
            suggestion="Download or copy the result again.",
            reason="rescore_failed",
        ) from error
    if not found:
        return {}
    mean = mean_metrics(found)
    return {"psnr": mean.psnr.value, "ssim": mean.ssim.value}


def score_picture(picture: UInt8[np.ndarray, "H W 3"], mesh: TexturedMesh, camera: Camera) -> Metrics:
    """PSNR and SSIM of a view from its error picture; the other scores are absent."""
    from meshwright.rendering.render import render

    reference, union = split_picture(picture)
    height, width = union.shape
    image = render(mesh, camera.resized(width, height), background=WHITE).rgb
    inside, expected = (np.where(union[..., None], pixels, np.uint8(WHITE)) for pixels in (image, reference))
    scores = psnr(inside, expected, union), ssim(inside, expected, union)
    return Metrics(*scores, *[ABSENT] * (len(Metrics.__dataclass_fields__) - 2))


def split_picture(
    picture: UInt8[np.ndarray, "H W 3"],
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """The input panel of an error picture, and the union of both silhouettes."""
    height, width = picture.shape[0] - HEADER - FOOTER, (picture.shape[1] - 4 * GAP) // 3
    if height < 1 or width < 1:
        raise ValueError("an error picture is too small")
    rows = slice(HEADER, HEADER + height)
    error = picture[rows, 3 * GAP + 2 * width : 3 * GAP + 3 * width]
    return picture[rows, GAP : GAP + width], (error != WHITE).any(-1)


def _picture(folder: Path, engine: str, name: str) -> UInt8[np.ndarray, "H W 3"] | None:
    """The picture that ``quality.json`` names, or None where it was not written."""
    path = (folder / engine / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
