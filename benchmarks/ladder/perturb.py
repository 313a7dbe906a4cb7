"""The rungs: each takes a true case to a perturbed true case. Depth laws are encoded from exact depth, not 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ladder.case import Case, TrueView, view_max
from meshwright.cameras.rigs import image_roll, slot_rotation
from meshwright.geometry.camera import Camera

Perturbation = Callable[[Case], Case]
OBJECTS_OWN = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Step:
    """One rung: ``group`` is the issue's word for it, ``name`` tells its variants apart."""

    group: str
    name: str
    apply: Perturbation


# Arrangement: names, rolls, mirrors, swaps.


def swap_names(case: Case, a: str, b: str) -> Case:
    """The files of views ``a`` and ``b`` changed their names."""
    new = {a: b, b: a}
    views = [replace(view, name=new.get(view.name, view.name)) for view in case.views]
    order = [view.name for view in case.views]
    return replace(case, views=tuple(sorted(views, key=lambda view: order.index(view.name))))


def swap_naming(case: Case) -> Case:
    """Left and right in the other convention."""
    return replace(swap_names(case, "left", "right"), naming={"viewer": "object", "object": "viewer"}[case.naming])


def roll(case: Case, name: str, degrees: int) -> Case:
    """The images of one view turned clockwise."""
    return replace(case, views=tuple(rolled(v, degrees) if v.name == name else v for v in case.views))


def rolled(view: TrueView, degrees: int) -> TrueView:
    """A view turned clockwise by a multiple of 90 degrees; its camera turns with it."""

    def turn(image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(image, -degrees // 90))

    camera = view.camera
    c2w = camera.c2w.copy()
    c2w[:3, :3] = c2w[:3, :3] @ image_roll(degrees)
    side = camera.width
    K = camera.K.copy()
    centred = image_roll(degrees)[:2, :2].T @ (K[:2, 2] - side / 2)
    K[:2, 2] = centred + side / 2
    return replace(
        view,
        camera=replace(camera, K=K, c2w=c2w),
        rgb=turn(view.rgb),
        z=turn(view.z),
        values=turn(view.values),
        roll_deg=(view.roll_deg + degrees) % 360,
    )


def mirror(case: Case, name: str) -> Case:
    """One view handed in mirrored left to right."""
    views = (replace(v, mirrored=not v.mirrored) if v.name == name else v for v in case.views)
    return replace(case, views=tuple(views))


# Depth laws.


def encode(case: Case, law: Callable[[np.ndarray, int], np.ndarray], **note: object) -> Case:
    """Stored values of every view by ``law(z of object pixels, view number)`` in 1..255, unrounded."""

    def stored(view: TrueView, number: int) -> TrueView:
        mask = view.z > 0
        values = np.zeros(view.z.shape)
        values[mask] = np.clip(np.rint(law(view.z[mask], number)), 1, 255)
        return replace(view, values=values)

    return replace(case, views=tuple(stored(v, k) for k, v in enumerate(case.views))).changed(**note)


def with_offset(case: Case) -> Case:
    """``value = a z + b`` with a scale and an offset per view: the nearest pixel at 40..115, the farthest at 255."""
    lowest = np.random.default_rng(5).uniform(40, 115, len(case.views))

    def law(z: np.ndarray, k: int) -> np.ndarray:
        return lowest[k] + (z - z.min()) / np.ptp(z) * (255 - lowest[k])

    return encode(case, law, offset=True)


def inverse(case: Case) -> Case:
    """``value = c / z``: the nearest pixel is 255."""
    return encode(case, lambda z, _: 255 * z.min() / z, depth_encoding="inverse")


def near_bright(case: Case) -> Case:
    """``value = c (far - z)``: the nearest pixel is 255, the farthest 10."""
    return encode(case, lambda z, _: 10 + (z.max() - z) / np.ptp(z) * 245, depth_encoding="near_bright")


def ray_distance(case: Case) -> Case:
    """Distance along the ray instead of z, the farthest pixel 255."""
    views = []
    for view in case.views:
        length = ray_length(view.camera)
        views.append(replace(view, values=view_max(view.z * length)))
    return replace(case, views=tuple(views)).changed(depth_law="ray")


def ray_length(camera: Camera) -> np.ndarray:
    """Length of the ray to each pixel centre per unit of z."""
    from meshwright.geometry.camera import pixel_grid

    slope = (pixel_grid(camera.width, camera.height) - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]
    return np.sqrt(1 + (slope**2).sum(-1))


def noisy(case: Case, share: float = 0.005) -> Case:
    """Gaussian noise of ``share`` of z on every pixel, before it is stored."""
    rng = np.random.default_rng(7)
    views = [replace(v, values=view_max(v.z * (1 + share * rng.normal(size=v.z.shape)))) for v in case.views]
    return replace(case, views=tuple(views))


# RGB.


def misregistered(case: Case, shift: float = 0.02, scale: float = 1.04) -> Case:
    """RGB images 4 % larger than the depth's object and shifted by 2 % of the width, each view its own way."""
    angles = np.random.default_rng(11).uniform(0, 2 * np.pi, len(case.views))
    views = []
    for view, angle in zip(case.views, angles, strict=True):
        h, w = view.rgb.shape[:2]
        move = shift * w * np.array([np.cos(angle), np.sin(angle)])
        # output pixel -> input pixel, as Pillow wants it
        a = 1 / scale
        c = w / 2 - a * (w / 2 + move[0])
        f = h / 2 - a * (h / 2 + move[1])
        image = Image.fromarray(view.rgb).transform(
            (w, h),
            Image.Transform.AFFINE,
            (a, 0, c, 0, a, f),
            Image.Resampling.BICUBIC,
            fillcolor=(case.background,) * 3,
        )
        views.append(replace(view, rgb=np.asarray(image)))
    return replace(case, views=tuple(views))


# Rendered anew.


def photograph(case: Case, view: TrueView, camera: Camera, shift: np.ndarray) -> TrueView:
    """The view with the true object moved by ``shift`` and another camera."""
    from meshwright.rendering.raster import rasterize
    from meshwright.rendering.render import render

    matrix = np.eye(4)
    matrix[:3, 3] = shift
    mesh = case.mesh.transformed(matrix)
    z = rasterize(mesh.vertices, mesh.faces, camera).depth.astype(float)
    picture = render(mesh, camera.resized(*view.rgb.shape[1::-1]), background=case.background, shading=case.shading)
    return replace(view, camera=camera, rgb=picture.rgb, z=z, values=view_max(z))


def orthographic(case: Case) -> Case:
    """Parallel rays: the object fills about as much of the image as before; the cameras stand where they stood."""
    views = []
    for view in case.views:
        distance = float(np.linalg.norm(view.camera.center))
        K = np.diag([1 / distance, 1 / distance, 1.0]) @ view.camera.K
        K[:2, 2] = view.camera.K[:2, 2]
        views.append(photograph(case, view, replace(view.camera, K=K, projection="orthographic"), np.zeros(3)))
    return replace(case, views=tuple(views)).changed(projection="orthographic")


def off_centre(case: Case, share: float = 0.05) -> Case:
    """The object ``share`` of its diagonal away from where all cameras look."""
    shift = share * case.diagonal * np.array([0.64, -0.48, 0.60])
    return replace(case, views=tuple(photograph(case, v, v.camera, shift) for v in case.views))


def check_rig(case: Case) -> None:
    """Raise where a true camera does not stand in its slot (rotation within 0.1 degrees)."""
    from meshwright.geometry.rotations import rotation_angle_deg

    for view in case.views:
        off = rotation_angle_deg(view.camera.c2w[:3, :3].T @ slot_rotation(view.slot, view.roll_deg))
        if off > 0.1:
            raise ValueError(f"{case.name}: {view.name} stands {off:.1f} degrees from {view.slot} {view.roll_deg}")


def steps() -> list[Step]:
    """The whole ladder, the untouched case first."""
    ladder = [Step("none", "as it is", lambda case: case), Step("naming", "left/right swapped", swap_naming)]
    for name in ("top", "bottom"):
        for degrees in (90, 180, 270):
            ladder.append(Step(f"{name} rolled", f"{name} {degrees}", lambda c, n=name, d=degrees: roll(c, n, d)))
    for name in ("front", "left", "top"):
        ladder.append(Step("mirrored", f"{name} mirrored", lambda c, n=name: mirror(c, n)))
    for a, b in (("front", "back"), ("front", "right"), ("top", "bottom"), ("back", "top")):
        ladder.append(Step("swapped", f"{a} <-> {b}", lambda c, a=a, b=b: swap_names(c, a, b)))
    return [
        *ladder,
        Step("offset", "scale and offset per view", with_offset),
        Step("inverse", "inverse depth", inverse),
        Step("near-bright", "near-bright depth", near_bright),
        Step("ray", "ray distance", ray_distance),
        Step("orthographic", "orthographic cameras", orthographic),
        Step("off-centre", "object off-centre by 5 %", off_centre),
        Step("noise", "depth noise 0.5 %", noisy),
        Step("rgb", "RGB shift 2 %, scale 4 %", misregistered),
    ]
