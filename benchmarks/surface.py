"""Geometry alone on evaluation cases with TRUE cameras and scales: table of quality, time and memory per case.

python benchmarks/surface.py [DIR] [--cases a,b] [--resolution N] [--faces N] [--lossless] [--noise PCT]
    [--scale-error PCT] [--repeat N] [--pictures DIR]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.progress import Context
from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface
from meshwright.surface.simplify import health
from truth import truth_capture


def spoiled(capture: CalibratedCapture, noise_pct: float, scale_pct: float, seed: int = 0) -> CalibratedCapture:
    """Depth noise of ``noise_pct`` of the diagonal with 1 % dropout, and per-view scale errors."""
    rng = np.random.default_rng(seed)
    views = []
    for view in capture.views:
        depth = view.depth.astype(float) * (1 + scale_pct / 100 * rng.uniform(-1, 1))
        if noise_pct:
            depth = depth + (depth > 0) * rng.normal(0, noise_pct / 100 * capture.diagonal, depth.shape)
            depth[rng.random(depth.shape) < 0.01] = 0
        views.append(replace(view, depth=depth.astype(np.float32), depth_step=0.0 if noise_pct else view.depth_step))
    return replace(capture, views=tuple(views))


def score(evaluate, mesh, case: Path) -> dict:
    path = Path("/tmp") / f"meshwright_surface_{case.name}.ply"
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(path)
    result = evaluate.evaluate(path, case)
    return {
        "F.5v": result["visible"]["fscore_0.5pct"],
        "NCv": result["visible"]["normal_consistency"],
        "CDv": result["visible"]["chamfer_l1"] * 100,
        "IoU": result["novel_views"]["mask_iou"],
        "IoUmin": min(row["mask_iou"] for row in result["novel_views"]["per_view"]),
    }


def picture(evaluate, mesh, case: Path, out: Path) -> None:
    """Lambert pictures of the result: two input directions and four novel ones in one row."""
    import json

    from PIL import Image

    part = evaluate.load_parts(Path("/tmp") / f"meshwright_surface_{case.name}.ply")
    renderer = evaluate.Renderer(part, "lambert")
    frames = json.loads((case / "cameras.json").read_text())["frames"]
    novel = [f for f in frames if f["split"] == "novel"]
    tiles = [evaluate.to_rgb8(*renderer.render(f, 2)[:2], 255) for f in novel[:6]]
    out.mkdir(parents=True, exist_ok=True)
    rows = [np.concatenate(tiles[:3], 1), np.concatenate(tiles[3:], 1)]
    Image.fromarray(np.concatenate(rows, 0)).save(out / f"{case.name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="/work/shared/data/evalset/dev")
    parser.add_argument("--cases")
    parser.add_argument("--resolution", type=int, default=SurfaceOptions().resolution)
    parser.add_argument("--faces", type=int, default=SurfaceOptions().faces)
    parser.add_argument("--lossless", action="store_true")
    parser.add_argument("--noise", type=float, default=0.0, help="depth noise, percent of the diagonal")
    parser.add_argument("--scale-error", type=float, default=0.0, help="per-view scale error, percent")
    parser.add_argument("--repeat", type=int, default=1, help="time the last of N runs")
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    root = Path(args.folder)
    sys.path.insert(0, str(root.parent / "tools"))
    import evaluate

    cases = args.cases.split(",") if args.cases else sorted(p.name for p in root.iterdir() if p.is_dir())
    rows = []
    for name in cases:
        capture = truth_capture(root / name, args.lossless)
        if args.noise or args.scale_error:
            capture = spoiled(capture, args.noise, args.scale_error)
        for _ in range(args.repeat):
            context, began = Context(), time.perf_counter()
            surface = reconstruct_surface(capture, SurfaceOptions(args.resolution, args.faces), context)
            seconds = time.perf_counter() - began
        row = {**score(evaluate, surface.mesh, root / name), "s": seconds, "faces": len(surface.mesh.faces)}
        row |= {"invented": surface.invented.mean(), **health(surface.mesh)}
        rows.append(row)
        print(f"{name:14s}", *(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
        print(" " * 14, {k: round(v, 2) for k, v in context.stage_seconds.items()}, flush=True)
        if args.pictures:
            picture(evaluate, surface.mesh, root / name, args.pictures)
    for label, pick in (("mean", np.mean), ("worst", np.min)):
        print(label, *(f"{k} {pick([r[k] for r in rows]):.4f}" for k in ("F.5v", "NCv", "CDv", "IoU", "IoUmin", "s")))
    print("peak MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    main()
