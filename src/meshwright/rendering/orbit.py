"""Cameras round an object that show all of it, and the light and the ground that go with them."""

from __future__ import annotations

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
    cameras = []
    for pose, middle in zip(poses, middles, strict=True):
        c2w = np.eye(4)
        c2w[:3, :3] = pose
        c2w[:3, 3] = centre + pose @ np.array([*middle, -distance])
        cameras.append(Camera.from_fov(FOV_DEG, c2w, size, size))
    return cameras


def _distance(view: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, "2"]) -> float:
    """The least distance from which points (right, down, forward) seen past ``middle`` stay within `FILL`."""
    tangent = FILL * np.tan(np.radians(FOV_DEG) / 2)
    return max(float((np.abs(view[:, :2] - middle).max(1) / tangent - view[:, 2]).max()), 1e-9)


def _centred(view: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, "2"], distance: float) -> Float[np.ndarray, "2"]:
    """The middle that puts the points' box in the middle of the picture (one Newton-like step)."""
    slope = (view[:, :2] - middle) / np.maximum(view[:, 2:] + distance, 1e-12)
    return middle + distance * (slope.min(0) + slope.max(0)) / 2


def _pose(frame: Float[np.ndarray, "3 3"], azimuth: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    level = np.cos(elevation)
    direction = np.array([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level])
    head = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.999 else np.array([0.0, 0.0, -np.sign(direction[1])])
    return look_at(frame @ direction, np.zeros(3), frame @ head)[:3, :3]


def camera_studio(camera: Camera, ambient: float, key: float, fill: float) -> Studio:
    """A studio that goes with the camera: key light over its left shoulder, a weaker fill from low right."""
    axes = camera.c2w[:3, :3]
    return studio(ambient, (tuple(axes @ [-0.5, -0.75, -0.7]), key), (tuple(axes @ [0.8, 0.25, -0.5]), fill))


def ground_shadow(mesh: TexturedMesh | Mesh, camera: Camera, up: ArrayLike = UP) -> Float[np.ndarray, "h w"]:
    """How much (0..1) the object darkens a ground plane under its lowest point, per pixel of ``camera``.

    Seen from below, each part of the object shades the ground under it, less the higher it is; two blurs stand for the
    wide light. Zero where the ground is not seen from above.
    """
    frame, points = upright(up), seen_points(mesh)
    local = points @ frame
    low, high = local.min(0), local.max(0)
    side = max(high[0] - low[0], high[2] - low[2]) * (1 + 2 * SHADOW_MARGIN)
    if side <= 0:
        return np.zeros((camera.height, camera.width), np.float32)
    shade = _shade_map(mesh, frame, low, high, side)
    eye = camera.center @ frame
    rays = (
        camera.unproject(pixel_grid(camera.width, camera.height), np.ones((camera.height, camera.width)))
    ) @ frame - eye
    falls = (rays[..., 1] < -1e-9) & (eye[1] > low[1])
    distance = np.where(falls, (low[1] - eye[1]) / np.where(falls, rays[..., 1], -1.0), 0.0)
    hit = eye + rays * distance[..., None]
    middle = (low + high) / 2
    uv = np.stack([hit[..., 0] - middle[0], hit[..., 2] - middle[2]], -1) / side + 0.5
    inside = falls & (uv > 0).all(-1) & (uv < 1).all(-1)
    return np.where(inside, sample_bilinear(shade[..., None], np.where(inside[..., None], uv, 0.5))[..., 0], 0.0)


def _shade_map(
    mesh: TexturedMesh | Mesh,
    frame: Float[np.ndarray, "3 3"],
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
    side: float,
) -> Float[np.ndarray, "s s"]:
    """Shade on the ground, columns along the object's right, rows along its front."""
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
