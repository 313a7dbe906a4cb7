"""What the ground truth says for an arrangement: how well exact depth, silhouettes and colours agree in it.

An arrangement is a camera and a mirror flag per view. It is *undecidable* against the true one when, with the true
field of view, distance and exact depth, it explains the images as well: no free-space or silhouette violation more, no
colour difference more. Then nobody can tell the two apart from this input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ladder.case import Case, TrueView
from meshwright.cameras.rigs import SLOTS, slot_rotation
from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import rotation_angle_deg

SIZE = 256  # pixels: the maps are compared at this size
CLIP = 0.06  # of the diagonal, as in research/calibration.md
GEOMETRY_MARGIN = 0.03  # percent of the diagonal: what 8-bit steps (0.5 %) leave after averaging over view pairs
MEAN_FACTOR, MEAN_MARGIN = 1.1, 0.5  # of the colour difference in grey levels: what resampling alone may do
MEDIAN_MARGIN = 2.0  # grey levels; a median sees through the few points at colour edges that rule the mean


@dataclass(frozen=True)
class Placement:
    """Where a view stands in an arrangement."""

    slot: str
    roll_deg: int
    mirrored: bool

    def rotation(self) -> np.ndarray:
        return slot_rotation(self.slot, self.roll_deg)


@dataclass(frozen=True)
class Evidence:
    """Mean violation in percent of the diagonal; mean and median colour difference in grey levels at ``points``."""

    geometry_pct: float
    colour: float
    colour_median: float
    points: int

    def as_good_as(self, other: Evidence) -> bool:
        """True where nothing in depth or colour speaks against this one in favour of ``other``."""
        return (
            self.geometry_pct <= other.geometry_pct + GEOMETRY_MARGIN
            and self.colour <= MEAN_FACTOR * other.colour + MEAN_MARGIN
            and self.colour_median <= other.colour_median + MEDIAN_MARGIN
        )


def true_placements(case: Case) -> list[Placement]:
    return [Placement(view.slot, view.roll_deg, view.mirrored) for view in case.views]


def snap(rotation: np.ndarray, mirrored: bool, within_deg: float = 15.0) -> Placement | None:
    """The slot and roll nearest to a camera's rotation, None if none is near."""
    turns = [(slot, degrees) for slot in SLOTS for degrees in (0, 90, 180, 270)]
    angles = [rotation_angle_deg(rotation.T @ slot_rotation(slot, degrees)) for slot, degrees in turns]
    best = int(np.argmin(angles))
    return Placement(*turns[best], mirrored) if angles[best] < within_deg else None


def undecidable(case: Case, found: list[Placement | None]) -> bool:
    """True where the ground truth cannot tell ``found`` from the true arrangement.

    Only view pairs are compared whose relation differs: the others are equally good in both.
    """
    places = [place for place in found if place]
    if len(places) < len(found):
        return False
    truth = true_placements(case)
    pairs = changed_pairs(places, truth)
    return not pairs or evidence(case, places, pairs).as_good_as(evidence(case, truth, pairs))


def changed_pairs(a: list[Placement], b: list[Placement]) -> list[tuple[int, int]]:
    """Ordered view pairs that stand to each other in ``a`` otherwise than in ``b``."""

    def relation(places: list[Placement], i: int, j: int) -> tuple[object, ...]:
        turn = np.rint(places[i].rotation().T @ places[j].rotation()).astype(int)
        return (*turn.ravel().tolist(), places[i].mirrored, places[j].mirrored)

    n = range(len(a))
    return [(i, j) for i in n for j in n if i != j and relation(a, i, j) != relation(b, i, j)]


def all_pairs(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(count) if i != j]


def evidence(case: Case, placements: list[Placement], pairs: list[tuple[int, int]] | None = None) -> Evidence:
    """Agreement of ordered view pairs (default: all) under an arrangement."""
    seen = [_placed(view, place) for view, place in zip(case.views, placements, strict=True)]
    pairs = pairs or all_pairs(len(seen))
    results = [_pair(seen[i], seen[j], case.diagonal) for i, j in pairs]
    geometry = [cost for cost, _ in results]
    for target in sorted({j for _, j in pairs}):
        points = np.concatenate([view.points for i, view in enumerate(seen) if i != target])
        geometry.append(0.3 * _uncovered(seen[target], seen[target].camera.project(points)[0], case.diagonal))
    differences = np.concatenate([colour for _, colour in results])
    if not len(differences):
        return Evidence(100 * float(np.mean(geometry)), 0.0, 0.0, 0)
    return Evidence(
        100 * float(np.mean(geometry)), float(differences.mean()), float(np.median(differences)), len(differences)
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    camera: Camera
    z: np.ndarray
    rgb: np.ndarray
    gap: np.ndarray  # pixels to the silhouette
    points: np.ndarray
    colors: np.ndarray


def _placed(view: TrueView, place: Placement) -> _Seen:
    """The view at map size, seen from where the arrangement puts it."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    flip = slice(None, None, -1) if view.mirrored != place.mirrored else slice(None)
    step = view.z.shape[0] // SIZE
    z = view.z[step // 2 :: step, step // 2 :: step][:, flip]
    rgb = np.asarray(Image.fromarray(view.rgb).resize(z.shape[::-1], Image.Resampling.BOX), float)[:, flip]
    c2w = np.eye(4)
    c2w[:3, :3] = slot_rotation(place.slot, place.roll_deg)
    c2w[:3, 3] = -c2w[:3, 2] * np.linalg.norm(view.camera.center)
    small = view.camera.resized(z.shape[1], z.shape[0])
    camera = Camera(small.K, c2w, small.width, small.height, small.projection)
    inner = binary_erosion(z > 0, iterations=2)
    rows, columns = np.nonzero(inner)
    points = camera.unproject(np.column_stack([columns, rows]) + 0.5, z[inner])
    return _Seen(camera, z, rgb, distance_transform_edt(z <= 0), points, rgb[inner])


def _pair(source: _Seen, target: _Seen, diagonal: float) -> tuple[float, np.ndarray]:
    uv, depth = target.camera.project(source.points)
    pixel = np.clip(uv.astype(int), 0, [target.camera.width - 1, target.camera.height - 1])
    z = target.z[pixel[:, 1], pixel[:, 0]]
    outside = target.gap[pixel[:, 1], pixel[:, 0]] * target.camera.pixel_size(depth)
    in_front = np.where(z > 0, np.maximum(z - depth, 0), outside)
    cost = np.minimum(in_front / diagonal, CLIP).mean()
    same = (z > 0) & (np.abs(z - depth) < 0.004 * diagonal)
    differences = np.abs(source.colors[same] - target.rgb[pixel[same, 1], pixel[same, 0]]).mean(1)
    return float(cost), differences


def _uncovered(target: _Seen, uv: np.ndarray, diagonal: float) -> float:
    """Gap between the target's silhouette box and the box of all that the other views put there."""
    rows, columns = np.nonzero(target.z > 0)
    low = np.array([columns.min(), rows.min()]) - uv.min(0)
    high = uv.max(0) - np.array([columns.max() + 1, rows.max() + 1])
    pixel = target.camera.pixel_size(np.linalg.norm(target.camera.center))
    return float(np.abs(np.concatenate([low, high])).mean() * pixel / diagonal)
