"""A wavy ball of known colours and gloss in a known light, photographed from six sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import trimesh

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.geometry.material import Material
from meshwright.geometry.mesh import Mesh, TexturedMesh
from meshwright.rendering.color import srgb_to_linear
from meshwright.rendering.environment import Light, light_of
from meshwright.rendering.render import render
from meshwright.rendering.softboxes import softbox_image
from meshwright.surface.texture import TextureOptions, texture_mesh
from surface.solids import cameras

RADIUS, SIZE, TEXTURE = 0.35, 96, 256
PALETTE = np.array([[200, 60, 50], [230, 220, 200], [70, 110, 180], [90, 160, 90]], np.uint8)


def shape() -> Mesh:
    """The ball, with waves of 15 %: many directions are mirrored more than once."""
    sphere = trimesh.creation.icosphere(4, 1.0)
    directions = np.array(sphere.vertices)
    x, y, z = directions.T
    radius = RADIUS * (1 + 0.15 * np.sin(5 * x) * np.sin(4 * y + 1) * np.sin(4 * z + 2))
    return Mesh(directions * radius[:, None], np.array(sphere.faces, np.int32))


def pebble(roughness: float, metallic: float) -> TexturedMesh:
    """The truth: four patches of colour."""
    mesh = shape()
    seeds = np.array([[1.0, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])
    colors = PALETTE[np.argmax(mesh.vertices @ seeds.T, 1)]
    material = Material(metallic=metallic, roughness=roughness)
    return TexturedMesh(mesh.vertices, mesh.faces, mesh.vertex_normals(), colors=colors, material=material)


def studio() -> Light:
    """Three soft lamps in a room."""
    return light_of((0.6 * softbox_image(32)).astype(np.float32))


def white() -> Light:
    """The same light from everywhere."""
    return light_of(np.ones((8, 16, 3), np.float32))


def photographed(mesh: TexturedMesh, light: Light) -> CalibratedCapture:
    """Six photos of ``mesh``."""
    views = []
    for name, camera in cameras(SIZE).items():
        shown = render(mesh, camera, shading=light, background=0)
        views.append(CalibratedView(name, camera, shown.depth > 0, shown.depth, shown.rgb))
    bounds = np.array([[-RADIUS] * 3, [RADIUS] * 3]) * 1.2
    return CalibratedCapture(tuple(views), CalibrationReport("given"), 2 * RADIUS * 3**0.5, bounds, given_frame=True)


def blended(capture: CalibratedCapture) -> TexturedMesh:
    """The unlit texture that the engine starts from."""
    return texture_mesh(shape(), capture, TextureOptions(size=TEXTURE))


def color_error(found: TexturedMesh, truth: TexturedMesh) -> float:
    """Mean difference of log base colours as six unlit pictures show them, up to one scale per channel."""
    logs = []
    for camera in cameras(64).values():
        two = [render(replace(mesh, material=None), camera) for mesh in (found, truth)]
        inside = (two[0].coverage == 1) & (two[1].coverage == 1)
        one, other = (np.log(srgb_to_linear(each.rgb[inside] / 255.0) + 0.02) for each in two)
        logs.append(one - other)
    apart = np.concatenate(logs)
    return float(np.abs(apart - np.median(apart, 0)).mean())
