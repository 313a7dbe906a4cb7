"""Texture quality on its own: the ground truth's geometry, remeshed to ``--faces``, textured from true cameras.

    python benchmarks/texture.py /work/shared/data/evalset/dev [--cases spot,bob] [--save /tmp/look]

Prints per case foreground PSNR, SSIM and the worst view over the novel views (scored by the set's tools/evaluate.py on
a rendering of the result), and seconds per stage. ``--offset-px`` shifts every image to imitate a registration fault.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from meshwright.geometry.mesh import Mesh, TexturedMesh, face_area_vectors, weld
from meshwright.progress import Context
from meshwright.surface.texture import TextureOptions, texture_mesh
from truth import truth_capture


def true_mesh(case_dir: Path, faces: int) -> Mesh:
    """The ground truth's geometry as one welded mesh of about ``faces`` even triangles (0: as it is)."""
    import fast_simplification
    import trimesh
    from render_views import load_parts

    parts = load_parts(case_dir / "gt.glb")
    offsets = np.cumsum([0, *(len(p.vertices) for p in parts)])
    mesh = weld(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=False)]),
    )
    if faces:
        vertices, triangles = mesh.vertices, mesh.faces
        while len(triangles) < 3 * faces:
            vertices, triangles = trimesh.remesh.subdivide(vertices, triangles)
        mesh = weld(*fast_simplification.simplify(vertices.astype("f4"), triangles.astype("i4"), target_count=faces))
    area = np.linalg.norm(face_area_vectors(mesh.vertices, mesh.faces), axis=1)
    return Mesh(mesh.vertices, mesh.faces[area > 1e-14])


def as_parts(mesh: TexturedMesh):
    """The result as the scorer's parts (uv from the bottom left)."""
    from render_views import Part

    uv = mesh.uv * [1, -1] + [0, 1]
    return [Part(mesh.vertices, mesh.faces.astype(np.int64), mesh.normals, uv, mesh.texture)]


def score(mesh: TexturedMesh, case_dir: Path, save: Path | None) -> dict:
    from evaluate import images
    from render_views import Renderer

    case = json.loads((case_dir / "case.json").read_text())
    cameras = json.loads((case_dir / case["cameras_file"]).read_text())
    novel = [frame for frame in cameras["frames"] if frame["split"] == "novel"]
    return images(Renderer(as_parts(mesh)), case_dir, novel, case["novel"]["supersample"], save)


def shifted(capture, pixels: float):
    """The capture with each RGB image displaced (alternating directions) without its registration saying so."""
    from scipy.ndimage import shift

    views = []
    for n, view in enumerate(capture.views):
        by = (pixels * (-1) ** n, pixels * (-1) ** (n // 2), 0)
        views.append(replace(view, rgb=shift(view.rgb, by, order=1, mode="nearest")))
    return replace(capture, views=tuple(views))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", default="")
    parser.add_argument("--faces", type=int, default=30000)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--offset-px", type=float, default=0.0)
    parser.add_argument("--no-levelling", action="store_true")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.folder.resolve().parent / "tools"))
    chosen = (
        arguments.cases.split(",")
        if arguments.cases
        else sorted(p.parent.name for p in arguments.folder.glob("*/case.json"))
    )
    rows = []
    for name in chosen:
        case_dir = arguments.folder / name
        mesh, capture = true_mesh(case_dir, arguments.faces), truth_capture(case_dir)
        if arguments.offset_px:
            capture = shifted(capture, arguments.offset_px)
        context, began, cpu = Context(), time.perf_counter(), time.process_time()
        options = TextureOptions(size=arguments.size, levelling=not arguments.no_levelling)
        result = texture_mesh(mesh, capture, options, context)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        found = score(result, case_dir, arguments.save and arguments.save / name)
        worst = min(row["fg_psnr"] for row in found["per_view"])
        rows.append((found["fg_psnr"], found["ssim"], worst, wall))
        stages = " ".join(f"{stage} {seconds:.1f}" for stage, seconds in context.stage_seconds.items())
        kinds = np.bincount(result.coverage.ravel(), minlength=4)[1:] / max(1, (result.coverage > 0).sum())
        print(
            f"{name:14s} fg {found['fg_psnr']:5.2f} ssim {found['ssim']:.4f} worst {worst:5.2f} | {wall:4.1f} s "
            f"(cpu {cpu:4.1f}) {stages} | invented {kinds[0]:.3f} grazing {kinds[1]:.3f} seen {kinds[2]:.3f}",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        "mean           fg {:5.2f} ssim {:.4f} worst {:5.2f} | {:4.1f} s".format(*np.mean(rows, 0)),
        f"peak {peak:.0f} MB",
    )


if __name__ == "__main__":
    main()
