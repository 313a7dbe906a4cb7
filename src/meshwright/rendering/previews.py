"""The twelve preview pictures of a result: textured and wireframe, from six fixed angles.

00-03 go round the object at three-quarter angles a little above eye level, 04 looks down on it, 05 looks up at it from
behind and below. All six share one distance, so that sizes compare. The object is taken to stand on ``up`` (+Y) and to
face +Z.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh
from meshwright.rendering.orbit import UP, Ground, camera_studio, ground_under, orbit_cameras, seen_points, turn_cameras
from meshwright.rendering.render import Paint, Wire, paint_of, plain_paint, render_painted
from meshwright.rendering.softboxes import camera_light
from meshwright.workers import mapped

ANGLES_DEG = ((35.0, 20.0), (125.0, 20.0), (215.0, 20.0), (305.0, 20.0), (35.0, 62.0), (215.0, -30.0))
BACKGROUND = 238
CLAY = 222
WIRE = Wire(grey=40.0, width_px=1.0, share=0.12)
FADE = 0.12  # of the image side: the ground shadow ends before the picture does


def render_previews(
    mesh: TexturedMesh, size: int = 512, *, shadow: bool = True, up: ArrayLike = UP
) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """Pictures by name: ``textured_00`` .. ``textured_05`` and ``wireframe_00`` .. ``wireframe_05``, size x size.

    Antialiased, on neutral grey, with a soft ground shadow unless ``shadow`` is False. A mesh with a material reflects
    a soft studio, one without is lit in display space. Wireframes show the face edges over clay; lines thin out where
    faces get small, so that dense meshes do not turn black.
    """
    cameras = preview_cameras(mesh, size, up)
    clay = plain_paint(len(mesh.vertices), CLAY)
    kinds = {"textured": (paint_of(mesh), None), "wireframe": (clay, WIRE)}
    ground = ground_under(mesh, up) if shadow else None

    def pictures(camera: Camera) -> list[UInt8[np.ndarray, "h w 3"]]:
        backdrop = _backdrop(camera, ground)
        return [_picture(mesh, paint, camera, backdrop, wire) for paint, wire in kinds.values()]

    drawn = list(mapped(pictures, cameras))
    return {f"{kind}_{n:02d}": both[k] for k, kind in enumerate(kinds) for n, both in enumerate(drawn)}


def preview_cameras(mesh: TexturedMesh, size: int, up: ArrayLike = UP) -> list[Camera]:
    """The six preview cameras of a mesh."""
    return orbit_cameras(_framed(mesh), np.array(ANGLES_DEG), size, up)


def turntable_cameras(
    mesh: TexturedMesh, count: int, size: int, *, elevation_deg: float = 20.0, up: ArrayLike = UP
) -> list[Camera]:
    """``count`` cameras of one full turn at equal steps, the first in front."""
    return turn_cameras(_framed(mesh), count, elevation_deg, size, up)


def turntable_frame(mesh: TexturedMesh, camera: Camera, ground: Ground | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """One frame of a turntable, lit and placed as the textured previews are, with the shadow on ``ground`` if given."""
    return _picture(mesh, paint_of(mesh), camera, _backdrop(camera, ground), None)


def contact_sheet(
    images: list[UInt8[np.ndarray, "h w 3"]], columns: int = 3, gap: int = 4
) -> UInt8[np.ndarray, "H W 3"]:
    """Pictures of one size beside each other, row by row, on the previews' background."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), BACKGROUND, np.uint8)
    for n, image in enumerate(images):
        top, left = n // columns * (height + gap), n % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _framed(mesh: TexturedMesh) -> Float[np.ndarray, "n 3"]:
    points = seen_points(mesh)
    return points if len(points) else np.zeros((1, 3))


def _backdrop(camera: Camera, ground: Ground | None) -> Float[np.ndarray, "h w"]:
    plain = np.full((camera.height, camera.width), float(BACKGROUND))
    if ground is None:
        return plain
    across = (np.arange(camera.width) + 0.5) / camera.width
    ramp = np.clip(np.minimum(across, 1 - across) / FADE, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return plain * (1 - ground.shadow(camera) * ramp * ramp[:, None])


def _picture(
    mesh: TexturedMesh, paint: Paint, camera: Camera, backdrop: Float[np.ndarray, "h w"], wire: Wire | None
) -> UInt8[np.ndarray, "h w 3"]:
    light = camera_studio(camera, 0.35, 0.62, 0.18) if wire else camera_studio(camera, 0.62, 0.40, 0.10)
    if wire is None and mesh.material is not None:
        light = camera_light(camera)
    drawn = render_painted(mesh, paint, camera, background=0, shading=light, wire=wire)
    over = drawn.rgb + (1 - drawn.coverage[..., None]) * backdrop[..., None]
    return np.rint(np.clip(over, 0, 255)).astype(np.uint8)
