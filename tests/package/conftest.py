"""A charted, lopsided block and the parts of a result, made from nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshwright.geometry.mesh import TexturedMesh, vertex_normals, weld
from meshwright.package.manifest import EngineRun, Manifest
from meshwright.package.writer import EngineOutput, write_result

# Normal, u direction of each side; v runs downwards along normal x u.
SIDES = [((1, 0, 0), (0, 0, -1)), ((-1, 0, 0), (0, 0, 1)), ((0, 1, 0), (1, 0, 0))]
SIDES += [((0, -1, 0), (1, 0, 0)), ((0, 0, 1), (1, 0, 0)), ((0, 0, -1), (-1, 0, 0))]


def make_block(steps: int = 5, texels: int = 32) -> TexturedMesh:
    """A closed block, bent so that nothing is symmetric, six charts in a 3 x 2 atlas, a hue and a ramp per side."""
    s = np.linspace(0, 1, steps + 1)
    u, v = (axis.ravel() for axis in np.meshgrid(s, s))
    grid = np.arange((steps + 1) ** 2).reshape(steps + 1, steps + 1)
    a, b, c, d = (g.ravel() for g in (grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]))
    quads = np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)])
    points, uv, faces, tangents = [], [], [], []
    for k, (normal, along) in enumerate(np.array(SIDES, float)):
        down = -np.cross(normal, along)
        points.append(normal + np.outer(2 * u - 1, along) + np.outer(2 * v - 1, down))
        uv.append(
            (np.stack([u, v], 1) * (texels - 4) + 2 + np.array([k % 3, k // 3]) * texels) / (texels * 3, texels * 2)
        )
        faces.append(quads + k * len(u))
        tangents.append(np.tile([*along, 1.0], (len(u), 1)))
    vertices = np.concatenate(points) * (0.4, 0.25, 0.15)
    vertices = np.round(vertices, 12)
    vertices[:, 0] += 0.3 * vertices[:, 1] ** 2 + 0.1 * vertices[:, 2]
    faces = np.concatenate(faces).astype(np.int32)
    welded = weld(vertices, faces)
    normals = np.zeros_like(vertices)
    normals[faces.ravel()] = vertex_normals(welded.vertices, welded.faces)[welded.faces.ravel()]
    return TexturedMesh(
        vertices, faces, normals, uv=np.concatenate(uv), texture=make_texture(texels), tangents=np.concatenate(tangents)
    )


def make_texture(texels: int) -> np.ndarray:
    """Six tiles, each of its own hue, red rising to the right and green falling downwards."""
    ramp = np.linspace(0, 120, texels)
    tiles = np.zeros((2, 3, texels, texels, 3))
    for k in range(6):
        tiles[k // 3, k % 3] = np.stack(
            [
                20 + 8 * k + np.tile(ramp, (texels, 1)),
                200 - np.tile(ramp[:, None], (1, texels)),
                np.full((texels, texels), 40 * k),
            ],
            -1,
        )
    return tiles.swapaxes(1, 2).reshape(2 * texels, 3 * texels, 3).round().astype(np.uint8)


@pytest.fixture(scope="session")
def block() -> TexturedMesh:
    return make_block()


@pytest.fixture(scope="session")
def painted(block: TexturedMesh) -> TexturedMesh:
    """The block with colours per vertex instead of a texture; dark ones too."""
    colors = np.stack(
        [
            np.arange(len(block.vertices)) % 256,
            np.full(len(block.vertices), 7),
            255 - np.arange(len(block.vertices)) % 256,
        ],
        1,
    )
    return replace(block, uv=None, texture=None, tangents=None, colors=colors.astype(np.uint8))


@pytest.fixture(scope="session")
def outputs(block: TexturedMesh) -> dict[str, EngineOutput]:
    picture = make_texture(16)
    return {
        "fusion": EngineOutput(
            block,
            {f"{kind}_{i:02d}": picture for kind in ("textured", "wireframe") for i in range(2)},
            {"front": picture, "back": picture},
            {"status": "normal", "metrics": {"psnr": 31.5, "ssim": 0.95, "mask_iou": None}},
        )
    }


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        engines={"fusion": EngineRun(status="completed", verdict="normal")}, settings={"faces": 30000}, seed=7
    )


CAMERAS = {"frames": [{"name": "front", "transform_matrix": np.eye(4).tolist()}]}


@pytest.fixture
def save(outputs: dict[str, EngineOutput], manifest: Manifest) -> Callable[..., Path]:
    """Write a whole result."""

    def write(out: Path, **options: object) -> Path:
        write_result(out, outputs, manifest, CAMERAS, **options)
        return out

    return write


@pytest.fixture
def result(tmp_path: Path, save: Callable[..., Path]) -> Path:
    return save(tmp_path / "out")
