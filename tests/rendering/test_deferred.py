"""Laws of physically based pictures: the generic shading of every sample, energy, normal maps the right way round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.geometry.material import Material
from meshwright.geometry.mesh import PLAIN_GREY, Mesh, TexturedMesh
from meshwright.geometry.rotations import look_at
from meshwright.geometry.tangents import vertex_tangents
from meshwright.rendering.arrays import dot, normalized
from meshwright.rendering.color import linear_to_srgb, srgb_to_linear
from meshwright.rendering.environment import Light, directions, light_of
from meshwright.rendering.material import Surface, bumped, under_light
from meshwright.rendering.paint import densities, paint_of
from meshwright.rendering.previews import preview_cameras, render_previews
from meshwright.rendering.raster import project_vertices, rasterize
from meshwright.rendering.render import render
from meshwright.rendering.render_reference import sample_trilinear
from meshwright.rendering.sampling import build_pyramid
from meshwright.rendering.shading import facing_normals
from rendering.scenes import ball, card, colored_ball, front_camera, three_cameras

WHITE_ROOM = light_of(np.ones((8, 16, 3), np.float32))


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shiny_ball() -> TexturedMesh:
    mesh = colored_ball(16)
    bumps = np.clip(noise(40, 40, 3) // 4 + [96, 96, 190], 0, 255).astype(np.uint8)
    material = Material(noise(32, 48, 2), bumps, (0.9, 0.8, 1.0), metallic=0.7, roughness=0.9, normal_scale=0.8)
    return replace(mesh, uv=mesh.vertices[:, :2] * 0.45 + 0.5, texture=noise(64, 96, 1), colors=None, material=material)


def uneven_light() -> Light:
    image = 0.2 + 2 * (directions(16, 32) @ [0.3, 0.8, 0.5]).clip(0)[..., None] ** 4
    return light_of(image.repeat(3, -1), look_at(np.array([1.0, 2, 3]), np.zeros(3), np.array([0, 1.0, 0]))[:3, :3])


@pytest.mark.parametrize("name", list(three_cameras()))
def test_picture_is_the_generic_shading_of_every_sample(name: str) -> None:
    """The twin: every step in float64 numpy, from the fragments on."""
    whole = np.ones((64, 96), np.uint8)  # no gaps, so that pyramids need no mask
    mesh, camera, light = replace(shiny_ball(), coverage=whole), three_cameras()[name], uneven_light()
    seen = rasterize(mesh.vertices, mesh.faces, camera)
    hit, faces, paint = seen.face_id >= 0, mesh.faces, paint_of(mesh)
    material, screen = mesh.material, project_vertices(mesh.vertices, camera)
    assert material is not None

    def at(values: np.ndarray) -> np.ndarray:
        return seen.interpolate(faces, values)[hit].astype(float)

    def texture(image: np.ndarray) -> np.ndarray:
        pyramid = build_pyramid(image, None)
        density = densities(paint.uv, pyramid, faces, screen)[seen.face_id[hit]]
        density = density * seen.depth[hit].astype(float) ** 3 if camera.projection == "perspective" else density
        return sample_trilinear(pyramid, at(mesh.uv), 0.5 * np.log2(density)) / 255

    normals, facing = normalized(at(mesh.normals)), facing_normals(mesh.vertices, faces, camera)[seen.face_id[hit]]
    tangents = at(vertex_tangents(mesh.vertices, faces, mesh.normals, mesh.uv))
    across = normalized(tangents[:, :3] - dot(tangents[:, :3], normals) * normals)
    tangents = np.concatenate([across, np.sign(tangents[:, 3:])], 1)
    turned = bumped(normals, tangents, texture(material.normal_texture), material.normal_scale)
    turned = np.where(dot(normals, facing) < 0, -turned, turned)
    gloss = texture(material.metallic_roughness)
    base = srgb_to_linear(texture(mesh.texture)) * material.base_color
    surface = Surface(base, gloss[:, 2:] * material.metallic, gloss[:, 1:2] * material.roughness)
    towards = camera.view_directions(at(mesh.vertices))
    expected = 255 * linear_to_srgb(under_light(surface, turned, towards, light)).clip(0, 1)
    found = render(mesh, camera, supersample=1, shading=light, background=7)
    off = np.abs(found.rgb[hit] - expected)
    assert np.quantile(off, 0.99) < 1.0
    assert np.median(off) < 0.5
    assert (found.rgb[~hit] == 7).all()


def test_white_is_white_in_a_white_room() -> None:
    vertices, faces = ball(20)
    plain = TexturedMesh(vertices, faces, vertices, colors=np.full((len(vertices), 3), 255, np.uint8))
    for material in (None, Material(metallic=0.0, roughness=0.4), Material(roughness=0.1)):
        seen = render(replace(plain, material=material), three_cameras()["perspective"], shading=WHITE_ROOM)
        assert np.median(seen.rgb[seen.coverage == 1]) >= (254 if material is None or material.metallic == 0 else 250)


def test_background_coverage_and_depth_are_those_of_other_shadings() -> None:
    mesh, camera = shiny_ball(), three_cameras()["off_centre"]
    ours, plain = (render(mesh, camera, shading=shading, background=90) for shading in ("pbr", "unlit"))
    np.testing.assert_array_equal(ours.coverage, plain.coverage)
    np.testing.assert_array_equal(ours.depth, plain.depth)
    assert (ours.rgb[ours.coverage == 0] == 90).all()


def test_winding_and_normals_turned_inside_out_look_the_same() -> None:
    mesh, camera = replace(shiny_ball(), material=Material(metallic=0.3, roughness=0.5)), three_cameras()["perspective"]
    turned = replace(mesh, faces=np.ascontiguousarray(mesh.faces[:, ::-1]), normals=-mesh.normals)
    a, b = (render(one, camera, shading="pbr").rgb.astype(int) for one in (mesh, turned))
    assert np.abs(a - b).max() <= 1


@pytest.mark.parametrize("turn", [0.0, 90.0, 200.0])
def test_a_normal_map_bulges_towards_its_light(turn: float) -> None:
    """Texels whose normals lean up (green) are brighter under light from above, those that lean right (red) under light
    from the right, however the card is turned."""
    angle = np.radians(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    half, lean = 128, 200
    for channel, own in ((1, [0.0, 1.0, 0.3]), (0, [1.0, 0.0, 0.3])):
        texels = np.full((8, 8, 3), half, np.uint8)
        texels[..., 2], texels[..., channel] = 230, lean
        source = rotation @ own  # "up" or "right" of the turned card
        light = light_of(1e-3 + (directions(16, 32) @ source).clip(0)[..., None].repeat(3, -1) ** 2)
        means = {}
        for name, values in (("with", texels), ("flat", None), ("against", 255 - texels + [0, 0, 2 * 230 - 255])):
            bumps = None if values is None else values.astype(np.uint8)
            mesh = card(np.full((8, 8, 3), 128, np.uint8))
            mesh = replace(mesh, material=Material(metallic=0.0, normal_texture=bumps))
            matrix = np.eye(4)
            matrix[:3, :3] = rotation
            means[name] = render(mesh.transformed(matrix), front_camera(12, 12, 0.6), shading=light).rgb.mean()
        assert means["with"] > means["flat"] + 5 > means["against"] + 10


def test_meshes_without_texture_or_material_are_drawn_too() -> None:
    camera = three_cameras()["perspective"]
    vertices, faces = ball(16)
    for mesh in (Mesh(vertices, faces), replace(colored_ball(16), material=Material(noise(4, 4, 0), noise(4, 4, 1)))):
        seen = render(mesh, camera, shading="pbr")
        assert 20 < seen.rgb[seen.coverage == 1].mean() < 240
    grey = render(Mesh(vertices, faces), camera, shading=WHITE_ROOM)
    assert np.abs(np.median(grey.rgb[grey.coverage == 1]) - PLAIN_GREY) < 8


def test_previews_of_a_shiny_mesh_show_its_material() -> None:
    mesh = replace(shiny_ball(), material=Material(metallic=1.0, roughness=0.2))
    plain, shiny = (render_previews(one, 48) for one in (replace(mesh, material=None), mesh))
    assert (plain["wireframe_00"] == shiny["wireframe_00"]).all()
    assert (plain["textured_00"] != shiny["textured_00"]).any()
    again = render_previews(mesh, 48)
    assert all((again[name] == shiny[name]).all() for name in shiny)
    assert len(preview_cameras(mesh, 48)) == 6
