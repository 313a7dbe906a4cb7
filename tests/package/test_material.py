"""Materials: what is written is what is read; a mesh without one gives the bytes that it always gave."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meshwright.errors import InvalidFileFormat
from meshwright.geometry.material import MATT, Material
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package.archive import pack_zip
from meshwright.package.container import pack_glb, unpack_glb
from meshwright.package.glb import GlbOptions, write_glb
from meshwright.package.glb_read import read_glb
from meshwright.package.manifest import Manifest
from meshwright.package.pixels import encode_image
from meshwright.package.prepare import publishable
from meshwright.package.readback import load_mesh
from meshwright.package.verify import verify
from meshwright.package.writer import EngineOutput, mesh_files, write_result

ALL = ("glb", "obj", "ply", "stl", "usdz", "draco")
MTL_FILES = {"map_Kd": "texture.png", "map_Pr": "roughness.png", "map_Pm": "metallic.png", "norm": "normal.png"}
FIELDS = ("base_color", "metallic", "roughness", "normal_scale", "metallic_roughness", "normal_texture")


def make_material(**change: object) -> Material:
    """Maps of two sizes, neither the texture's; normals that lean by up to 40 degrees."""
    rng = np.random.default_rng(4)
    shared = rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)
    normals = np.concatenate([rng.uniform(-0.6, 0.6, (16, 12, 2)), np.ones((16, 12, 1))], 2)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    maps = {"metallic_roughness": shared, "normal_texture": np.rint((normals + 1) * 127.5).astype(np.uint8)}
    return Material(**({"metallic": 0.75, "roughness": 0.4, "normal_scale": 0.6} | maps | change))


FACTORS = Material(metallic=0.25, roughness=0.1)
MATERIALS = {
    "all": make_material(),
    "coloured": make_material(base_color=(0.5, 1.0, 0.125)),
    "no normals": make_material(normal_texture=None, normal_scale=1.0),
    "normals only": make_material(metallic_roughness=None),
    "factors": FACTORS,
    "default of glTF": Material(),
}


def assert_same(one: Material | None, other: Material | None, fields: tuple[str, ...] = FIELDS) -> None:
    assert one is not None
    assert other is not None
    for name in fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def lit(mesh: TexturedMesh, **change: object) -> TexturedMesh:
    return replace(mesh, material=make_material(**change))


def written(mesh: TexturedMesh, folder: Path, formats: tuple[str, ...] = ("glb", "obj")) -> Path:
    for name, data in mesh_files(mesh, formats=formats).items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", MATERIALS)
def test_the_round_trip_through_glb_is_exact(block: TexturedMesh, name: str) -> None:
    mesh = publishable(replace(block, material=MATERIALS[name]))
    again = read_glb(write_glb(mesh))
    assert_same(again.material, MATERIALS[name])
    for field in ("vertices", "faces", "normals", "tangents", "uv", "texture"):
        np.testing.assert_array_equal(getattr(again, field), getattr(mesh, field), err_msg=field)


@pytest.mark.parametrize("name", MATERIALS)
def test_the_general_reader_gives_the_same_material_with_the_colour_multiplied_in(
    block: TexturedMesh, tmp_path: Path, name: str
) -> None:
    again = load_mesh(written(replace(block, material=MATERIALS[name]), tmp_path, ("glb",)) / "mesh.glb")
    assert_same(again.material, replace(MATERIALS[name], base_color=(1.0, 1.0, 1.0)))
    if MATERIALS[name].base_color == (1.0, 1.0, 1.0):
        np.testing.assert_array_equal(again.texture, block.texture)


@pytest.mark.parametrize("colors", [True, False])
def test_factors_round_trip_without_a_texture(painted: TexturedMesh, tmp_path: Path, colors: bool) -> None:
    mesh = replace(painted, material=FACTORS, colors=painted.colors if colors else None)
    again = read_glb(write_glb(publishable(mesh)))
    assert_same(again.material, FACTORS)
    assert (again.colors is not None) == colors
    assert_same(load_mesh(written(mesh, tmp_path) / "mesh.glb").material, FACTORS)
    tinted = replace(mesh, material=replace(FACTORS, base_color=(0.5, 0.25, 0.3)))
    np.testing.assert_allclose(read_glb(write_glb(publishable(tinted))).material.base_color, (0.5, 0.25, 0.3))


@pytest.mark.parametrize("options", [GlbOptions(), GlbOptions(unlit=True)])
def test_a_mesh_without_material_is_written_as_a_matt_one_and_read_without(
    block: TexturedMesh, options: GlbOptions
) -> None:
    """The document is spelt out here, so that no byte of it moves unseen."""
    data = write_glb(publishable(block), options=options)
    unlit = {"extensions": {"KHR_materials_unlit": {}}} if options.unlit else {}
    surface = {"metallicFactor": 0.0, "roughnessFactor": 1.0, "baseColorTexture": {"index": 0}}
    document, _ = unpack_glb(data)
    entry = {"name": "material", "pbrMetallicRoughness": surface, "doubleSided": False, **unlit}
    assert repr(document["materials"]) == repr([entry])
    assert repr(document["textures"]) == repr([{"sampler": 0, "source": 0}])
    assert [list(image) for image in document["images"]] == [["bufferView", "mimeType", "name"]]
    keys = "asset scene scenes nodes meshes materials extensionsUsed textures samplers images accessors bufferViews"
    assert list(document) == [key for key in [*keys.split(), "buffers"] if unlit or key != "extensionsUsed"]
    assert read_glb(data).material is None
    if not options.unlit:
        assert write_glb(publishable(replace(block, material=MATT))) == data


def test_a_material_is_lit_and_its_normals_have_tangents(block: TexturedMesh) -> None:
    mesh = publishable(replace(lit(block), tangents=None))
    document, _ = unpack_glb(write_glb(mesh, options=GlbOptions(unlit=True, tangents=False)))
    assert "extensionsUsed" not in document
    assert document["materials"][0]["doubleSided"] is False
    assert "TANGENT" in document["meshes"][0]["primitives"][0]["attributes"]
    np.testing.assert_allclose((mesh.tangents[:, :3] * mesh.normals).sum(1), 0, atol=1e-6)
    given = publishable(block).tangents  # along u, as the computed ones are
    assert np.median((mesh.tangents[:, :3] * given[:, :3]).sum(1)) > 0.95
    assert set(mesh.tangents[:, 3]) == {1.0}


def test_trimesh_reads_the_same_factors_and_maps(block: TexturedMesh) -> None:
    import trimesh

    material = make_material(base_color=(1.0, 0.6, 0.2))
    data = write_glb(publishable(replace(block, material=material)))
    found = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False).dump()[0].visual.material
    assert (found.metallicFactor, found.roughnessFactor) == (0.75, 0.4)
    assert found.baseColorFactor.tolist() == [255, 153, 51, 255]
    np.testing.assert_array_equal(np.asarray(found.metallicRoughnessTexture), material.metallic_roughness)
    np.testing.assert_array_equal(np.asarray(found.normalTexture), material.normal_texture)
    np.testing.assert_array_equal(np.asarray(found.baseColorTexture), block.texture)


def test_the_mtl_names_files_that_are_there_and_they_hold_the_factors(block: TexturedMesh, tmp_path: Path) -> None:
    material = make_material()
    written(replace(block, material=material), tmp_path)
    lines = dict(line.split(maxsplit=1) for line in (tmp_path / "mesh.mtl").read_text().splitlines())
    assert {key: lines[key] for key in MTL_FILES} == MTL_FILES
    assert {"mesh.mtl", "mesh.obj", "mesh.glb", *MTL_FILES.values()} == {path.name for path in tmp_path.iterdir()}
    assert (lines["Pr"], lines["Pm"]) == ("1.000000", "1.000000")
    for name, channel, factor in (("roughness.png", 1, 0.4), ("metallic.png", 2, 0.75)):
        with Image.open(tmp_path / name) as image:
            assert image.mode == "L"
            assert np.abs(np.asarray(image) - material.metallic_roughness[..., channel] * factor).max() <= 0.5
    again = load_mesh(tmp_path / "mesh.obj").material
    assert (again.metallic, again.roughness, again.normal_scale) == (1.0, 1.0, 1.0)
    with Image.open(tmp_path / "normal.png") as image:
        normals = np.asarray(image) / 127.5 - 1
    np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1, atol=0.01)
    slope, given = normals[..., 0] / normals[..., 2], material.normal_texture / 127.5 - 1
    np.testing.assert_allclose(slope, 0.6 * given[..., 0] / given[..., 2], atol=0.015)


def test_the_obj_is_read_with_the_glb_s_material_where_no_factor_is_rounded(
    block: TexturedMesh, tmp_path: Path
) -> None:
    material = make_material(metallic=1.0, roughness=1.0, normal_scale=1.0)
    written(replace(block, material=material), tmp_path)
    material.metallic_roughness[..., 0] = 0  # R is not used
    assert_same(load_mesh(tmp_path / "mesh.obj").material, material)
    written(replace(block, material=FACTORS), tmp_path)
    assert_same(load_mesh(tmp_path / "mesh.obj").material, FACTORS)


def test_a_base_colour_factor_is_in_every_file_s_colours(block: TexturedMesh, tmp_path: Path) -> None:
    mesh = lit(block, base_color=(0.25, 1.0, 1.0))
    folder = written(mesh, tmp_path, ("glb", "obj", "ply", "usdz"))
    glb, obj = load_mesh(folder / "mesh.glb"), load_mesh(folder / "mesh.obj")
    assert np.abs(glb.texture.astype(int) - obj.texture).max() <= 1  # trimesh rounds the factor
    assert glb.texture[..., 0].mean() < 0.6 * block.texture[..., 0].mean()
    plain = load_mesh(written(block, tmp_path, ("ply",)) / "mesh.ply")
    assert load_mesh(folder / "mesh.ply").colors[:, 1].tolist() == plain.colors[:, 1].tolist()
    with zipfile.ZipFile(folder / "mesh.usdz") as archive:
        assert archive.read("texture.png") == (folder / "texture.png").read_bytes()


def test_usdz_feeds_the_surface_from_linear_maps(block: TexturedMesh, tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd")
    from pxr import UsdShade

    material = make_material(metallic=1.0, roughness=1.0, normal_scale=1.0)
    folder = written(replace(block, material=material), tmp_path, ("usdz",))
    stage = usd.Stage.Open(str(folder / "mesh.usdz"))
    surface = UsdShade.Shader(stage.GetPrimAtPath("/object/material/surface"))
    sources = {key: surface.GetInput(key).GetConnectedSources()[0][0] for key in ("roughness", "metallic", "normal")}
    assert {key: str(source.sourceName) for key, source in sources.items()} == {
        "roughness": "g",
        "metallic": "b",
        "normal": "rgb",
    }
    for source in sources.values():
        shader = UsdShade.Shader(source.source.GetPrim())
        assert shader.GetInput("sourceColorSpace").Get() == "raw"
    with zipfile.ZipFile(folder / "mesh.usdz") as archive:
        assert archive.read("metallic_roughness.png") == encode_image(material.metallic_roughness)
        assert archive.read("normal.png") == encode_image(material.normal_texture)


def test_draco_keeps_the_factors_and_the_maps(block: TexturedMesh, tmp_path: Path) -> None:
    again = load_mesh(written(lit(block), tmp_path, ("draco",)) / "mesh.draco.glb").material
    assert_same(again, make_material(), ("metallic", "roughness", "normal_scale"))
    for name in ("metallic_roughness", "normal_texture"):  # noise as JPEG
        assert getattr(again, name).shape == getattr(make_material(), name).shape


def test_equal_materials_give_equal_bytes(block: TexturedMesh) -> None:
    assert mesh_files(lit(block), formats=ALL) == mesh_files(lit(block), formats=reversed(ALL))


@pytest.mark.parametrize("formats", [("ply", "stl"), ("glb", "obj", "usdz", "draco")])
def test_ply_and_stl_alone_are_the_same_with_a_material(block: TexturedMesh, formats: tuple[str, ...]) -> None:
    same = formats == ("ply", "stl")
    one, other = mesh_files(block, formats=formats), mesh_files(lit(block), formats=formats)
    assert {name for name in one if one[name] == other[name]} == (set(one) if same else {"mesh.obj", "texture.png"})


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_result_with_a_material_lists_its_files_and_passes(
    block: TexturedMesh, manifest: Manifest, tmp_path: Path, kind: str
) -> None:
    seen: list[TexturedMesh] = []
    mesh = lit(block, base_color=(0.5, 0.5, 0.5))
    made = write_result(tmp_path / "out", {"fusion": EngineOutput(mesh)}, manifest, {"frames": []}, formats=ALL)
    listed = {entry.path for entry in made.outputs}
    assert {f"fusion/{name}" for name in ("mesh.mtl", *MTL_FILES.values())} <= listed
    path = tmp_path / "out"
    if kind == "zip":
        pack_zip(path, path := tmp_path / "results.zip")
    report = verify(path, rescore=lambda _folder, _engine, read: seen.append(read) or {})
    assert report.ok, report.failures
    np.testing.assert_array_equal(seen[0].texture, block.texture)  # what was scored, unlit: no factor multiplied in
    (tmp_path / "out" / "fusion" / "normal.png").unlink()
    assert not verify(tmp_path / "out").ok


def changed(data: bytes, change: Callable[[dict], object]) -> bytes:
    document, binary = unpack_glb(data)
    change(document)
    return pack_glb(document, binary)


BROKEN = {
    "too metallic": lambda m: m["pbrMetallicRoughness"].update(metallicFactor=1.5),
    "a word": lambda m: m["pbrMetallicRoughness"].update(roughnessFactor="shiny"),
    "a huge number": lambda m: m["normalTexture"].update(scale=10**400),
    "no such texture": lambda m: m["normalTexture"].update(index=9),
    "a list": lambda m: m.update(normalTexture=[1]),
    "a dark factor": lambda m: m["pbrMetallicRoughness"].update(baseColorFactor=[-1, 0, 0, 1]),
    "a short factor": lambda m: m["pbrMetallicRoughness"].update(baseColorFactor=[1, 1]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_material_of_ours_has_a_code_and_a_foreign_one_never_crashes(
    block: TexturedMesh, tmp_path: Path, name: str
) -> None:
    data = changed(write_glb(publishable(lit(block))), lambda document: BROKEN[name](document["materials"][0]))
    with pytest.raises(InvalidFileFormat) as caught:
        read_glb(data)
    assert caught.value.reason == "glb_corrupt"
    (tmp_path / "mesh.glb").write_bytes(data)
    with contextlib.suppress(InvalidFileFormat):
        assert load_mesh(tmp_path / "mesh.glb").material is None or "factor" in name


UNREAD = {
    "unlit": lambda m: m.update(extensions={"KHR_materials_unlit": {}}),
    "second uv set": lambda m: m["normalTexture"].update(texCoord=1),
    "transform": lambda m: m["normalTexture"].update(extensions={"KHR_texture_transform": {"scale": [2, 2]}}),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_foreign_material_that_cannot_be_kept_whole_is_left_out(
    block: TexturedMesh, tmp_path: Path, name: str
) -> None:
    data = changed(write_glb(publishable(lit(block))), lambda document: UNREAD[name](document["materials"][0]))
    (tmp_path / "mesh.glb").write_bytes(data)
    mesh = load_mesh(tmp_path / "mesh.glb")
    assert mesh.material is None
    np.testing.assert_array_equal(mesh.texture, block.texture)


def test_two_materials_make_none_unless_they_agree(block: TexturedMesh, tmp_path: Path) -> None:
    def twice(roughness: float) -> Callable[[dict], None]:
        def change(document: dict) -> None:
            (first,) = document["materials"]
            other = first | {"pbrMetallicRoughness": first["pbrMetallicRoughness"] | {"roughnessFactor": roughness}}
            document["materials"].append(other)
            document["meshes"][0]["primitives"] *= 2
            document["meshes"][0]["primitives"][1] = document["meshes"][0]["primitives"][0] | {"material": 1}

        return change

    data = write_glb(publishable(lit(block)))
    for roughness, expected in ((0.4, make_material()), (0.9, None)):
        (tmp_path / "mesh.glb").write_bytes(changed(data, twice(roughness)))
        mesh = load_mesh(tmp_path / "mesh.glb")
        assert len(mesh.faces) == 2 * len(block.faces)
        if expected is None:
            assert mesh.material is None
        else:
            assert_same(mesh.material, expected)


def test_tiled_maps_are_repeated_with_the_texture(block: TexturedMesh, tmp_path: Path) -> None:
    material = load_mesh(written(replace(lit(block), uv=block.uv * 2), tmp_path, ("glb",)) / "mesh.glb").material
    wanted = make_material()
    for name in ("metallic_roughness", "normal_texture"):
        pixels, tile = getattr(material, name), getattr(wanted, name)
        np.testing.assert_array_equal(
            pixels, np.tile(tile, [a // b for a, b in zip(pixels.shape, tile.shape, strict=True)])
        )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Pr 0.3\nPm 0.2", Material(metallic=0.2, roughness=0.3)),
        ("Pr 1\nPm 0", None),
        ("Ns 10", None),
        ("Pr 7", None),
        ("map_Pr -s 2 2 2 rough.png", None),
        ("map_Pr rough.png\nmap_Pm wide.png", None),
        (
            "norm -bm 0.5 wide.png",
            Material(metallic=0.0, normal_scale=0.5, normal_texture=np.full((4, 8, 3), 9, np.uint8)),
        ),
    ],
)
def test_mtl_of_other_tools(tmp_path: Path, lines: str, expected: Material | None) -> None:
    for name, width in (("rough.png", 4), ("wide.png", 8), ("wood.png", 4)):
        (tmp_path / name).write_bytes(encode_image(np.full((4, width, 3), 9, np.uint8)))
    (tmp_path / "a.mtl").write_text(f"newmtl m\nmap_Kd wood.png\n{lines}\n")
    triangle = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{triangle}usemtl m\nf 1/1 2/2 3/3\n")
    found = load_mesh(tmp_path / "a.obj").material
    if expected is None:
        assert found is None
    else:
        assert_same(found, expected)


@pytest.mark.parametrize(
    ("line", "reason"),
    [("norm no.png", "reference_missing"), ("map_Pr ../a.png", "reference_outside"), ("Pr x", "mesh_unreadable")],
)
def test_mtl_references_are_said_not_passed_over(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.mtl").write_text(f"newmtl m\nKd 1 1 1\n{line}\n")
    triangle = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{triangle}usemtl m\nf 1/1 2/2 3/3\n")
    with pytest.raises(InvalidFileFormat) as caught:
        load_mesh(tmp_path / "a.obj")
    assert caught.value.reason == reason
