"""Cameras round an object that show all of it, and the light and the ground that go with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from meshwright.geometry.camera import Camera, pixel_grid
from meshwright.geometry.mesh import Mesh, TexturedMesh
from meshwright.geometry.rotations import look_at
from meshwright.rendering.raster import rasterize
from meshwright.rendering.sampling import sample_bilinear
from meshwright.rendering.shading import Studio, studio

UP = (0.0, 1.0, 0.0)
FOV_DEG = 28.0  # a portrait lens: little foreshortening
FILL = 0.88  # of the image side, for the object in its widest view
CENTRING_STEPS = 4
SHADOW_TEXELS = 160
SHADOW_MARGIN = 0.35  # of the footprint's longer side, on each side


def seen_points(mesh: TexturedMesh | Mesh) -> Float[np.ndarray, "n 3"]:
    """The finite vertices that faces use."""
    used = np.unique(mesh.faces)
    points = np.asarray(mesh.vertices, np.float64)[used]
    return points[np.isfinite(points).all(1)]


def upright(up: ArrayLike) -> Float[np.ndarray, "3 3"]:
    """Rotation whose columns are the object's right, up and front; front is +Z as far as ``up`` allows, else -Y (+Y)
    where up is +Z (-Z)."""
    axis = np.asarray(up, float) / np.linalg.norm(up)
    front = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([0.0, -np.sign(axis[2]), 0.0])
    front = front - (front @ axis) * axis
    front /= np.linalg.norm(front)
    return np.column_stack([np.cross(axis, front), axis, front])


def orbit_cameras(
    points: Float[np.ndarray, "n 3"],
    angles_deg: Float[np.ndarray, "k 2"],
    size: int,
    up: ArrayLike = UP,
) -> list[Camera]:
    """One camera per (azimuth, elevation), all at one distance, each with the object in the middle of its image.

    Azimuth 0 looks at the front, 90 at the object's +X side; elevation 90 looks straight down. The distance is the
    least at which all ``points`` stay within `FILL` of the image in every view.
    """
    frame = upright(up)
    centre = (points.min(0) + points.max(0)) / 2
    poses = [_pose(frame, azimuth, elevation) for azimuth, elevation in np.radians(angles_deg)]
    local = [(points - centre) @ pose for pose in poses]
    middles = [(view[:, :2].min(0) + view[:, :2].max(0)) / 2 for view in local]
    distance = 0.0
    for _ in range(CENTRING_STEPS):
        distance = max(_distance(view, middle) for view, middle in zip(local, middles, strict=True))
        middles = [_centred(view, middle, distance) for view, middle in zip(local, middles, strict=True)]
    return [_placed(centre, pose, middle, distance, size) for pose, middle in zip(poses, middles, strict=True)]


def turn_cameras(
    points: Float[np.ndarray, "n 3"], count: int, elevation_deg: float, size: int, up: ArrayLike = UP
) -> list[Camera]:
    """``count`` cameras of one full turn at equal steps, the first in front, as close as `orbit_cameras`.

    All look at one point of the vertical axis through the object's middle: in a film the object turns and does not
    sway.
    """
    frame = upright(up)
    local = points @ frame
    centre = frame @ ((local.min(0) + local.max(0)) / 2)
    poses = [_pose(frame, turn, np.radians(elevation_deg)) for turn in 2 * np.pi * np.arange(count) / count]
    views = [(points - centre) @ pose for pose in poses]
    middle, distance = np.zeros(2), 0.0
    for _ in range(CENTRING_STEPS):
        distance = max(_distance(view, middle) for view in views)
        ends = [_ends(view, middle, distance)[:, 1] for view in views]
        middle = np.array([0.0, middle[1] + distance * (np.min(ends) + np.max(ends)) / 2])
    distance = max(_distance(view, middle) for view in views)
    return [_placed(centre, pose, middle, distance, size) for pose in poses]


def _placed(
    centre: Float[np.ndarray, "3"],
    pose: Float[np.ndarray, "3 3"],
    middle: Float[np.ndarray, "2"],
    distance: float,
    size: int,
) -> Camera:
    c2w = np.eye(4)
    c2w[:3, :3] = pose
    c2w[:3, 3] = centre + pose @ np.array([*middle, -distance])
    return Camera.from_fov(FOV_DEG, c2w, size, size)


def _distance(view: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, "2"]) -> float:
    """The least distance from which points (right, down, forward) seen past ``middle`` stay within `FILL`."""
    tangent = FILL * np.tan(np.radians(FOV_DEG) / 2)
    return max(float((np.abs(view[:, :2] - middle).max(1) / tangent - view[:, 2]).max()), 1e-9)


def _centred(view: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, "2"], distance: float) -> Float[np.ndarray, "2"]:
    """The middle that puts the points' box in the middle of the picture (one Newton-like step)."""
    low, high = _ends(view, middle, distance)
    return middle + distance * (low + high) / 2


def _ends(view: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, "2"], distance: float) -> Float[np.ndarray, "2 2"]:
    """The least and the greatest slopes (right, down) at which points are seen past ``middle``."""
    slope = (view[:, :2] - middle) / np.maximum(view[:, 2:] + distance, 1e-12)
    return np.stack([slope.min(0), slope.max(0)])


def _pose(frame: Float[np.ndarray, "3 3"], azimuth: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    level = np.cos(elevation)
    direction = np.array([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level])
    head = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.999 else np.array([0.0, 0.0, -np.sign(direction[1])])
    return look_at(frame @ direction, np.zeros(3), frame @ head)[:3, :3]


def camera_studio(camera: Camera, ambient: float, key: float, fill: float) -> Studio:
    """A studio that goes with the camera: key light over its left shoulder, a weaker fill from low right."""
    axes = camera.c2w[:3, :3]
    return studio(ambient, (tuple(axes @ [-0.5, -0.75, -0.7]), key), (tuple(axes @ [0.8, 0.25, -0.5]), fill))


@dataclass(frozen=True, eq=False)
class Ground:
    """A plane under an object's lowest point and how much the object darkens it: ``shade`` over a square of that
    ``side``, columns along the object's right, rows along its front; ``frame`` has right, up and front as columns.
    """

    shade: Float[np.ndarray, "s s 1"]
    frame: Float[np.ndarray, "3 3"]
    middle: Float[np.ndarray, "3"]
    level: float
    side: float

    def shadow(self, camera: Camera) -> Float[np.ndarray, "h w"]:
        """How dark (0..1) each pixel's ground is; 0 where it is not seen from above."""
        shadow = np.zeros((camera.height, camera.width))
        eye = camera.center @ self.frame
        if self.side <= 0 or eye[1] <= self.level:
            return shadow
        pixels = pixel_grid(camera.width, camera.height)
        rays = camera.unproject(pixels, np.ones((camera.height, camera.width))) @ self.frame - eye
        falls = rays[..., 1] < -1e-9
        rays = rays[falls]
        hit = eye + rays * ((self.level - eye[1]) / rays[:, 1])[:, None]
        uv = np.stack([hit[:, 0] - self.middle[0], hit[:, 2] - self.middle[2]], -1) / self.side + 0.5
        inside = (uv > 0).all(-1) & (uv < 1).all(-1)
        falls[falls] = inside
        shadow[falls] = sample_bilinear(self.shade, uv[inside])[:, 0]
        return shadow


def ground_under(mesh: TexturedMesh | Mesh, up: ArrayLike = UP) -> Ground:
    """The ground of a mesh. Seen from below, each part of the object shades the ground under it, less the higher it is;
    two blurs stand for the wide light.
    """
    frame, points = upright(up), seen_points(mesh)
    if len(points) == 0:
        return Ground(np.zeros((1, 1, 1)), frame, np.zeros(3), 0.0, 0.0)
    local = points @ frame
    low, high = local.min(0), local.max(0)
    side = max(high[0] - low[0], high[2] - low[2]) * (1 + 2 * SHADOW_MARGIN)
    shade = _shade_map(mesh, frame, low, high, side) if side > 0 else np.zeros((1, 1))
    return Ground(shade[..., None], frame, (low + high) / 2, float(low[1]), float(side))


def ground_shadow(mesh: TexturedMesh | Mesh, camera: Camera, up: ArrayLike = UP) -> Float[np.ndarray, "h w"]:
    """How much (0..1) the object darkens a ground plane under its lowest point, per pixel of ``camera``."""
    return ground_under(mesh, up).shadow(camera)


def _shade_map(
    mesh: TexturedMesh | Mesh,
    frame: Float[np.ndarray, "3 3"],
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
    side: float,
) -> Float[np.ndarray, "s s"]:
    """`Ground.shade`."""
    from scipy.ndimage import gaussian_filter

    n = SHADOW_TEXELS
    middle = (low + high) / 2
    c2w = np.eye(4)
    c2w[:3, :3] = frame @ np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # looks up, the front at the top
    c2w[:3, 3] = frame @ np.array([middle[0], low[1] - side, middle[2]])
    K = np.array([[n / side, 0, n / 2], [0, n / side, n / 2], [0, 0, 1.0]])
    below = rasterize(mesh.vertices, mesh.faces, Camera(K, c2w, n, n, "orthographic"))
    height = np.where(below.face_id >= 0, below.depth - side, np.inf)[::-1]
    density = np.exp(-np.maximum(height, 0) / (0.12 * side))
    return 0.35 * gaussian_filter(density, n * 0.012) + 0.35 * gaussian_filter(density, n * 0.05)
