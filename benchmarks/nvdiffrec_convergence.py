"""How fast the shape converges, from fusion's surface and from a sphere: misfit and PSNR over time.

    python benchmarks/nvdiffrec_convergence.py CASE [--save docs/images/nvdiffrec_convergence.png] [--device cpu]

CASE is one folder of an evaluation set, with cameras and depth. The sphere becomes the object on two FlexiCubes grids
(engines/nvdiffrec/volume.py), then by Newton steps on the vertices; fusion's surface by Newton steps alone. Time is
that of the work, fusion included, measuring left out. Misfit is that of the input views at 512 pixels. The PSNR is of
the foreground of the novel views, which no method saw, drawn at 256 pixels with colours of the photos at the vertices:
it compares shapes, not textures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from evalcase import find_cases, stage
from meshwright.cameras.calibrate import CalibrationOptions, calibrate
from meshwright.capture.calibrated import CalibratedCapture
from meshwright.capture.load import load_capture
from meshwright.engines.nvdiffrec.observations import observe
from meshwright.engines.nvdiffrec.shape import ShapeProblem
from meshwright.engines.nvdiffrec.volume import VolumeOptions
from meshwright.engines.nvdiffrec.volume_grid import VolumeGrid
from meshwright.engines.nvdiffrec.volume_level import Level, coarsened
from meshwright.geometry.camera import FLIP_YZ, Camera
from meshwright.geometry.mesh import Mesh
from meshwright.progress import Context
from meshwright.rendering.differentiable import CameraBatch, Fragments, depth, interpolate, rasterize
from meshwright.surface.clean import make_manifold
from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface

SIZE, NOVEL = 512, 256
NEWTON = 16
EVERY = 3  # states between measurements
COLORS = {"fusion start": "#1f6f8b", "sphere start": "#d1495b"}


@dataclass(frozen=True)
class Point:
    """A measured state: seconds of work, misfit and mask IoU of the input views, PSNR of the novel ones (dB)."""

    seconds: float
    what: str
    misfit: float
    iou: float
    psnr: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    capture, judge = load(options.case, options.device)
    curves = {"fusion start": from_fusion(capture, judge), "sphere start": from_sphere(capture, judge)}
    for name, points in curves.items():
        print(f"\n{name}\n{'s':>7}{'misfit':>10}{'IoU':>8}{'fg PSNR':>9}  state")
        for p in points:
            print(f"{p.seconds:7.1f}{p.misfit:10.0f}{p.iou:8.4f}{p.psnr:9.2f}  {p.what}")
    if options.save:
        draw(curves, options.case.name).save(options.save, optimize=True)


# ---- the runs


def from_fusion(capture: CalibratedCapture, judge: Judge) -> list[Point]:
    began = time.monotonic()
    start = reconstruct_surface(capture, SurfaceOptions()).mesh
    return measured(newton(start, judge, "fusion"), judge, time.monotonic() - began)


def from_sphere(capture: CalibratedCapture, judge: Judge) -> list[Point]:
    return measured(volume(capture, judge), judge, 0.0)


def volume(capture: CalibratedCapture, judge: Judge) -> Iterator[tuple[str, Mesh]]:
    options, mesh = VolumeOptions(), None
    for cubes, rounds in zip(options.cubes, options.rounds, strict=True):
        grid = VolumeGrid.around(np.asarray(capture.bounds), cubes, judge.seen.masks.device)
        level = Level(grid, coarsened(judge.seen, grid.cube), mesh, np.asarray(capture.bounds))
        for k in range(rounds + 1):
            step = level.step()
            assert step is not None
            mesh = step.mesh
            yield f"grid of {cubes}, round {k}", mesh
    assert mesh is not None
    yield from newton(make_manifold(mesh), judge, "Newton")


def newton(start: Mesh, judge: Judge, first: str) -> Iterator[tuple[str, Mesh]]:
    problem, vertices = ShapeProblem(start, judge.seen), start.vertices
    yield first, start
    for k in range(NEWTON):
        vertices, _ = problem.step(vertices)
        yield f"Newton, round {k + 1}", Mesh(vertices, start.faces)


def measured(states: Iterator[tuple[str, Mesh]], judge: Judge, spent: float) -> list[Point]:
    """Every `EVERY`-th state and the last, with the time that it took to come so far."""
    points: list[Point] = []
    last, count, began = None, 0, time.monotonic()
    for what, mesh in states:
        spent += time.monotonic() - began
        last = (spent, what, mesh)
        if count % EVERY == 0:
            points.append(judge.point(*last))
            last = None
        count, began = count + 1, time.monotonic()
    return points if last is None else [*points, judge.point(*last)]


# ---- measuring


class Judge:
    """The views that meshes are compared with; ``novel`` (n, h, w, 3) in 0..1, black where ``novel_masks`` is 0."""

    def __init__(
        self, capture: CalibratedCapture, cameras: CameraBatch, novel: np.ndarray, masks: np.ndarray, device: str
    ) -> None:
        self.seen = observe(capture, SIZE, device)
        self.cameras, self.device = cameras, device
        self.novel, self.masks = (torch.tensor(a, dtype=torch.float32, device=device) for a in (novel, masks))
        self.photos = np.stack([photo(view.rgb, SIZE) for view in capture.views])

    def point(self, seconds: float, what: str, mesh: Mesh) -> Point:
        misfit = ShapeProblem(mesh, self.seen).data_terms(mesh.vertices)[2]
        return Point(seconds, what, misfit.data, misfit.mask_iou, self.psnr(mesh))

    def psnr(self, mesh: Mesh) -> float:
        drawn, image = self.drawn(mesh, self.cameras, self.colors(mesh))
        either = (drawn.face_id >= 0) | (self.masks > 0.5)
        return float(-10 * torch.log10((image - self.novel)[either].square().mean()))

    def drawn(self, mesh: Mesh, cameras: CameraBatch, colors: torch.Tensor) -> tuple[Fragments, torch.Tensor]:
        points = torch.tensor(mesh.vertices, dtype=torch.float32, device=self.device)
        faces = torch.tensor(mesh.faces, dtype=torch.int32, device=self.device)
        seen = rasterize(cameras.project(points), faces, cameras.height, cameras.width, cameras.perspective)
        return seen, interpolate(seen, colors)

    def colors(self, mesh: Mesh) -> torch.Tensor:
        """The photos' colours at the vertices, by the fourth power of the cosine; their mean where none sees it."""
        cameras, normals = self.seen.cameras, torch.tensor(mesh.vertex_normals(), device=self.device)
        points = torch.tensor(mesh.vertices, dtype=torch.float64, device=self.device)
        z = depth(self.drawn(mesh, cameras, torch.zeros(len(points), 1, device=self.device))[0])
        total = torch.zeros(len(points), 4, dtype=torch.float64, device=self.device)
        for k, xyz in enumerate(cameras.project(points)):
            columns = (xyz[:, 0] / xyz[:, 2]).long().clamp(0, cameras.width - 1)
            rows = (xyz[:, 1] / xyz[:, 2]).long().clamp(0, cameras.height - 1)
            towards = torch.nn.functional.normalize(torch.linalg.inv(cameras.w2c[k])[:3, 3] - points, dim=1)
            cosine = (towards * normals).sum(1).clamp(min=0)
            visible = (xyz[:, 2] - z[k, rows, columns]).abs() < 0.01 * self.seen.diagonal
            weight = (visible * cosine**4)[:, None]
            color = torch.tensor(self.photos[k], dtype=torch.float64, device=self.device)[rows, columns]
            total += torch.cat([weight * color, weight], 1)
        known = total[:, 3:] > 1e-6
        mean = (total[:, :3].sum(0) / total[:, 3].sum().clamp(min=1e-6))[None]
        return torch.where(known, total[:, :3] / total[:, 3:].clamp(min=1e-6), mean).float()


def load(folder: Path, device: str) -> tuple[CalibratedCapture, Judge]:
    case = find_cases(folder)[0]
    with tempfile.TemporaryDirectory() as scratch:
        stage(case, Path(scratch) / "capture", case.gives_cameras("given"))
        capture = calibrate(load_capture(Path(scratch) / "capture"), CalibrationOptions(), Context())
    frames = json.loads((folder / case.facts["cameras_file"]).read_text())["frames"]
    novel = [frame for frame in frames if frame["split"] == "novel"]
    images = np.stack([photo(np.asarray(Image.open(folder / f["file_path"]).convert("RGB")), NOVEL) for f in novel])
    masks = np.stack([np.asarray(Image.open(folder / f["mask_path"]).resize((NOVEL, NOVEL))) > 127 for f in novel])
    masks = masks.reshape(len(novel), NOVEL, NOVEL, -1)[..., 0]
    cameras = CameraBatch.of([camera_of(frame).resized(NOVEL, NOVEL) for frame in novel], device)
    return capture, Judge(capture, cameras, images * masks[..., None], masks, device)


def photo(rgb: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BOX), np.float64) / 255


def camera_of(frame: dict) -> Camera:
    K = np.array([[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1.0]])
    return Camera(K, np.array(frame["transform_matrix"]) @ FLIP_YZ, frame["w"], frame["h"])


# ---- the picture


def draw(curves: dict[str, list[Point]], name: str) -> Image.Image:
    """Two charts side by side, at twice the size that they are meant for."""
    sheet = Image.new("RGB", (1800, 760), "white")
    longest = max(p.seconds for points in curves.values() for p in points)
    misfits = {n: [(p.seconds, float(np.log10(p.misfit))) for p in points] for n, points in curves.items()}
    psnrs = {n: [(p.seconds, p.psnr) for p in points] for n, points in curves.items()}
    chart(sheet, (40, 20, 880, 740), f"{name}: misfit of the input views", misfits, longest, log=True)
    chart(sheet, (920, 20, 1760, 740), f"{name}: foreground PSNR of novel views, dB", psnrs, longest)
    return sheet


def chart(sheet: Image.Image, box, title: str, curves, longest: float, log: bool = False) -> None:
    from PIL import ImageFont

    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(30), ImageFont.load_default(24)
    left, top, right, bottom = box[0] + 90, box[1] + 60, box[2], box[3] - 90
    values = [v for curve in curves.values() for _, v in curve]
    step = 1.0 if log else max(1.0, float(np.ceil((max(values) - min(values)) / 6)))
    low, high = np.floor(min(values) / step) * step, np.ceil(max(values) / step) * step

    def at(seconds: float, value: float) -> tuple[float, float]:
        return left + (right - left) * seconds / longest, bottom - (bottom - top) * (value - low) / (high - low)

    pen.text((left, box[1]), title, "#222222", font)
    for value in np.arange(low, high + step / 2, step):
        y = at(0, value)[1]
        pen.line((left, y, right, y), "#dddddd", 2)
        pen.text((left - 14, y), f"{10**value:,.0f}" if log else f"{value:g}", "#555555", small, anchor="rm")
    tick = max(1, round(longest / 6))
    for seconds in range(0, int(longest) + 1, tick):
        pen.text((at(seconds, low)[0], bottom + 12), f"{seconds}", "#555555", small, anchor="mt")
    pen.text(((left + right) / 2, bottom + 46), "seconds of work, one core for torch", "#555555", small, anchor="mt")
    for row, (name, curve) in enumerate(curves.items()):
        places = [at(*point) for point in curve]
        pen.line([c for place in places for c in place], COLORS[name], 5, joint="curve")
        for x, y in places:
            pen.ellipse((x - 6, y - 6, x + 6, y + 6), COLORS[name])
        y = (top if log else bottom - 90) + 20 + 36 * row
        pen.line((right - 250, y, right - 200, y), COLORS[name], 6)
        pen.text((right - 188, y), name, "#222222", small, anchor="lm")


if __name__ == "__main__":
    main()
