"""Light: nothing (colours as they are) or a fixed neutral studio, Lambert's law on both sides of a surface.

As in the evaluation set's renderer, light multiplies display-referred (sRGB) colours: pictures are compared and looked
at in that space, and the studio is tuned in it. Light that follows physics is in `material` and `environment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from meshwright.errors import InputError
from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import face_area_vectors
from meshwright.rendering.arrays import Array, like

Shading = Literal["unlit", "lambert", "pbr"]


@dataclass(frozen=True, eq=False)
class Studio:
    """``ambient`` light and directed ``lights``: rows (x, y, z, strength), unit vectors towards the light (world)."""

    ambient: float
    lights: Float[np.ndarray, "k 4"]

    def light_on(self, normals: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
        """What surfaces with these unit normals (numpy array or torch tensor) are multiplied by."""
        lights = like(self.lights, normals)
        return self.ambient + (normals @ lights[:, :3].T).clip(0) @ lights[:, 3]


def studio(ambient: float, *lights: tuple[tuple[float, float, float], float]) -> Studio:
    """A studio from (direction, strength) pairs; directions need not be unit vectors."""
    rows = [(*np.asarray(direction) / np.linalg.norm(direction), strength) for direction, strength in lights]
    return Studio(ambient, np.array(rows, float).reshape(-1, 4))


UNLIT = studio(1.0)
# Key and fill of the evaluation set (tools/render_views.py: LIGHT_DIR, FILL_DIR, AMBIENT, DIFFUSE, FILL).
LAMBERT = studio(0.40, ((0.35, 0.80, 0.48), 0.55), ((-0.60, 0.15, -0.79), 0.20))


def studio_of(shading: Shading | Studio) -> Studio:
    """The studio of "unlit" or "lambert". Raises `InputError` for a name that does not exist."""
    if isinstance(shading, Studio):
        return shading
    named = {"unlit": UNLIT, "lambert": LAMBERT}
    if shading not in named:
        raise InputError(
            f'There is no shading "{shading}".', suggestion="Use unlit, lambert or pbr.", reason="unknown_shading"
        )
    return named[shading]


def facing_normals(vertices: Float[np.ndarray, "n 3"], faces: np.ndarray, camera: Camera) -> Float[np.ndarray, "m 3"]:
    """Unit face normals, each turned to the side that the camera sees; zero for faces of no area."""
    normals = face_area_vectors(vertices, faces)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    towards = camera.view_directions(vertices[faces[:, 0]])
    return np.where(np.einsum("mk,mk->m", normals, towards)[:, None] < 0, -normals, normals)
