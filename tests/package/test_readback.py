"""Meshes of other tools: read in our convention, or refused with a code; nothing outside their folder is touched."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meshwright.errors import FileTooLarge, InputError, InvalidFileFormat, MeshwrightError
from meshwright.geometry.mesh import TexturedMesh, face_area_vectors
from meshwright.package import readback
from meshwright.package.container import pack_glb, unpack_glb
from meshwright.package.glb import write_glb
from meshwright.package.merge import Part, Skin, merge_parts
from meshwright.package.pixels import sample_texture
from meshwright.package.prepare import publishable
from meshwright.package.readback import load_mesh

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
PLY = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
PLY_FACES = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"


def gltf(**change: object) -> str:
    document = {"asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "scene": 0, "nodes": [{"mesh": 0}]}
    return json.dumps(document | {"meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}]} | change)


BROKEN = {
    "empty.obj": ("", "mesh_empty"),
    "no_faces.obj": (TRIANGLE, "mesh_empty"),
    "index.obj": (TRIANGLE + "f 1 2 9\n", None),
    "words.obj": ("v a b c\nf 1 2 3\n", None),
    "nan.obj": ("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "mesh_not_finite"),
    "inf.ply": (PLY + PLY_FACES + "inf 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "mesh_not_finite"),
    "index.ply": (PLY + PLY_FACES + "0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "mesh_bad_indices"),
    "negative.ply": (PLY + PLY_FACES + "0 0 0\n1 0 0\n0 1 0\n3 0 1 -2\n", "mesh_bad_indices"),
    "points.ply": (PLY + "end_header\n0 0 0\n1 0 0\n0 1 0\n", None),
    "cut.ply": (PLY + PLY_FACES + "0 0 0\n1 0", None),
    "astronomic.ply": (PLY + PLY_FACES + "1e30 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "mesh_not_finite"),
    "flat.obj": ("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "mesh_degenerate"),
    "text.glb": ("solid nonsense", "glb_corrupt"),
    "text.stl": ("this is no mesh", None),
    "huge.gltf": (gltf(accessors=[{"count": 10**12, "componentType": 5126, "type": "VEC3"}]), "mesh_too_large"),
    "nothing.gltf": ("{}", None),
    "deep.gltf": ("[" * 100_000, "mesh_unreadable"),
    "meshopt.gltf": (gltf(extensionsRequired=["EXT_meshopt_compression"]), "gltf_unsupported"),
    "quantised.gltf": (gltf(extensionsRequired=["KHR_mesh_quantization"]), "gltf_unsupported"),
    "buffer.gltf": (
        gltf(
            buffers=[{"uri": "../../secret.bin", "byteLength": 36}],
            bufferViews=[{"buffer": 0, "byteLength": 36}],
            accessors=[{"bufferView": 0, "count": 3, "componentType": 5126, "type": "VEC3"}],
        ),
        "reference_outside",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_mesh_has_a_code_and_a_remedy(tmp_path: Path, name: str) -> None:
    content, reason = BROKEN[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(MeshwrightError) as caught:
        load_mesh(tmp_path / name)
    assert caught.value.code in ("INVALID_FILE_FORMAT", "FILE_TOO_LARGE")
    assert caught.value.reason == reason or reason is None
    assert name in caught.value.message
    assert caught.value.suggestion


def test_a_binary_stl_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "liar.stl").write_bytes(bytes(80) + struct.pack("<I", 2_000_000_000) + bytes(500))
    with pytest.raises(InvalidFileFormat):
        load_mesh(tmp_path / "liar.stl")


def test_a_mesh_over_the_limit_is_refused(tmp_path: Path, block: TexturedMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mesh.glb").write_bytes(write_glb(publishable(block)))
    monkeypatch.setattr(readback, "MAX_FACES", 100)
    with pytest.raises(FileTooLarge, match="faces"):
        load_mesh(tmp_path / "mesh.glb")
    monkeypatch.setattr(readback, "MAX_BYTES", 100)
    with pytest.raises(FileTooLarge, match="GiB"):
        load_mesh(tmp_path / "mesh.glb")


@pytest.mark.parametrize(("name", "reason"), [("no.glb", "mesh_not_found"), ("mesh.fbx", "mesh_format_unknown")])
def test_what_is_not_there_or_not_known_is_the_input_s_fault(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "mesh.fbx").write_bytes(b"Kaydara")
    with pytest.raises(InputError) as caught:
        load_mesh(tmp_path / name)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "C:\\secret.png", "file:///etc/passwd", "http://a/b.png", "out/secret.png"]
)
def test_a_reference_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "a.mtl").write_text(f"newmtl m\nmap_Kd {name}\n")
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{TRIANGLE}vt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n")
    with pytest.raises(InvalidFileFormat) as caught:
        load_mesh(folder / "a.obj")
    assert caught.value.reason == "reference_outside"


def test_a_missing_texture_is_said_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd wood.png\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{TRIANGLE}vt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n")
    with pytest.raises(InvalidFileFormat, match=r"wood\.png") as caught:
        load_mesh(tmp_path / "a.obj")
    assert caught.value.reason == "reference_missing"


def test_gltf_with_its_buffer_and_image_beside_it_is_the_glb(tmp_path: Path, block: TexturedMesh) -> None:
    data = write_glb(publishable(block))
    (tmp_path / "mesh.glb").write_bytes(data)
    document, binary = unpack_glb(data)
    image = document["images"][0]
    view = document["bufferViews"][image.pop("bufferView")]
    (tmp_path / "my texture.png").write_bytes(binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])
    (tmp_path / "data.bin").write_bytes(binary)
    image["uri"], document["buffers"][0]["uri"] = "my%20texture.png", "data.bin"
    (tmp_path / "mesh.gltf").write_text(json.dumps(document))
    one, other = load_mesh(tmp_path / "mesh.glb"), load_mesh(tmp_path / "mesh.gltf")
    for name in ("vertices", "faces", "uv", "texture"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_node_transforms_apply_and_a_mirror_keeps_the_outside_out(tmp_path: Path, block: TexturedMesh) -> None:
    document, binary = unpack_glb(write_glb(publishable(block)))
    document["nodes"] = [{"mesh": 0, "scale": [-2, 2, 2], "translation": [5, 0, 0]}]
    (tmp_path / "mesh.glb").write_bytes(pack_glb(document, binary))
    mesh = load_mesh(tmp_path / "mesh.glb")
    np.testing.assert_allclose(mesh.vertices, block.vertices * (-2, 2, 2) + (5, 0, 0), atol=1e-5)
    area = face_area_vectors(mesh.vertices, mesh.faces)
    assert (area * (mesh.vertices[mesh.faces[:, 0]] - (5, 0, 0))).sum() > 0
    assert ((area * mesh.normals[mesh.faces[:, 0]]).sum(1) > 0).mean() > 0.95


def test_factors_multiply_the_texture_in_linear_light(tmp_path: Path, block: TexturedMesh) -> None:
    document, binary = unpack_glb(write_glb(publishable(block)))
    document["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = [1.0, 0.5, 1.0, 1.0]
    (tmp_path / "mesh.glb").write_bytes(pack_glb(document, binary))
    texture = load_mesh(tmp_path / "mesh.glb").texture
    np.testing.assert_array_equal(texture[..., 0], block.texture[..., 0])
    bright = block.texture[..., 1] == 200
    assert np.abs(texture[..., 1][bright].astype(int) - 147).max() <= 2  # half the light of sRGB 200


def quad(offset: float, skin: Skin | None, colors: np.ndarray | None = None) -> Part:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float) + np.array([offset, 0, 0])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Part(vertices, faces, np.tile([0.0, 0.0, 1.0], (4, 1)), skin, colors)


CORNERS = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])


def color_at(mesh: TexturedMesh, x: float, y: float) -> np.ndarray:
    """The colour of the merged mesh at a point of the plane, by the face that holds it."""
    for face in mesh.faces:
        a, b, c = mesh.vertices[face, :2]
        s, t = np.linalg.solve(np.stack([b - a, c - a], 1), np.array([x, y]) - a)
        if min(s, t, 1 - s - t) >= -1e-9:
            uv = mesh.uv[face].T @ [1 - s - t, s, t]
            assert uv.min() >= 0
            assert uv.max() <= 1
            return sample_texture(mesh.texture, uv[None])[0].astype(int)
    raise AssertionError("outside the mesh")


def test_several_textures_become_one_and_every_place_keeps_its_colour() -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (40, 1, 3))
    red = np.full((16, 24, 3), (200, 10, 20), np.uint8)
    shades = np.array([[0, 0, 0], [180, 0, 0], [180, 0, 180], [0, 0, 180]], np.uint8)
    parts = [quad(0, Skin(CORNERS, ramp)), quad(2, Skin(CORNERS, red)), quad(4, None), quad(6, None, shades)]
    mesh = merge_parts(parts, grey=204)
    assert len(mesh.faces) == 8
    for x in (0.1, 0.5, 0.9):
        assert np.abs(color_at(mesh, x, 0.3) - (240 * x - 2)).max() <= 2
        assert color_at(mesh, 2 + x, 0.6).tolist() == [200, 10, 20]
        assert color_at(mesh, 4 + x, 0.6).tolist() == [204, 204, 204]
        assert np.abs(color_at(mesh, 6 + x, 0.2) - (180 * x, 0, 36)).max() <= 2


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-1, 1)])
@pytest.mark.parametrize("repeats", [1.0, 1.5, 3.0])
def test_tiled_texture_coordinates_show_what_tiling_shows(shift: tuple[int, int], repeats: float) -> None:
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8)[None, :, None], (8, 1, 3))
    mesh = merge_parts([quad(0, Skin(CORNERS * repeats + shift, ramp))], grey=204)
    for x in (0.13, 0.45, 0.77):
        expected = (x * repeats % 1) * 250 - 2.5
        if 4 < expected < 240:
            assert np.abs(color_at(mesh, x, 0.4) - expected).max() <= 3


def test_shared_textures_are_packed_once() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    mesh = merge_parts([quad(0, Skin(CORNERS, texture)), quad(2, Skin(CORNERS, texture.copy()))], grey=0)
    np.testing.assert_array_equal(mesh.texture, texture)


def test_textures_that_make_too_large_an_atlas_are_refused() -> None:
    texture = np.zeros((9000, 10, 3), np.uint8)
    with pytest.raises(FileTooLarge):
        merge_parts([quad(0, Skin(CORNERS * 3, texture))], grey=0)


def test_face_colours_of_a_ply_are_kept(tmp_path: Path) -> None:
    head = PLY + PLY_FACES.replace(
        "end_header", "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header"
    )
    (tmp_path / "mesh.ply").write_text(head + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2 10 20 30\n")
    assert load_mesh(tmp_path / "mesh.ply").colors.tolist() == [[10, 20, 30]] * 3


def test_an_obj_without_material_is_read_as_bare_geometry(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(TRIANGLE + "v 0 0 1\nf 1 2 3\nf 1 4 2\n")
    mesh = load_mesh(tmp_path / "a.obj")
    assert mesh.texture is None
    assert mesh.colors is None
    assert mesh.faces.shape == (2, 3)


def test_reading_never_writes_and_equals_itself(tmp_path: Path, block: TexturedMesh) -> None:
    (tmp_path / "mesh.glb").write_bytes(write_glb(publishable(replace(block, tangents=None))))
    one, other = load_mesh(tmp_path / "mesh.glb"), load_mesh(tmp_path / "mesh.glb")
    np.testing.assert_array_equal(one.vertices, other.vertices)
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.glb"]
