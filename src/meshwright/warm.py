"""Compile every kernel that the main job uses, once, so that the first reconstruction does not wait for it.

    python -m meshwright.warm

numba compiles a kernel when it is first called and keeps the result beside the source, or in the user's cache folder
where that cannot be written. This runs the job on a sample of a few pixels, whose cameras it is told: the same calls
with the same types as on a real capture. Run again, it finds everything compiled and ends in seconds.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshwright.capture.capture import Capture

SIDE, CELLS, RESOLUTION, FACES, TEXTURE = 96, 40, 32, 400, 256


def warm() -> None:
    """Run the job on a tiny capture and forget the result."""
    from meshwright.pipeline import reconstruct

    result = reconstruct(tiny_capture(), "fusion", {"resolution": RESOLUTION}, faces=FACES, texture_size=TEXTURE)
    with tempfile.TemporaryDirectory() as folder:
        result.save(Path(folder) / "result")


def tiny_capture() -> Capture:
    """Six views with 8-bit depth of unknown scale, as in the reference's format, but with cameras."""
    from meshwright.sample.scene import SampleOptions, make_sample

    options = SampleOptions(rgb_size=SIDE, depth_size=SIDE, texture_size=TEXTURE, cells=CELLS, novel=0)
    sample = make_sample(options)
    capture = sample.capture()
    views = (replace(view, camera=shot.camera) for view, shot in zip(capture.views, sample.shots, strict=True))
    return replace(capture, views=tuple(views), unit=None, camera_format="nerfstudio")


if __name__ == "__main__":
    warm()
