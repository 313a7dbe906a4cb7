"""A case with its truth: what the ladder perturbs and what it scores against."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from meshwright.capture.capture import Capture, DepthImage, View
from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh
from truth import frame_camera

NAMES = ("front", "back", "left", "right", "top", "bottom")


@dataclass(frozen=True, eq=False)
class TrueView:
    """A view as it was made. ``camera`` is proper, at the depth's size, and belongs to the UN-mirrored image; ``z`` is
    exact z-depth of the image as it stands, un-mirrored too; ``slot`` and ``roll_deg`` place it in the viewer's rig.

    ``values`` is the depth as the product gets it (un-mirrored).
    """

    name: str
    slot: str
    camera: Camera
    rgb: np.ndarray
    z: np.ndarray
    values: np.ndarray
    bits: int = 8
    roll_deg: int = 0
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class Case:
    """Six true views, the object's diagonal and the laws that a perturbation changed."""

    name: str
    views: tuple[TrueView, ...]
    diagonal: float
    mesh: TexturedMesh
    shading: str = "unlit"
    background: int = 255
    law: dict = field(
        default_factory=lambda: dict(projection="perspective", depth_law="z", depth_encoding="linear", offset=False)
    )
    naming: str = "viewer"

    def capture(self) -> Capture:
        """What the product gets: names, RGB, stored depth values; no cameras, no scales."""
        views = []
        for view in self.views:
            flip = slice(None, None, -1) if view.mirrored else slice(None)
            values = np.ascontiguousarray(view.values[:, flip]).astype(np.float32)
            rgb = np.ascontiguousarray(view.rgb[:, flip])
            views.append(View(view.name, rgb, DepthImage(values, view.bits)))
        return Capture(tuple(views))

    def changed(self, **law) -> Case:
        """The case with other laws noted."""
        return replace(self, law={**self.law, **law})


def view_max(z: np.ndarray) -> np.ndarray:
    """The reference's 8-bit law: the farthest pixel is 255."""
    return np.where(z > 0, np.clip(np.rint(z / z.max() * 255), 1, 255), 0)


def load_case(folder: str | Path) -> Case:
    """A case of the evaluation set's form."""
    root = Path(folder)
    case = json.loads((root / "case.json").read_text())
    cameras = json.loads((root / case["cameras_file"]).read_text())
    views = []
    for frame in cameras["frames"]:
        if frame["split"] != "input":
            continue
        name = frame["name"]
        stored = np.asarray(Image.open(root / "depth_metric" / f"{name}.png"))
        z = stored.astype(float) * case["depth_metric"]["scale"]
        camera = frame_camera(frame).resized(z.shape[1], z.shape[0])
        rgb = np.asarray(Image.open(root / "multi_views" / f"{name}.png").convert("RGB"))
        slot = name
        if case["rig"].get("naming") == "object":
            slot = {"left": "right", "right": "left"}.get(name, name)
        views.append(TrueView(name, slot, camera, rgb, z, view_max(z)))
    order = {name: k for k, name in enumerate(NAMES)}
    views.sort(key=lambda view: order.get(view.name, 99))
    rig = case["rig"]
    return Case(
        case["name"],
        tuple(views),
        case["gt"]["bbox_diagonal"],
        load_mesh(root / "gt.glb"),
        rig.get("shading", "unlit"),
        rig.get("background", 255),
        naming=rig.get("naming", "viewer"),
    )


def load_mesh(path: Path) -> TexturedMesh:
    """The ground truth as one textured mesh (parts keep their own materials only if there is one texture)."""
    import trimesh

    scene = trimesh.load_scene(str(path), process=False)
    mesh = scene.to_geometry() if len(scene.geometry) > 1 else next(iter(scene.dump()))
    visual = mesh.visual
    uv = texture = colors = None
    if visual.kind == "texture":
        texture = np.asarray(visual.material.baseColorTexture.convert("RGB"))
        uv = np.column_stack([visual.uv[:, 0], 1 - visual.uv[:, 1]])
    elif visual.kind == "vertex":
        colors = np.asarray(visual.vertex_colors)[:, :3].astype(np.uint8)
    return TexturedMesh(
        np.asarray(mesh.vertices, float),
        np.asarray(mesh.faces, np.int32),
        np.array(mesh.vertex_normals, float),
        uv,
        texture,
        colors=colors,
    )
