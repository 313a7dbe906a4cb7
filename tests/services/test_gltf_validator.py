"""The Khronos validator finds no error, warning or hint in any GLB that we write."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshwright.geometry.material import Material
from meshwright.geometry.mesh import TexturedMesh, vertex_normals
from meshwright.package.draco import write_draco_glb
from meshwright.package.glb import Frame, GlbOptions, write_glb
from meshwright.package.prepare import publishable

HERE = Path(__file__).resolve().parent
SCRIPT = """
const fs = require("fs"), validator = require("gltf-validator");
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])), {maxIssues: 50})
  .then(report => console.log(JSON.stringify(report)));
"""
# Tangents are for those who add a normal map of their own; the validator remarks that a mesh without a material has
# none yet.
EXPECTED_INFOS = {"UNUSED_MESH_TANGENT"}
# It cannot look into Draco's payload, and says so; trimesh reads that file again in tests/package.
DRACO_INFOS = {"UNSUPPORTED_EXTENSION", "UNUSED_OBJECT"}

pytestmark = pytest.mark.services


def validate(data: bytes, folder: Path) -> dict:
    assert shutil.which("node"), "run make test-services, which installs Node"
    path = folder / "mesh.glb"
    path.write_bytes(data)
    done = subprocess.run(["node", "-e", SCRIPT, str(path)], cwd=HERE, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def sphere(count: int) -> TexturedMesh:
    theta, phi = np.meshgrid(np.linspace(0.05, 3.09, count), np.linspace(0, 6.283, count), indexing="ij")
    points = np.stack([np.sin(theta) * np.cos(phi), np.cos(theta), np.sin(theta) * np.sin(phi)], -1).reshape(-1, 3)
    uv = np.stack([phi / 6.283, theta / np.pi], -1).reshape(-1, 2)
    grid = np.arange(count * count).reshape(count, count)
    a, b, c, d = (g.ravel() for g in (grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    faces = np.concatenate([faces, [[0, 0, 1], [5, 5, 5]]])  # degenerate ones, which must not reach the file
    normals = vertex_normals(points, faces)
    tangents = np.concatenate([np.cross([0.0, 1.0, 0.0], normals), np.ones((len(points), 1))], 1)
    texture = np.random.default_rng(1).integers(0, 255, (64, 32, 3), dtype=np.uint8)
    return TexturedMesh(points, faces, normals, uv=uv, texture=texture, tangents=tangents)


SMALL = sphere(12)
COLORED = replace(
    SMALL, uv=None, texture=None, colors=np.random.default_rng(2).integers(0, 255, (144, 3), dtype=np.uint8)
)
PIXELS = np.random.default_rng(3).integers(0, 255, (16, 32, 3), dtype=np.uint8)
GLOSSY = Material(metallic_roughness=PIXELS, normal_texture=PIXELS, base_color=(0.5, 1, 0.9), normal_scale=0.7)
CASES = {
    "textured": (SMALL, GlbOptions()),
    "no tangents": (SMALL, GlbOptions(tangents=False)),
    "jpeg": (SMALL, GlbOptions(image="jpeg")),
    "unlit": (SMALL, GlbOptions(unlit=True)),
    "32-bit indices": (sphere(260), GlbOptions()),
    "far away": (replace(SMALL, vertices=SMALL.vertices + 1e6), GlbOptions()),
    "tiled": (replace(SMALL, uv=SMALL.uv * 3), GlbOptions()),
    "vertex colours": (COLORED, GlbOptions()),
    "bare": (replace(COLORED, colors=None), GlbOptions()),
    "material": (replace(SMALL, material=GLOSSY), GlbOptions()),
    "material, own tangents": (replace(SMALL, material=GLOSSY, tangents=None), GlbOptions(image="jpeg")),
    "material, unlit": (replace(SMALL, material=GLOSSY), GlbOptions(unlit=True)),
    "normals need tangents": (replace(SMALL, material=GLOSSY), GlbOptions(tangents=False)),
    "roughness texture": (replace(SMALL, material=replace(GLOSSY, normal_texture=None)), GlbOptions(tangents=False)),
    "factors": (replace(COLORED, colors=None, material=Material(metallic=0.5, roughness=0.2)), GlbOptions()),
    "factors over colours": (replace(COLORED, material=Material(base_color=(0.1, 0, 1))), GlbOptions()),
}


@pytest.mark.parametrize("name", CASES)
def test_no_error_warning_or_hint(name: str, tmp_path: Path) -> None:
    mesh, options = CASES[name]
    report = validate(write_glb(publishable(mesh), frame=Frame("given", "metric"), options=options), tmp_path)
    issues = report["issues"]
    assert (issues["numErrors"], issues["numWarnings"], issues["numHints"]) == (0, 0, 0), issues["messages"]
    bumped = mesh.material is not None and mesh.material.normal_texture is not None
    assert {message["code"] for message in issues["messages"]} <= (set() if bumped else EXPECTED_INFOS)
    assert report["info"]["totalTriangleCount"] == len(publishable(mesh).faces)


@pytest.mark.parametrize("material", [None, GLOSSY])
def test_the_draco_container_is_valid(tmp_path: Path, material: Material | None) -> None:
    issues = validate(write_draco_glb(publishable(replace(SMALL, material=material))), tmp_path)["issues"]
    assert (issues["numErrors"], issues["numWarnings"], issues["numHints"]) == (0, 0, 0), issues["messages"]
    assert {message["code"] for message in issues["messages"]} <= DRACO_INFOS


def test_the_shipped_result_is_valid(tmp_path: Path) -> None:
    """What a reader of examples/ opens came out of the whole engine, not out of a test's formulas."""
    shipped = HERE.parents[1] / "examples" / "result" / "fusion" / "mesh.glb"
    issues = validate(shipped.read_bytes(), tmp_path)["issues"]
    assert (issues["numErrors"], issues["numWarnings"], issues["numHints"]) == (0, 0, 0), issues["messages"]
