"""Pictures of a shape on its way, and whether files can be written before any work is done."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from meshwright.errors import InputError
from meshwright.geometry.mesh import Mesh, TexturedMesh

SIZE = 512
CLAY = 190


class Watch(Protocol):
    """Called with the number of each round and the mesh that it begins with."""

    def __call__(self, round_: int, mesh: Mesh) -> None:
        """Look at the mesh; never raises."""
        ...


@dataclass(frozen=True)
class Previews:
    """Writes ``folder/shape_000.png``, ... every so many rounds. A picture that cannot be written is left out."""

    folder: Path
    every: int

    def __call__(self, round_: int, mesh: Mesh) -> None:
        """One picture, if this round's turn has come."""
        from meshwright.rendering.previews import preview_cameras
        from meshwright.rendering.render import render

        if round_ % self.every:
            return
        shade = np.full((len(mesh.vertices), 3), CLAY, np.uint8)
        clay = TexturedMesh(mesh.vertices, mesh.faces, mesh.vertex_normals(), colors=shade)
        picture = render(clay, preview_cameras(clay, SIZE)[0], shading="lambert")
        try:
            Image.fromarray(picture.rgb).save(self.folder / f"shape_{round_:03d}.png")
        except OSError:
            return


def require_writable(folder: Path, option: str) -> None:
    """Make ``folder`` and write to it. Raises `InputError` naming the option where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise InputError(
            f"Nothing can be written to {folder}, which the option {option} names: {error.strerror or error}.",
            suggestion="Name a folder that exists or can be made, and that you may write to.",
            reason="option_not_writable",
            option=option,
        ) from None
