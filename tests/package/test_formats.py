"""OBJ, PLY, STL, USDZ and Draco: every file holds the same surface, upright, in the same bytes each time."""

from __future__ import annotations

import io
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshwright.errors import InputError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.facts import facts_of
from meshwright.package.obj import write_obj
from meshwright.package.ply import vertex_colors, write_ply
from meshwright.package.prepare import publishable
from meshwright.package.readback import load_mesh
from meshwright.package.usdz import write_usdz
from meshwright.package.writer import check_formats, mesh_files

ALL = ("glb", "obj", "ply", "stl", "usdz", "draco")
MESHES = ["mesh.glb", "mesh.obj", "mesh.ply", "mesh.stl", "mesh.draco.glb"]


@pytest.fixture(scope="module")
def folder(block: TexturedMesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for name, data in mesh_files(block, formats=ALL).items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", MESHES)
def test_every_format_holds_the_same_surface(folder: Path, block: TexturedMesh, name: str) -> None:
    facts = facts_of(publishable(block))
    assert facts.volume > 0.1  # outward winding
    assert facts.differences(facts_of(load_mesh(folder / name)), quantised="draco" in name) == []


def test_obj_has_the_uv_and_the_normals_of_the_glb_at_each_corner(folder: Path) -> None:
    one, other = load_mesh(folder / "mesh.glb"), load_mesh(folder / "mesh.obj")
    np.testing.assert_allclose(other.vertices[other.faces], one.vertices[one.faces], atol=1e-6)
    np.testing.assert_allclose(other.uv[other.faces], one.uv[one.faces], atol=1e-6)
    np.testing.assert_allclose(other.normals[other.faces], one.normals[one.faces], atol=2e-6)
    np.testing.assert_array_equal(one.texture, other.texture)


def test_obj_flips_v_and_names_the_files_of_the_package(folder: Path, block: TexturedMesh) -> None:
    text = (folder / "mesh.obj").read_text()
    rows = [line.split() for line in text.splitlines()]
    vt = np.array([row[1:] for row in rows if row and row[0] == "vt"], float)
    np.testing.assert_allclose(vt, np.stack([block.uv[:, 0], 1 - block.uv[:, 1]], 1), atol=1e-6)
    assert "mtllib mesh.mtl" in text
    assert "map_Kd texture.png" in (folder / "mesh.mtl").read_text()
    assert "\r" not in text


def test_obj_and_ply_are_watertight_as_they_stand(folder: Path) -> None:
    """Every edge is used once in each direction, without merging anything: seams exist only in the uv."""
    ply = load_mesh(folder / "mesh.ply").faces
    rows = [line.split()[1:] for line in (folder / "mesh.obj").read_text().splitlines() if line.startswith("f ")]
    obj = np.array([[int(corner.split("/")[0]) for corner in row] for row in rows])
    for faces in (ply, obj):
        edges = Counter(map(tuple, np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])))
        assert set(edges.values()) == {1}
        assert all((b, a) in edges for a, b in edges)


@pytest.mark.parametrize("size", [1.0, 0.003, 2.0e-5, 800.0])
def test_obj_keeps_a_millionth_of_the_object_at_any_size(block: TexturedMesh, tmp_path: Path, size: float) -> None:
    mesh = publishable(replace(block, vertices=block.vertices * size))
    (tmp_path / "mesh.obj").write_bytes(write_obj(replace(mesh, texture=None)))
    assert facts_of(mesh).differences(facts_of(load_mesh(tmp_path / "mesh.obj"))) == []


def test_ply_has_the_texture_s_colours(folder: Path, block: TexturedMesh) -> None:
    mesh = publishable(block)
    expected = dict(zip(map(tuple, np.round(mesh.vertices, 5) + 0.0), vertex_colors(mesh).astype(int), strict=True))
    ply = load_mesh(folder / "mesh.ply")
    inner = [k for k, v in Counter(map(tuple, np.round(mesh.vertices, 5) + 0.0)).items() if v == 1]  # off the seams
    found = dict(zip(map(tuple, np.round(ply.vertices, 5) + 0.0), ply.colors.astype(int), strict=True))
    assert len(inner) > 50
    for position in inner:
        np.testing.assert_array_equal(found[position], expected[position])


def test_ply_marks_what_no_view_saw(block: TexturedMesh) -> None:
    invented = block.vertices[:, 1] < 0
    data = write_ply(publishable(replace(block, invented=invented)))
    head, body = data.split(b"end_header\n", 1)
    names = [line.split()[1:] for line in head.decode().splitlines() if line.startswith("property")]
    kinds = {"float": "<f4", "uchar": "u1"}
    table = np.frombuffer(
        body, [(n, kinds[k]) for k, *r, n in names[:10] for n in [n]], int(head.split(b"vertex ")[1].split()[0])
    )
    np.testing.assert_array_equal(table["invented"] == 1, table["y"] < 0)


def test_vertex_colours_survive_every_format_that_has_them(painted: TexturedMesh, tmp_path: Path) -> None:
    mesh = publishable(painted)
    for name, data in mesh_files(painted, formats=("glb", "obj", "ply")).items():
        (tmp_path / name).write_bytes(data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mesh.glb", "mesh.obj", "mesh.ply"]
    np.testing.assert_array_equal(load_mesh(tmp_path / "mesh.glb").colors, mesh.colors)
    seams = Counter(map(tuple, np.round(mesh.vertices, 5) + 0.0))
    own = dict(zip(map(tuple, np.round(mesh.vertices, 5) + 0.0), mesh.colors.astype(int), strict=True))
    for name in ("mesh.obj", "mesh.ply"):
        again = load_mesh(tmp_path / name)
        for position, color in zip(
            map(tuple, np.round(again.vertices, 5) + 0.0), again.colors.astype(int), strict=True
        ):
            if seams[position] == 1:
                assert np.abs(color - own[position]).max() <= 1, name


def test_equal_meshes_give_equal_bytes(block: TexturedMesh) -> None:
    assert mesh_files(block, formats=ALL) == mesh_files(block, formats=reversed(ALL))


def test_usdz_is_a_stored_zip_with_its_data_at_multiples_of_64(block: TexturedMesh) -> None:
    data = write_usdz(publishable(block))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == ["mesh.usda", "texture.png"]
    assert all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    for entry in entries:
        at = entry.header_offset
        begin = (
            at
            + 30
            + int.from_bytes(data[at + 26 : at + 28], "little")
            + int.from_bytes(data[at + 28 : at + 30], "little")
        )
        assert begin % 64 == 0
        assert begin + entry.file_size <= len(data)


def test_usdz_opens_in_pixar_s_library(folder: Path, block: TexturedMesh) -> None:
    usd = pytest.importorskip("pxr.Usd")
    from pxr import UsdGeom, UsdShade

    stage = usd.Stage.Open(str(folder / "mesh.usdz"))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/object/mesh"))
    ready = publishable(block)
    np.testing.assert_allclose(np.array(mesh.GetPointsAttr().Get()), ready.vertices, atol=1e-6)
    np.testing.assert_array_equal(np.array(mesh.GetFaceVertexIndicesAttr().Get()), ready.faces.ravel())
    st = np.array(UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").Get())
    np.testing.assert_allclose(st, np.stack([ready.uv[:, 0], 1 - ready.uv[:, 1]], 1), atol=1e-6)
    material, _ = UsdShade.MaterialBindingAPI(mesh.GetPrim()).ComputeBoundMaterial()
    assert material.GetPath() == "/object/material"


def test_draco_is_smaller_and_textured(folder: Path, block: TexturedMesh) -> None:
    mesh = load_mesh(folder / "mesh.draco.glb")
    assert mesh.texture is not None
    assert mesh.texture.shape == block.texture.shape
    assert (folder / "mesh.draco.glb").stat().st_size < (folder / "mesh.glb").stat().st_size


def test_without_the_extra_draco_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    with pytest.raises(InputError, match="DracoPy") as caught:
        check_formats(["glb", "draco"])
    assert caught.value.reason == "extra_missing"
    assert "pip install" in caught.value.suggestion


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="fbx") as caught:
        check_formats(["fbx"])
    assert "glb" in caught.value.suggestion
