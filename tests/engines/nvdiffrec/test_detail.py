"""Normals of a fine mesh in the texture of a coarse one: known answers, and the frame that the renderer reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.engines.nvdiffrec.detail import FLAT, bake_detail
from meshwright.geometry.mesh import Mesh, TexturedMesh
from meshwright.rendering.environment import light_of
from meshwright.rendering.material import bumped
from meshwright.rendering.render import render
from meshwright.rendering.softboxes import softbox_image
from meshwright.surface.unwrap import unwrap
from rendering.scenes import bumpy_ball, card, front_camera

SIZE = 64
WAVE, HEIGHT = 4 * np.pi, 0.02


def height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return HEIGHT * np.sin(WAVE * x) * np.cos(0.5 * WAVE * y) / 2


def analytic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Unit normals of the waves."""
    slope_x = HEIGHT * WAVE * np.cos(WAVE * x) * np.cos(0.5 * WAVE * y) / 2
    slope_y = -HEIGHT * 0.5 * WAVE * np.sin(WAVE * x) * np.sin(0.5 * WAVE * y) / 2
    normal = np.stack([-slope_x, -slope_y, np.ones_like(x)], -1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def sheet(scale: float = 1.0, lift: float = 0.0, count: int = 161) -> Mesh:
    """The unit square in z = ``lift`` with waves ``scale`` times as high, facing +Z."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, count), np.linspace(-0.5, 0.5, count))
    points = np.stack([x, y, scale * height(x, y) + lift], -1).reshape(-1, 3)
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    return Mesh(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32))


def flat_card() -> TexturedMesh:
    return card(np.full((SIZE, SIZE, 3), 128, np.uint8))


def normal_map(mesh: TexturedMesh) -> np.ndarray:
    assert mesh.material is not None
    assert mesh.material.normal_texture is not None
    return mesh.material.normal_texture


def read(mesh: TexturedMesh) -> np.ndarray:
    """World normals that a renderer finds at the texels' centres of a flat card, as glTF says."""
    assert mesh.tangents is not None
    frame = np.broadcast_to(mesh.tangents[0], (SIZE, SIZE, 4))
    up = np.broadcast_to([0.0, 0.0, 1.0], (SIZE, SIZE, 3))
    return bumped(up, frame, normal_map(mesh) / 255)


def places(uv_right: bool = True) -> tuple[np.ndarray, np.ndarray]:
    centres = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    x, y = np.meshgrid(centres if uv_right else -centres, -centres)
    return x, y


def test_waves_on_a_plane_have_their_analytic_normals() -> None:
    found, expected = read(bake_detail(flat_card(), sheet())), analytic(*places())
    assert expected[..., 2].min() < 0.995
    off = np.degrees(np.arccos(np.clip((found * expected).sum(-1), -1, 1)))
    assert off.max() < 0.7  # half a step of 8 bits in x and y is 0.3 degrees


def test_a_mirrored_chart_shows_the_same_normals() -> None:
    mesh = flat_card()
    assert mesh.uv is not None
    mirrored = replace(mesh, uv=mesh.uv * [-1, 1] + [1, 0])
    baked = bake_detail(mirrored, sheet())
    assert baked.tangents is not None
    assert (baked.tangents[:, 3] == -1).all()
    found, expected = read(baked), analytic(*places(uv_right=False))
    assert (found * expected).sum(-1).min() > np.cos(np.radians(0.7))


def test_a_flat_fine_mesh_gives_a_flat_map() -> None:
    baked = normal_map(bake_detail(flat_card(), sheet(0.0, lift=0.004)))
    assert (baked == FLAT).all()


def test_the_mesh_itself_has_no_detail() -> None:
    points, faces = bumpy_ball(2000)
    mesh = textured(Mesh(points, faces), 128)
    baked = normal_map(bake_detail(mesh, Mesh(points, faces))).astype(int)
    assert np.abs(baked - FLAT).max() <= 2


@pytest.mark.parametrize("fine", [sheet(lift=0.2), sheet(lift=-0.2)], ids=["above", "below"])
def test_what_is_far_is_no_detail(fine: Mesh) -> None:
    assert (normal_map(bake_detail(flat_card(), fine)) == FLAT).all()


def test_what_is_turned_away_is_no_detail() -> None:
    fine = sheet()
    turned = Mesh(fine.vertices, fine.faces[:, ::-1])
    assert (normal_map(bake_detail(flat_card(), turned)) == FLAT).all()
    steep = sheet(40.0)  # up to 80 degrees
    assert normal_map(bake_detail(flat_card(), steep))[..., 2].min() >= round(127.5 * 1.5)


def test_faces_that_are_not_finite_and_meshes_without_texture_are_passed_over() -> None:
    fine, bare = sheet(), replace(flat_card(), texture=None)
    spoilt = Mesh(np.concatenate([fine.vertices, [[np.nan] * 3]]), fine.faces)
    spoilt = Mesh(spoilt.vertices, np.concatenate([fine.faces, [[0, 1, len(fine.vertices)]]]).astype(np.int32))
    found = (read(bake_detail(flat_card(), spoilt)) * analytic(*places())).sum(-1)
    assert np.quantile(found, 0.01) > 0.9999
    assert bake_detail(bare, fine) is bare
    assert bake_detail(card(np.zeros((8, 8, 3), np.uint8)), Mesh(fine.vertices, fine.faces[:0])).material is None


def textured(mesh: Mesh, size: int) -> TexturedMesh:
    atlas = unwrap(mesh, size)
    grey = np.full((size, size, 3), 128, np.uint8)
    normals = mesh.vertex_normals()[atlas.vertex]
    return TexturedMesh(mesh.vertices[atlas.vertex], atlas.faces, normals, uv=atlas.uv, texture=grey)


def test_a_simplified_ball_with_its_map_is_shaded_like_the_fine_one() -> None:
    import fast_simplification

    points, faces = bumpy_ball(40_000, 0.03)
    few = fast_simplification.simplify(points.astype(np.float32), faces, target_count=600)
    coarse = textured(Mesh(few[0].astype(float), few[1].astype(np.int32)), 512)
    fine = textured(Mesh(points, faces), 512)
    light, camera = light_of(softbox_image(32).astype(np.float32)), front_camera(96, 96, 2.4)
    baked = bake_detail(coarse, Mesh(points, faces))
    matt = replace(baked, material=replace(baked.material, normal_texture=None))
    want, without, with_map = (
        render(m, camera, shading=light) for m in (replace(fine, material=matt.material), matt, baked)
    )
    inside = (want.coverage == 1) & (without.coverage == 1)
    errors = [np.abs(got.rgb[inside].astype(float) - want.rgb[inside]).mean() for got in (without, with_map)]
    assert errors[1] < 0.35 * errors[0]
