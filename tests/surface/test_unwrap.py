"""Laws of the atlas: one-to-one, unmirrored, uniform, deterministic."""

from __future__ import annotations

import numpy as np
import pytest

from meshwright.geometry.mesh import Mesh, face_area_vectors
from meshwright.surface.flatten import flat_areas
from meshwright.surface.pack import PADDING
from meshwright.surface.texels import rasterize_atlas
from meshwright.surface.unwrap import unwrap
from surface.colored_sphere import sphere

SIZE = 512


def torus(rings: int = 48, sides: int = 24) -> Mesh:
    import trimesh

    ring = trimesh.creation.torus(0.4, 0.15, rings, sides)
    return Mesh(np.asarray(ring.vertices, float), np.asarray(ring.faces, np.int32))


def bumpy(seed: int = 0) -> Mesh:
    """A sphere with strong noise: many turned faces, charts that fold when flattened carelessly."""
    ball, rng = sphere(3), np.random.default_rng(seed)
    return Mesh(ball.vertices * (1 + 0.06 * rng.standard_normal(len(ball.vertices)))[:, None], ball.faces)


def helix() -> Mesh:
    """A ribbon that winds twice over itself: seen from above it covers the same place twice."""
    angle = np.linspace(0, 4 * np.pi, 161)
    spine = np.stack([np.cos(angle), 0.03 * angle, np.sin(angle)], 1)
    inner, outer = spine * [0.5, 1, 0.5], spine
    vertices = np.concatenate([inner, outer])
    n = len(angle)
    i = np.arange(n - 1)
    faces = np.concatenate([np.stack([i, i + 1, i + n], 1), np.stack([i + 1, i + n + 1, i + n], 1)])
    return Mesh(vertices, faces.astype(np.int32))


MESHES = {"sphere": lambda: sphere(3), "torus": torus, "bumpy": bumpy, "helix": helix}


@pytest.fixture(scope="module", params=MESHES)
def unwrapped(request):
    mesh = MESHES[request.param]()
    return request.param, mesh, unwrap(mesh, SIZE)


def test_no_texel_belongs_to_two_faces(unwrapped):
    _, _, atlas = unwrapped
    found = rasterize_atlas(atlas.uv_texels, atlas.faces, SIZE)
    assert not found.folded.any()


def test_every_face_has_area_and_none_is_mirrored(unwrapped):
    _, _, atlas = unwrapped
    assert (-flat_areas(atlas.uv_texels, atlas.faces) > 0).all()  # v points down


def test_split_vertices_are_the_meshs_own(unwrapped):
    _, mesh, atlas = unwrapped
    assert np.array_equal(atlas.vertex[atlas.faces], mesh.faces)


def test_uv_stays_inside_the_texture(unwrapped):
    _, _, atlas = unwrapped
    assert atlas.uv.min() > 0
    assert atlas.uv.max() < 1


def test_charts_keep_their_distance(unwrapped):
    """Texels inside two charts are at least PADDING - 1 apart (centres lie up to half a texel inside)."""
    from scipy.ndimage import distance_transform_edt

    _, _, atlas = unwrapped
    chart = atlas.texels.image(np.where(atlas.texels.inside, atlas.chart[atlas.texels.face] + 1, 0).astype(np.int32))
    for number in np.unique(chart)[1:][:12]:
        others = (chart > 0) & (chart != number)
        if others.any():
            assert distance_transform_edt(~others)[chart == number].min() >= PADDING - 1


def test_texel_density_is_uniform():
    for mesh in (sphere(3), torus()):
        atlas = unwrap(mesh, SIZE)
        true = 0.5 * np.linalg.norm(face_area_vectors(mesh.vertices, mesh.faces), axis=1)
        density = np.sqrt(-flat_areas(atlas.uv_texels, atlas.faces) / true) / atlas.texels_per_unit
        assert np.quantile(density, 0.02) > 0.7
        assert np.quantile(density, 0.98) < 1.3


def test_the_texture_is_well_used():
    assert unwrap(sphere(4), 1024).utilization > 0.5


def test_the_same_mesh_gives_the_same_atlas():
    one, two = unwrap(bumpy(), SIZE), unwrap(bumpy(), SIZE)
    assert np.array_equal(one.uv_texels, two.uv_texels)
    assert np.array_equal(one.texels.index, two.texels.index)


def test_degenerate_faces_do_no_harm():
    ball = sphere(2)
    flat = np.array([[0, 0, 1], [0, 1, 1]], np.int32)
    atlas = unwrap(Mesh(ball.vertices, np.concatenate([ball.faces, flat])), SIZE)
    assert np.isfinite(atlas.uv_texels).all()


def slow_owner(corners: np.ndarray, size: int) -> np.ndarray:
    """Face that holds each texel centre, by the definition."""
    owner = np.full((size, size), -1)
    y, x = np.mgrid[:size, :size] + 0.5
    for f in range(len(corners) - 1, -1, -1):
        a, b, c = corners[f]
        total = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        u = ((c[0] - a[0]) * (a[1] - y) - (c[1] - a[1]) * (a[0] - x)) / total
        v = -((x - a[0]) * (b[1] - a[1]) - (y - a[1]) * (b[0] - a[0])) / total
        owner[(u >= 0) & (v >= 0) & (u + v <= 1)] = f
    return owner


def test_fast_rasteriser_agrees_with_the_definition():
    atlas = unwrap(sphere(1), 96)
    corners = atlas.uv_texels[atlas.faces]
    expected = slow_owner(corners, 96)
    found = rasterize_atlas(atlas.uv_texels, atlas.faces, 96)
    owner = found.image(np.where(found.inside, found.face, -1), -1)
    assert (owner != expected).mean() < 1e-3  # texels exactly on an edge may go either way
    rebuilt = np.einsum("tk,tkc->tc", found.barycentric, corners[found.face])
    centre = np.stack([found.index % 96, found.index // 96], 1) + 0.5
    assert np.abs(rebuilt - centre)[found.inside].max() < 1e-3
    assert np.linalg.norm(rebuilt - centre, axis=1).max() < 1.51
