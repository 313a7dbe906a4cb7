"""GLB: what is written is what is read, by us and by trimesh; equal meshes give equal bytes; damage has a code."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.errors import InvalidFileFormat
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.container import pack_glb, unpack_glb
from meshwright.package.glb import Frame, GlbOptions, write_glb
from meshwright.package.glb_read import read_glb
from meshwright.package.prepare import publishable


@pytest.fixture(scope="module")
def ready(block: TexturedMesh) -> TexturedMesh:
    return publishable(block)


@pytest.fixture(scope="module")
def data(ready: TexturedMesh) -> bytes:
    return write_glb(ready)


def test_round_trip_is_exact(ready: TexturedMesh, data: bytes) -> None:
    again = read_glb(data)
    for name in ("vertices", "faces", "normals", "tangents", "uv", "texture"):
        np.testing.assert_array_equal(getattr(again, name), getattr(ready, name), err_msg=name)


def test_equal_meshes_give_equal_bytes(block: TexturedMesh, data: bytes) -> None:
    assert write_glb(publishable(block)) == data


def test_an_independent_reader_sees_the_same_colour_at_every_vertex(ready: TexturedMesh, data: bytes) -> None:
    """trimesh's uv start at the bottom left, so a texture that is written upside down fails here."""
    import trimesh

    mesh = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False).dump()[0]
    np.testing.assert_allclose(mesh.vertices, ready.vertices, atol=1e-7)
    np.testing.assert_array_equal(mesh.faces, ready.faces)
    image = np.asarray(mesh.visual.material.baseColorTexture)
    column = (mesh.visual.uv[:, 0] * image.shape[1]).astype(int)
    row = ((1 - mesh.visual.uv[:, 1]) * image.shape[0]).astype(int)
    own = ready.texture[(ready.uv[:, 1] * image.shape[0]).astype(int), (ready.uv[:, 0] * image.shape[1]).astype(int)]
    assert np.abs(image[row, column].astype(int) - own).max() <= 8  # one texel of the ramp
    assert image[row, column, 2].tolist() == own[:, 2].tolist()  # the side's own hue, exactly


def test_views_are_aligned_targeted_and_bounded(data: bytes, ready: TexturedMesh) -> None:
    document, binary = unpack_glb(data)
    views, accessors = document["bufferViews"], document["accessors"]
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    assert len(data) % 4 == 0
    assert document["buffers"] == [{"byteLength": len(binary)}]
    assert all(view["byteOffset"] % 4 == 0 for view in views)
    assert {views[accessors[i]["bufferView"]]["target"] for i in attributes.values()} == {34962}
    assert views[accessors[document["meshes"][0]["primitives"][0]["indices"]]["bufferView"]]["target"] == 34963
    assert "target" not in views[document["images"][0]["bufferView"]]
    assert accessors[attributes["POSITION"]]["min"] == ready.vertices.min(0).tolist()


@pytest.mark.parametrize(("count", "kind"), [(65535, 5123), (65536, 5125)])
def test_indices_are_as_narrow_as_the_format_allows(count: int, kind: int) -> None:
    """65535 is the primitive restart value, so 65536 vertices need 32 bits."""
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, count - 1]], np.int32)
    vertices = np.random.default_rng(0).normal(size=(count, 3))
    document, _ = unpack_glb(write_glb(TexturedMesh(vertices, faces, np.tile([0.0, 0.0, 1.0], (count, 1)))))
    assert document["accessors"][-1]["componentType"] == kind


def test_vertex_colours_are_linear_in_the_file_and_exact_after_the_round_trip(painted: TexturedMesh) -> None:
    data = write_glb(publishable(painted))
    document, binary = unpack_glb(data)
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    view = document["bufferViews"][accessor["bufferView"]]
    linear = np.frombuffer(binary, "<f4", accessor["count"] * 3, view["byteOffset"]).reshape(-1, 3)
    assert linear[188, 0] == pytest.approx(0.50289, abs=1e-4)  # sRGB 188 is half the light
    np.testing.assert_array_equal(read_glb(data).colors, publishable(painted).colors)


def test_an_object_far_from_the_origin_keeps_its_detail(block: TexturedMesh) -> None:
    far = np.array([5.0e5, -2.0e6, 30.0])
    moved = publishable(replace(block, vertices=block.vertices + far))
    assert len(moved.faces) == len(block.faces)
    np.testing.assert_allclose(read_glb(write_glb(moved)).vertices - far, block.vertices, atol=1e-6)


def test_options_and_frame_are_in_the_document(ready: TexturedMesh) -> None:
    data = write_glb(
        ready, frame=Frame("given", "metric"), options=GlbOptions(image="jpeg", unlit=True, tangents=False)
    )
    document, _ = unpack_glb(data)
    assert document["asset"]["extras"] == {"frame": "given", "scale": "metric", "unit": "metre"}
    assert document["extensionsUsed"] == ["KHR_materials_unlit"]
    assert document["images"][0]["mimeType"] == "image/jpeg"
    assert "TANGENT" not in document["meshes"][0]["primitives"][0]["attributes"]
    assert np.abs(read_glb(data).texture.astype(int) - ready.texture).mean() < 4


@pytest.mark.parametrize(
    "break_it",
    [
        lambda d: d["accessors"][0].update(count=10**9),
        lambda d: d["accessors"][0].update(max=[9.0, 9.0, 9.0]),
        lambda d: d["bufferViews"][0].update(byteLength=10**9),
        lambda d: d["bufferViews"][1].update(byteOffset=2),
        lambda d: d["meshes"][0]["primitives"][0].update(indices=99),
        lambda d: d["images"][0].update(bufferView=0),
        lambda d: d["materials"].clear(),
        lambda d: d.pop("accessors"),
        lambda d: d["meshes"][0]["primitives"].append({}),
        lambda d: d["nodes"].__setitem__(0, 3),
    ],
)
def test_a_broken_document_has_a_code(data: bytes, break_it) -> None:
    document, binary = unpack_glb(data)
    break_it(document)
    with pytest.raises(InvalidFileFormat):
        read_glb(pack_glb(document, binary))


@given(st.data())
def test_damage_is_an_error_with_a_code_or_another_mesh_never_a_crash(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    damaged = bytearray(data[: draw.draw(st.sampled_from([len(data), at]))])
    if at < len(damaged):
        damaged[at] ^= draw.draw(st.integers(1, 255))
    with contextlib.suppress(InvalidFileFormat):
        read_glb(bytes(damaged))
