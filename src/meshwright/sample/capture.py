"""A sample on disk: as a capture with its truth beside it, or as a case of an evaluation set.

::

    OUT/multi_views/VIEW.png  depth_renders/VIEW.png  [cameras.json]          what the product may read
    OUT/truth/gt.glb  cameras.json  depth_metric/VIEW.png  novel_views/NAME.png  novel_masks/NAME.png

The evaluation form keeps all of it in OUT, with ``case.json``, as the project's evaluation tools read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from meshwright.geometry.camera import FLIP_YZ
from meshwright.progress import Context
from meshwright.sample.encoding import MILLIMETRE, encode_steps
from meshwright.sample.scene import Sample, SampleOptions, Shot, make_sample

FINE_STEPS = 1e-4  # of the object's diagonal: the resolution of the truth's 16-bit depth
CONVENTION = "OpenGL c2w: x right, y up, looks along -z; pixel centres at +0.5"


def write_sample(
    out: str | Path,
    options: SampleOptions | None = None,
    context: Context | None = None,
    *,
    truth: bool = True,
    evalset: bool = False,
) -> Sample:
    """Make a sample and write it to ``out``, whole or not at all.

    ``truth`` adds what only scoring may read; ``evalset`` writes an evaluation case instead of a capture. Raises
    `InputError` if ``out`` is there and not an empty folder, `DiskFull`, and what `make_sample` raises.
    """
    from meshwright.package.staging import check_replaceable, staged_folder

    context, options = context or Context(), options or SampleOptions()
    check_replaceable(Path(out).absolute(), overwrite=False)
    with context.stage("sample", 0.0, 0.8):
        sample = make_sample(options, context)
    with context.stage("writing", 0.8, 1.0), staged_folder(out) as folder:
        write_images(folder, sample)
        if options.format == "metric" and not evalset:
            write_json(folder / "cameras.json", cameras_json(sample, sample.shots, folder_of_depth="depth_renders"))
        context.report(0.5, "truth")
        if evalset:
            write_truth(folder, sample)
            write_json(folder / "case.json", case_json(Path(out).name, sample))
        elif truth:
            write_truth(folder / "truth", sample)
    return sample


def write_images(folder: Path, sample: Sample) -> None:
    """The capture's own pictures."""
    for shot in sample.shots:
        write_png(folder / "multi_views" / f"{shot.name}.png", shot.rgb)
        write_png(folder / "depth_renders" / f"{shot.name}.png", sample.stored_depth(shot)[0])


def write_truth(folder: Path, sample: Sample) -> None:
    """Ground truth: the mesh, every camera, exact depth, held-out views with their coverage."""
    from meshwright.package.glb import Frame, GlbOptions, write_glb

    step = FINE_STEPS * sample.options.scale
    for shot in sample.shots:
        write_png(folder / "depth_metric" / f"{shot.name}.png", encode_steps(shot.depth, step))
    for shot in sample.novel:
        write_png(folder / "novel_views" / f"{shot.name}.png", shot.rgb)
        write_png(folder / "novel_masks" / f"{shot.name}.png", np.rint(shot.coverage * 255).astype(np.uint8))
    metric = sample.options.format == "metric"
    frame = Frame("given", "metric" if metric else "relative")
    (folder / "gt.glb").write_bytes(write_glb(sample.mesh, frame=frame, options=GlbOptions(unlit=True)))
    write_json(folder / "cameras.json", truth_cameras_json(sample))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """A lossless, small PNG: 8-bit RGB or grey, or 16-bit grey."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG", optimize=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A JSON file without NaN."""
    from meshwright.package.strict_json import dump_json

    path.write_bytes(dump_json(content))


def cameras_json(sample: Sample, shots: tuple[Shot, ...], folder_of_depth: str) -> dict[str, Any]:
    """nerfstudio's transforms for the capture's views, in metres."""
    frames = [{**camera_frame(shot), "depth_file_path": f"{folder_of_depth}/{shot.name}.png"} for shot in shots]
    return {
        "camera_model": "PINHOLE",
        "convention": CONVENTION,
        "unit": "metre",
        "depth_unit_scale_factor": MILLIMETRE,
        "frames": frames,
    }


def truth_cameras_json(sample: Sample) -> dict[str, Any]:
    """All frames, input and held-out, with the depth scale of each input view (the evaluation set's file)."""
    size = sample.options.depth_size
    frames = [
        {
            **camera_frame(shot),
            "split": "input",
            "depth_file_path": f"depth_renders/{shot.name}.png",
            "depth_w": size,
            "depth_h": size,
            "depth_scale": sample.stored_depth(shot)[1],
            "depth_metric_file_path": f"depth_metric/{shot.name}.png",
        }
        for shot in sample.shots
    ]
    for shot in sample.novel:
        frame = camera_frame(shot, "novel_views")
        frames.append({**frame, "split": "novel", "mask_path": f"novel_masks/{shot.name}.png"})
    return {
        "camera_model": "PINHOLE",
        "convention": CONVENTION,
        "units": "metre" if sample.options.format == "metric" else "normalised",
        "depth_metric_scale": FINE_STEPS * sample.options.scale,
        "frames": frames,
    }


def camera_frame(shot: Shot, folder: str = "multi_views") -> dict[str, Any]:
    """One frame in nerfstudio's form (OpenGL axes)."""
    K, pose = shot.camera.K, shot.camera.c2w @ FLIP_YZ
    return {
        "name": shot.name,
        "w": shot.camera.width,
        "h": shot.camera.height,
        "fl_x": float(K[0, 0]),
        "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "transform_matrix": (np.round(pose, 12) + 0.0).tolist(),
        "file_path": f"{folder}/{shot.name}.png",
    }


def case_json(name: str, sample: Sample) -> dict[str, Any]:
    """The description of an evaluation case."""
    options = sample.options
    low, high = sample.mesh.vertices.min(0), sample.mesh.vertices.max(0)
    metric = options.format == "metric"
    distance = options.distance * options.scale
    rig = options.layout or ("canonical" if options.views == 6 else "ring")
    return {
        "name": name,
        "split": "sample",
        "tags": ["procedural", options.object],
        "source": f"meshwright sample --object {options.object} --seed {options.seed}",
        "licence": "Apache-2.0",
        "attribution": "Meshwright",
        "cameras_given": True,
        "cameras_file": "cameras.json",
        "rig": {
            "type": "canonical6" if rig == "canonical" else rig,
            "naming": options.naming,
            "views": [shot.name for shot in sample.shots],
            "fov_deg": options.fov_deg,
            "distance_units": distance,
            "object_offset_units": [0.0, 0.0, 0.0],
            "rgb_size": options.rgb_size,
            "depth_size": options.depth_size,
            "background": options.background,
            "background_noise_levels": 0,
            "shading": "unlit",
        },
        "depth": {
            "kind": "z-depth along the optical axis, 0 = background, larger = farther",
            "encoding": "mm16" if metric else "viewmax8",
            "bits": 16 if metric else 8,
            "rule": "metric_depth_units = scale * value",
            "scale_per_view": {shot.name: sample.stored_depth(shot)[1] for shot in sample.shots},
            "scale_given_to_product": metric,
            "mm_per_unit": 1000.0 if metric else None,
            "noise_sigma_per_z2": 0.0,
            "dropout": 0.0,
        },
        "depth_metric": {"scale": FINE_STEPS * options.scale, "rule": "metric_depth_units = scale * value"},
        "novel": {
            "count": options.novel,
            "size": options.novel_size,
            "fov_deg": options.fov_deg,
            "distance_units": distance,
            "supersample": 2,
            "background": 255,
            "shading": "unlit",
        },
        "gt": {
            "normalize": "diag",
            "parts": 1,
            "vertices": len(sample.mesh.vertices),
            "faces": len(sample.mesh.faces),
            "bbox": [low.tolist(), high.tolist()],
            "bbox_diagonal": float(np.linalg.norm(high - low)),
        },
    }
