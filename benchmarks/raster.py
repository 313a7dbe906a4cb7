"""Visibility of six views: our z-buffer beside embree's ray casting, and what whole pictures cost.

    .venv/bin/python benchmarks/raster.py [--repeats 5] [--faces 50000 200000] [--sizes 512 1024]

The mesh is a displaced UV sphere; six cameras on the axes, 2.5 radii away, focal length 1.39 widths (the setting of
research/nvdiffrec.md, 7b). Times are the best of the repeats, in milliseconds for all six views, and include
everything that must be redone when vertices move: projection, and for embree the tree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh, vertex_normals
from meshwright.geometry.rotations import look_at
from meshwright.rendering.previews import render_previews
from meshwright.rendering.raster import project_vertices, rasterize
from meshwright.rendering.render import paint_of, render
from meshwright.rendering.threads import worker_count
from meshwright.rendering.visibility import visibility

AXES = [((0, 0, 1), (0, 1, 0)), ((0, 0, -1), (0, 1, 0)), ((1, 0, 0), (0, 1, 0)), ((-1, 0, 0), (0, 1, 0)),
        ((0, 1, 0), (0, 0, -1)), ((0, -1, 0), (0, 0, 1))]  # fmt: skip


def displaced_sphere(n_faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and uv of a UV sphere of about ``n_faces`` (2n x n quads), radius 0.85-1."""
    n = round((n_faces / 4) ** 0.5)
    turn, polar = np.meshgrid(np.linspace(0, 2 * np.pi, 2 * n + 1), np.linspace(0, np.pi, n + 1))
    radius = 0.925 + 0.075 * np.sin(7 * turn) * np.sin(5 * polar) * np.sin(polar)
    points = radius[..., None] * np.stack(
        [np.sin(polar) * np.cos(turn), np.cos(polar), -np.sin(polar) * np.sin(turn)], -1
    )
    index = np.arange(turn.size).reshape(turn.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, d, c), (a, c, b))])
    uv = np.stack([turn / (2 * np.pi), polar / np.pi], -1).reshape(-1, 2)
    return points.reshape(-1, 3), faces.astype(np.int32), uv


def six_cameras(size: int) -> list[Camera]:
    K = np.array([[1.39 * size, 0, size / 2], [0, 1.39 * size, size / 2], [0, 0, 1.0]])
    return [
        Camera(K, look_at(np.array(direction) * 2.5, np.zeros(3), np.array(up, float)), size, size)
        for direction, up in AXES
    ]


def best_ms(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return 1e3 * min(seconds)


def cast_embree(vertices: np.ndarray, faces: np.ndarray, cameras: list[Camera]) -> list[np.ndarray]:
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, vertices.astype(np.float32), faces)
    ids = []
    for camera in cameras:
        x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        slopes = np.stack([(x - camera.K[0, 2]) / camera.K[0, 0], (y - camera.K[1, 2]) / camera.K[1, 1]], -1)
        rays = np.concatenate([slopes, np.ones((*x.shape, 1))], -1).reshape(-1, 3) @ camera.c2w[:3, :3].T
        origins = np.broadcast_to(camera.center, rays.shape)
        ids.append(scene.run(origins.astype(np.float32), rays.astype(np.float32)).reshape(x.shape))
    return ids


def compare(n_faces: int, size: int, repeats: int) -> str:
    vertices, faces, _ = displaced_sphere(n_faces)
    cameras = six_cameras(size)

    def ours() -> np.ndarray:
        return visibility(np.stack([project_vertices(vertices, c).points for c in cameras]), faces, size, size)

    ids, cast = ours(), np.stack(cast_embree(vertices, faces, cameras))
    agree = float((ids == cast).mean())
    mine = best_ms(ours, repeats)
    full = best_ms(lambda: [rasterize(vertices, faces, c) for c in cameras], repeats)
    embree = best_ms(lambda: cast_embree(vertices, faces, cameras), max(repeats // 2, 1))
    row = f"{len(faces):>8} {size:>5} {float((ids >= 0).mean()):>6.2f} {mine:>10.1f} {full:>10.1f} {embree:>8.0f}"
    return f"{row} {embree / mine:>6.1f} {agree:>8.5f}"


def pictures(repeats: int) -> str:
    vertices, faces, uv = displaced_sphere(30_000)
    texture = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), dtype=np.uint8)
    normals = vertex_normals(vertices, faces)
    cameras = six_cameras(512)

    def fresh() -> TexturedMesh:
        return TexturedMesh(vertices, faces, normals, uv=uv, texture=texture)

    def six(mesh: TexturedMesh, shading: str) -> None:
        for camera in cameras:
            render(mesh, camera, shading=shading)

    warm = fresh()
    rows = [
        ("mip pyramid of the 2048 texture", best_ms(lambda: paint_of(fresh()), repeats)),
        ("6 pictures, unlit, pyramid included", best_ms(lambda: six(fresh(), "unlit"), repeats)),
        ("6 pictures, Lambert, pyramid at hand", best_ms(lambda: (paint_of(warm), six(warm, "lambert")), repeats)),
        ("12 previews, pyramid included", best_ms(lambda: render_previews(fresh()), repeats)),
    ]
    return "\n".join(f"{name:<40} {ms:>8.0f} ms" for name, ms in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--faces", type=int, nargs="*", default=[50_000, 200_000])
    parser.add_argument("--sizes", type=int, nargs="*", default=[512, 1024])
    options = parser.parse_args()
    print(f"{worker_count()} cores, six views, best of {options.repeats}, ms")
    print("   faces  size  cover  z-buffer  rasterize   embree  ratio   agree")
    for n_faces in options.faces:
        for size in options.sizes:
            print(compare(n_faces, size, options.repeats))
    print(f"\n{len(displaced_sphere(30_000)[1])} faces, 512 x 512, supersample 2, 2048 x 2048 texture")
    print(pictures(options.repeats))


if __name__ == "__main__":
    main()
