"""The renderer: visibility beside embree's ray casting, whole pictures, and the steps of an optimisation.

    python benchmarks/raster.py [--repeats 5] [--faces 50000 200000] [--sizes 512 1024]  # all CPU tables
    python benchmarks/raster.py --stages                                                 # the differentiable one's only
    python benchmarks/raster.py --gradients [--faces 5000 50000 200000] [--device cuda]  # edge gradients against truth
    python benchmarks/raster.py --device cuda [--faces 102400 409600 1960000]            # stages on a GPU; CPU = CUDA?

The mesh is a displaced UV sphere; six cameras on the axes, 2.5 radii away, focal length 1.39 widths (the setting of
research/nvdiffrec.md, 7b). Times are milliseconds for all six views, on the CPU the best of the repeats, on a GPU the
median of 30 between CUDA events. They include everything that must be redone when vertices move: projection, and for
embree the tree. "whole" is forward and backward: projection, ids, three interpolated channels, edge gradients and L2,
to vertices and colours; ' marks backward passes. "here" is the whole with `torch.autograd.set_multithreading_enabled(
False)`: the backward pass in the calling thread. "graph" is it as a CUDA graph.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from meshwright.geometry.camera import Camera
from meshwright.rendering.threads import worker_count
from raster_scenes import displaced_sphere, six_cameras


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
    from meshwright.rendering.raster import project_vertices, rasterize
    from meshwright.rendering.visibility import visibility

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
    from meshwright.geometry.mesh import TexturedMesh, vertex_normals
    from meshwright.rendering.previews import render_previews
    from meshwright.rendering.render import paint_of, render

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


def visibility_table(faces: list[int], sizes: list[int], repeats: int) -> None:
    print(f"\nPreviews' visibility on {worker_count()} cores")
    print("   faces  size  cover  z-buffer  rasterize   embree  ratio   agree")
    for n_faces in faces:
        for size in sizes:
            print(compare(n_faces, size, repeats), flush=True)
    print(f"\n{len(displaced_sphere(30_000)[1])} faces, 512 x 512, supersample 2, 2048 x 2048 texture")
    print(pictures(repeats))


def stage_table(faces: list[int], sizes: list[int], repeats: int) -> None:
    import raster_stages as stages

    print(
        f"\nOne step of an optimisation on {worker_count()} cores, best of {repeats}; embree's tree and rays, and its"
    )
    print("time over that of our projection and ids")
    print(stages.header("cpu") + "   embree  ratio")
    for n_faces in faces:
        for size in sizes:
            vertices, triangles, _ = displaced_sphere(n_faces)
            embree = best_ms(
                lambda v=vertices, t=triangles, s=size: cast_embree(v, t, six_cameras(s)), 1 + repeats // 3
            )
            print(stages.stage_row(n_faces, size, "cpu", stages.best_of(repeats), embree), flush=True)


def cuda_tables(faces: list[int], sizes: list[int]) -> None:
    import torch

    import raster_stages as stages

    print(f"\nOne step of an optimisation on {torch.cuda.get_device_name()}, median of 30, torch {torch.__version__}")
    print(stages.header("cuda"))
    for n_faces in faces:
        for size in sizes:
            print(stages.stage_row(n_faces, size, "cuda", stages.by_events(30)), flush=True)
    print("\nCPU against CUDA\n" + stages.AGREEMENT_HEADER)
    for n_faces in faces:
        for size in sizes:
            print(stages.agreement(n_faces, size), flush=True)


def gradient_table(faces: list[int], sizes: list[int], device: str) -> None:
    import raster_gradients as gradients

    print("\nChange of a weighted picture: edge gradients over finite differences\n" + gradients.HEADER)
    for n_faces in faces:
        for size in sizes:
            print("\n".join(gradients.ratios(n_faces, size, device)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--faces", type=int, nargs="*")
    parser.add_argument("--sizes", type=int, nargs="*", default=[512, 1024])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--stages", action="store_true", help="only the steps of an optimisation")
    parser.add_argument("--gradients", action="store_true", help="only edge gradients against finite differences")
    options = parser.parse_args()
    sizes, repeats = options.sizes, options.repeats
    if options.gradients:
        gradient_table(options.faces or [5_000, 50_000, 200_000], sizes, options.device)
    elif options.device == "cuda":
        cuda_tables(options.faces or [102_400, 409_600, 1_960_000], sizes)
    else:
        if not options.stages:
            visibility_table(options.faces or [50_000, 200_000], sizes, repeats)
        stage_table(options.faces or [50_000, 200_000], sizes, repeats)


if __name__ == "__main__":
    main()
