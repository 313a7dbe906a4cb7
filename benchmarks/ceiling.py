"""What the best texture could score: how far a capture's photos contradict each other on its own reconstruction.

    python benchmarks/ceiling.py CAPTURE [--texels 1024] [--out out/ceiling]

The capture is reconstructed; then, on that mesh and with those registrations, the texture is solved that minimises the
squared error of all compared pixels at once (sparse least squares, sRGB, 2 x 2 samples a pixel, bilinear). No texture
of that mesh scores more. The optimum is not a usable texture: where photos contradict each other it hides each photo's
pixels between those of another as noise (looked at: OUT/best.png). The gap between our row and it is what contradicting
photos cost and what a better blend could win at most.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import sparse
from scipy.sparse.linalg import cg

from meshwright import reconstruct
from meshwright.capture.calibrated import CalibratedView
from meshwright.geometry.mesh import TexturedMesh
from meshwright.quality.reference import reference_of
from meshwright.rendering.raster import rasterize

SAMPLES = 2
RIDGE = 2e-3
ROUNDS = 4  # of reweighting: the mean of decibels is judged, not the mean of squares


@dataclass(frozen=True, eq=False)
class Equations:
    """``matrix @ texels = colors`` for a view's compared pixels; ``whole`` counts all pixels of its image."""

    matrix: sparse.csr_matrix
    colors: np.ndarray
    whole: int


def equations(view: CalibratedView, mesh: TexturedMesh, texels: int) -> Equations:
    reference = reference_of(view)
    camera = reference.camera
    fragments = rasterize(mesh.vertices, mesh.faces, camera.resized(camera.width * SAMPLES, camera.height * SAMPLES))
    hit = fragments.face_id >= 0
    covered = hit.reshape(camera.height, SAMPLES, camera.width, SAMPLES).mean((1, 3))
    compared = (covered >= 0.5) | reference.mask
    number = np.full(compared.shape, -1)
    number[compared] = np.arange(np.count_nonzero(compared))
    y, x = np.nonzero(hit)
    row = number[y // SAMPLES, x // SAMPLES]
    kept = row >= 0
    corners = mesh.faces[fragments.face_id[hit][kept]]
    assert mesh.uv is not None
    uv = np.einsum("pk,pkc->pc", fragments.barycentrics[hit][kept], mesh.uv[corners])
    entries = _bilinear(row[kept], uv, texels)
    matrix = sparse.csr_matrix(entries, (np.count_nonzero(compared), texels * texels)) / SAMPLES**2
    white = (1 - covered[compared])[:, None] * 255.0
    return Equations(matrix, reference.composited[compared] - white, compared.size)


def _bilinear(row: np.ndarray, uv: np.ndarray, texels: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    place = uv * texels - 0.5
    first = np.floor(place).astype(int)
    part = place - first
    weights, columns = [], []
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, line = (np.clip(first + np.array([dx, dy]), 0, texels - 1)).T
        weights.append(np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1]))
        columns.append(line * texels + column)
    return np.concatenate(weights), (np.tile(row, 4), np.concatenate(columns))


def best_texture(systems: list[Equations], start: np.ndarray) -> np.ndarray:
    """Texels (t, 3) that maximise the mean PSNR of all systems; those that no pixel shows keep ``start``."""
    matrix = sparse.vstack([system.matrix for system in systems]).tocsr()
    colors = np.concatenate([system.colors for system in systems])
    used = np.unique(matrix.indices)
    matrix, solved = matrix[:, used], start[used]
    weight = np.ones(len(systems))
    for _ in range(ROUNDS):
        each = np.repeat(weight, [len(system.colors) for system in systems])
        normal = matrix.T @ sparse.diags(each) @ matrix + RIDGE * sparse.eye(len(used))
        right = matrix.T @ (each[:, None] * colors) + RIDGE * start[used]
        solved = np.stack([cg(normal, right[:, c], x0=solved[:, c], maxiter=150)[0] for c in range(3)], 1).clip(0, 255)
        texture = start.copy()
        texture[used] = solved
        weight = np.array([1 / (len(s.colors) * squared_error(s, texture)) for s in systems])
        weight /= weight.mean()
    return texture


def squared_error(system: Equations, texture: np.ndarray) -> float:
    return float(((system.matrix @ texture - system.colors) ** 2).mean())


def decibels(systems: list[Equations], texture: np.ndarray) -> tuple[list[float], float]:
    """Foreground PSNR by view, and the mean of the full-frame ones."""
    errors = [squared_error(system, texture) for system in systems]
    full = [error * len(s.colors) / s.whole for error, s in zip(errors, systems, strict=True)]
    return [float(10 * np.log10(255**2 / e)) for e in errors], float(np.mean(10 * np.log10(255**2 / np.array(full))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--texels", type=int, default=1024)
    parser.add_argument("--out", type=Path, default=Path("out/ceiling"))
    arguments = parser.parse_args()
    result = reconstruct(arguments.capture)
    mesh, views = result.engines["fusion"].result.mesh, result.calibrated.views
    systems = [equations(view, mesh, arguments.texels) for view in views]
    size = (arguments.texels, arguments.texels)
    ours = np.asarray(Image.fromarray(mesh.texture).resize(size, Image.Resampling.BOX), float).reshape(-1, 3)
    best = best_texture(systems, ours)
    arguments.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(best.reshape(*size, 3).astype(np.uint8)).save(arguments.out / "best.png")
    table = Table(title=f"Foreground PSNR in dB of {arguments.capture.name} by texture")
    for heading in ("texture", *(view.name for view in views), "mean", "full-frame mean"):
        table.add_column(heading)
    for name, texture in (("ours", ours), ("half-way", (ours + best) / 2), ("least squares (the ceiling)", best)):
        by_view, full = decibels(systems, texture)
        table.add_row(name, *(f"{value:.2f}" for value in by_view), f"{np.mean(by_view):.2f}", f"{full:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
