"""Smooth warps of photos that do not have the surface's shape, for texturing only.

After its registration, a similarity, such a photo still shows an edge a few pixels from where the surface or another
photo has it: soles come out doubled. Here every view gets a displacement on a coarse grid that lets its photo agree
with what the other views show on the surface; the grid is stiff, and nothing moves
where all agree. Each step is Gauss-Newton on blurred images (Lucas, Kanade 1981), coarse to fine. The images that
results are measured against (`quality.reference`) are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.geometry.mesh import Mesh
from meshwright.rendering.threads import kernel
from meshwright.surface.sampling import bicubic
from meshwright.surface.sightings import Observer, Sightings, sight

WORK_SIZE = 512
GRID = 12  # cells on a side: features a twelfth of the image apart may move apart
BLURS = (6.0, 3.0)  # px at the working size; the first finds edges about as far away
SWEEPS = 3  # over all views per blur
ROBUST_LEVELS = 40.0
STIFFNESS = 1.0  # of the grid against the mean pull of the photos on a node
HOLD = 0.3  # of every node to its place, likewise
MOST_SHIFT = 24.0 / 1024  # of the width


@dataclass(frozen=True, eq=False)
class _Photo:
    """A view's photo at working size and where it shows the sample points; ``nodes``, ``share``: their grid cells."""

    image: Float[np.ndarray, "3 h w"]
    slopes: Float[np.ndarray, "3 2 h w"]
    place: Float[np.ndarray, "n 2"]
    nodes: np.ndarray
    share: np.ndarray


def warped_capture(mesh: Mesh, capture: CalibratedCapture, observers: Sequence[Observer]) -> CalibratedCapture:
    """The capture with photos and their masks warped to agree on ``mesh``.

    Where the views agree already, and where only one sees the surface, nothing moves.
    """
    points, normals = _sample_points(mesh)
    weights = _weights(points, normals, observers)
    grids = [np.zeros((2, (GRID + 1) ** 2)) for _ in capture.views]
    for blur in BLURS:
        photos = [_photo(view, points, blur) for view in capture.views]
        colors = np.stack([_looked_up(p, g) for p, g in zip(photos, grids, strict=True)])
        for _ in range(SWEEPS):
            for i, photo in enumerate(photos):
                target, trust = _others(colors, weights, i)
                grids[i] = _step(photo, grids[i], target, trust)
                colors[i] = _looked_up(photo, grids[i])
    return replace(capture, views=tuple(_warped(v, g) for v, g in zip(capture.views, grids, strict=True)))


def _sample_points(mesh: Mesh) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points on the surface at which photos are compared (vertices and middles of faces), and the normals there."""
    normals = mesh.vertex_normals()
    middle = normals[mesh.faces].mean(1)
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-12)
    return np.vstack([mesh.vertices, mesh.vertices[mesh.faces].mean(1)]), np.vstack([normals, middle])


def _weights(points, normals, observers: Sequence[Observer]) -> Float[np.ndarray, "v n"]:
    """How well each view sees each point: squared cosine (the root of a sighting's weight), 0 where it does not."""
    weights = np.zeros((len(observers), len(points)))
    for i, observer in enumerate(observers):
        found = Sightings.empty(len(points), 1)
        sight(points, normals, [observer], found)
        weights[i] = np.sqrt(found.weights[:, 0])
    return weights


def _others(colors, weights, i: int):
    """What the other views show at each point, and how much a comparison with it counts."""
    rest = weights.copy()
    rest[i] = 0
    total = rest.sum(0)
    mean = np.einsum("vn,vnc->nc", rest, colors) / np.maximum(total, 1e-9)[:, None]
    return mean, weights[i] * total / np.maximum(weights[i] + total, 1e-9)


def _photo(view: CalibratedView, points: Float[np.ndarray, "n 3"], blur: float) -> _Photo:
    from PIL import Image

    ndimage = _ndimage()
    height, width = view.rgb.shape[:2]
    scale = WORK_SIZE / width
    size = (WORK_SIZE, max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(view.rgb).resize(size, Image.Resampling.BOX)).astype(np.float32)
    image = np.stack([ndimage.gaussian_filter(small[..., c], blur) for c in range(3)])
    place = view.rgb_pixels(points) * scale
    nodes, share = _cells(place, size)
    slopes = np.stack([np.stack(np.gradient(channel)) for channel in image])
    return _Photo(image, slopes, place, nodes, share)


def _cells(place: Float[np.ndarray, "n 2"], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The four grid nodes around each place, and their bilinear weights."""
    at = np.clip(place / size * GRID, 0, GRID - 1e-6)
    cell = at.astype(int)
    f = at - cell
    nodes = np.stack([(cell[:, 1] + dy) * (GRID + 1) + cell[:, 0] + dx for dy in (0, 1) for dx in (0, 1)], 1)
    share = [(f[:, 1] if dy else 1 - f[:, 1]) * (f[:, 0] if dx else 1 - f[:, 0]) for dy in (0, 1) for dx in (0, 1)]
    return nodes, np.stack(share, 1)


def _moved(photo: _Photo, grid: Float[np.ndarray, "2 g"]) -> Float[np.ndarray, "n 2"]:
    return photo.place + (grid.T[photo.nodes] * photo.share[..., None]).sum(1)


def _looked_up(photo: _Photo, grid: Float[np.ndarray, "2 g"]) -> Float[np.ndarray, "n 3"]:
    at = _moved(photo, grid) - 0.5
    sample = _ndimage().map_coordinates
    return np.stack([sample(channel, at.T[::-1], order=1, mode="nearest") for channel in photo.image], 1)


def _step(photo: _Photo, grid, target, trust) -> Float[np.ndarray, "2 g"]:
    """One robust Gauss-Newton step of a view's grid towards showing ``target`` at the points."""
    from scipy.sparse import csr_matrix

    used = trust > 1e-3
    at, count = (_moved(photo, grid)[used] - 0.5).T[::-1], grid.shape[1]
    sample = _ndimage().map_coordinates
    rows = np.repeat(np.arange(used.sum()), 4)
    basis = csr_matrix((photo.share[used].ravel(), (rows, photo.nodes[used].ravel())), shape=(used.sum(), count))
    blocks, right = np.zeros((3, len(rows) // 4)), np.zeros((2, len(rows) // 4))
    for c, channel in enumerate(photo.image):
        slope_y, slope_x = (sample(g, at, order=1, mode="nearest") for g in photo.slopes[c])
        apart = sample(channel, at, order=1, mode="nearest") - target[used, c]
        w = trust[used] / (1 + (apart / ROBUST_LEVELS) ** 2)
        blocks += w * np.stack([slope_x**2, slope_x * slope_y, slope_y**2])
        right -= w * apart * np.stack([slope_x, slope_y])
    xx, xy, yy = (np.asarray((basis.T @ (basis.multiply(b[:, None])).tocsr()).todense()) for b in blocks)
    matrix = np.block([[xx, xy], [xy.T, yy]])
    pull = np.concatenate([basis.T @ r for r in right])
    diagonal = np.diag(matrix)
    unit = float(diagonal[diagonal > 0].mean()) if (diagonal > 0).any() else 1.0
    stiff = unit * (STIFFNESS * _grid_laplacian() + HOLD * np.eye(count))
    both = np.kron(np.eye(2), stiff)
    moved = grid.ravel() + np.linalg.solve(matrix + both, pull - both @ grid.ravel())
    return np.clip(moved.reshape(2, -1), -MOST_SHIFT * WORK_SIZE, MOST_SHIFT * WORK_SIZE)


def _grid_laplacian() -> Float[np.ndarray, "g g"]:
    """Sum of squared differences of neighbouring nodes, as a quadratic form."""
    line = np.diff(np.eye(GRID + 1), axis=0)
    line = line.T @ line
    return np.kron(np.eye(GRID + 1), line) + np.kron(line, np.eye(GRID + 1))


def _warped(view: CalibratedView, grid: Float[np.ndarray, "2 g"]) -> CalibratedView:
    """The view with its photo and mask resampled: the new one shows at x what the old one showed at x + shift(x)."""
    if np.abs(grid).max() < 0.05:
        return view
    scale = view.rgb.shape[1] / WORK_SIZE
    shift = np.ascontiguousarray(grid.reshape(2, GRID + 1, GRID + 1) * scale)
    mask = view.rgb_mask if view.rgb_mask is not None else np.ones(view.rgb.shape[:2], bool)
    rgb, moved = np.empty_like(view.rgb), np.empty_like(mask)
    resample(np.ascontiguousarray(view.rgb), mask, shift, rgb, moved)
    return replace(view, rgb=rgb, rgb_mask=None if view.rgb_mask is None else moved)


@kernel()
def resample(rgb, mask, shift, out, out_mask):
    """Photo and mask moved by a (2, g, g) grid of shifts in pixels, bilinear between its nodes."""
    height, width = mask.shape
    cells = shift.shape[1] - 1
    color = np.zeros(3)
    for r in range(height):
        y = min((r + 0.5) / height * cells, cells - 1e-9)
        j, fy = int(y), y - int(y)
        for c in range(width):
            x = min((c + 0.5) / width * cells, cells - 1e-9)
            i, fx = int(x), x - int(x)
            dx = (1 - fy) * ((1 - fx) * shift[0, j, i] + fx * shift[0, j, i + 1])
            dx += fy * ((1 - fx) * shift[0, j + 1, i] + fx * shift[0, j + 1, i + 1])
            dy = (1 - fy) * ((1 - fx) * shift[1, j, i] + fx * shift[1, j, i + 1])
            dy += fy * ((1 - fx) * shift[1, j + 1, i] + fx * shift[1, j + 1, i + 1])
            u, v = min(max(c + dx, 0.0), width - 1.0), min(max(r + dy, 0.0), height - 1.0)
            out_mask[r, c] = mask[int(v + 0.5), int(u + 0.5)]
            bicubic(rgb, u, v, color)
            for k in range(3):
                out[r, c, k] = np.uint8(min(max(color[k], 0.0), 255.0) + 0.5)


def _ndimage() -> Any:
    """scipy.ndimage, imported late (0.2 s) and untyped (its inferred types are too wide to use)."""
    from scipy import ndimage

    return ndimage
