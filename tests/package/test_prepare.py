"""The gate before anything is written: bad meshes are refused, sound ones come out fit for every viewer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshwright.errors import EngineError
from meshwright.geometry.material import Material
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.prepare import publishable, weld_positions


def spoil(name: str, index: tuple, value: float):
    def change(mesh: TexturedMesh) -> TexturedMesh:
        values = getattr(mesh, name).copy()
        values[index] = value
        return replace(mesh, **{name: values})

    return change


def gloss(**fields: object):
    return lambda mesh: replace(mesh, material=Material(**fields))


MAP = np.full((4, 4, 3), 128, np.uint8)
BAD = {
    "nan position": spoil("vertices", (3, 1), np.nan),
    "infinite position": spoil("vertices", (0, 0), np.inf),
    "nan uv": spoil("uv", (2, 0), np.nan),
    "index too large": spoil("faces", (5, 2), 10**6),
    "negative index": spoil("faces", (5, 2), -1),
    "no faces": lambda mesh: replace(mesh, faces=mesh.faces[:0]),
    "three faces": lambda mesh: replace(mesh, faces=mesh.faces[:3]),
    "all faces degenerate": lambda mesh: replace(mesh, faces=mesh.faces[:, [0, 0, 1]]),
    "short normals": lambda mesh: replace(mesh, normals=mesh.normals[:-1]),
    "short colours": lambda mesh: replace(mesh, colors=np.zeros((1, 3), np.uint8)),
    "texture without uv": lambda mesh: replace(mesh, uv=None),
    "nan roughness": gloss(roughness=np.nan),
    "metallic beyond 1": gloss(metallic=1.01),
    "negative colour": gloss(base_color=(0.5, -0.1, 0.5)),
    "four colours": gloss(base_color=(0.5, 0.1, 0.5, 1.0)),
    "infinite scale": gloss(normal_scale=np.inf),
    "float map": gloss(metallic_roughness=np.full((4, 4, 3), np.nan)),
    "grey map": gloss(metallic_roughness=MAP[..., 0]),
    "map with alpha": gloss(normal_texture=np.concatenate([MAP, MAP[..., :1]], 2)),
    "empty map": gloss(normal_texture=MAP[:0]),
    "maps without a texture": lambda mesh: replace(mesh, texture=None, material=Material(normal_texture=MAP)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mesh_that_no_viewer_shows_is_bad_output(block: TexturedMesh, name: str) -> None:
    with pytest.raises(EngineError) as caught:
        publishable(BAD[name](block))
    assert caught.value.reason == "bad_output"
    assert caught.value.suggestion


def test_it_is_idempotent(block: TexturedMesh) -> None:
    once = publishable(block)
    twice = publishable(once)
    for name in ("vertices", "faces", "uv"):
        np.testing.assert_array_equal(getattr(once, name), getattr(twice, name))


def test_degenerate_faces_and_lone_vertices_go_and_the_rest_stays(block: TexturedMesh) -> None:
    n = len(block.vertices)
    extra = np.array([[0, 0, 1], [0, 1, 0]], np.int32)
    lone = {
        name: np.concatenate([getattr(block, name), getattr(block, name)[:2]])
        for name in ("vertices", "normals", "uv", "tangents")
    }
    mesh = publishable(replace(block, faces=np.concatenate([extra, block.faces]), **lone))
    assert len(mesh.vertices) == n
    np.testing.assert_array_equal(mesh.faces, block.faces)


def test_normals_are_unit_and_tangents_orthogonal_whatever_came_in(block: TexturedMesh) -> None:
    normals, tangents = block.normals * 3.0, block.tangents.copy()
    normals[4], normals[9] = 0.0, np.nan
    tangents[:3, :3], tangents[7] = block.normals[:3], np.nan
    tangents[5, 3] = -0.2
    mesh = publishable(replace(block, normals=normals, tangents=tangents))
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(mesh.tangents[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((mesh.normals * mesh.tangents[:, :3]).sum(1), 0, atol=1e-6)
    assert mesh.tangents[5, 3] == -1
    assert set(mesh.tangents[:, 3]) <= {-1.0, 1.0}


def test_welding_undoes_the_split_along_seams(block: TexturedMesh) -> None:
    mesh = publishable(block)
    welded = weld_positions(mesh)
    np.testing.assert_array_equal(welded.vertices[welded.corner], mesh.vertices)
    assert len(np.unique(welded.vertices, axis=0)) == len(welded.vertices) == 6 * 5**2 + 2
    np.testing.assert_allclose(welded.average(mesh.vertices), welded.vertices, atol=1e-12)
