"""Scores of one run: found cameras, scales and laws against the truth, after one similarity over the camera centres."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ladder.case import Case, TrueView
from ladder.evidence import Placement, snap, undecidable
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView
from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import rotation_angle_deg
from meshwright.geometry.similarity import umeyama

ROTATION_DEG = 2.0


@dataclass(frozen=True)
class Score:
    """One run. ``counts`` is the verdict: right arrangement and law, or a reported tie that the truth bears out."""

    case: str
    step: str
    group: str
    arrangement: bool
    law: bool
    tie: bool
    undecidable: bool
    seconds: float
    fov_error_deg: float | None = None
    centre_error_pct: float | None = None
    scale_error_pct: float | None = None
    rotation_error_deg: float | None = None
    runner_up_ratio: float | None = None
    found: str = ""
    error: str = ""

    @property
    def right(self) -> bool:
        return self.arrangement and self.law

    @property
    def counts(self) -> bool:
        return self.law and (self.arrangement or (self.tie and self.undecidable))

    def row(self) -> dict[str, object]:
        return {**asdict(self), "right": self.right, "counts": self.counts}


def score(case: Case, step: str, group: str, found: CalibratedCapture, seconds: float) -> Score:
    """Compare; views are matched by name."""
    by_name = {view.name: view for view in found.views}
    views = [by_name[view.name] for view in case.views]
    hypothesis = found.report.hypothesis
    mirrored = [bool(hypothesis.get("views", {}).get(v.name, {}).get("mirrored", False)) for v in case.views]
    align = alignment(case, views)
    cameras = [view.camera.transformed(align) for view in views]
    turned = [
        rotation_angle_deg(a.c2w[:3, :3].T @ b.camera.c2w[:3, :3]) for a, b in zip(cameras, case.views, strict=True)
    ]
    flags = all(m == v.mirrored for m, v in zip(mirrored, case.views, strict=True))
    arrangement = flags and max(turned) < ROTATION_DEG
    places = [snap(view.camera.c2w[:3, :3], flag) for view, flag in zip(views, mirrored, strict=True)]
    return Score(
        case.name,
        step,
        group,
        arrangement,
        law_right(case, hypothesis),
        bool(found.report.tie),
        (not arrangement) and undecidable(case, places),
        seconds,
        fov_error(case.views[0].camera, cameras[0]),
        100 * centre_error(case, cameras) / case.diagonal if arrangement else None,
        100 * scale_error(case, views, align) if arrangement else None,
        max(turned),
        found.report.margin,
        describe(hypothesis, [v.name for v in case.views], places),
    )


def failed(case: Case, step: str, group: str, error: Exception, seconds: float) -> Score:
    """A run that raised."""
    return Score(case.name, step, group, False, False, False, False, seconds, error=f"{type(error).__name__}: {error}")


def alignment(case: Case, views: list[CalibratedView]) -> np.ndarray:
    """The similarity that takes the found world to the true one.

    Over camera centres (Umeyama); parallel rays fix no centre along the axis, so there the mean rotation, the pixel
    scale and the centres across the axes are taken.
    """
    found = np.stack([view.camera.center for view in views])
    true = np.stack([view.camera.center for view in case.views])
    if case.law["projection"] == "perspective" and views[0].camera.projection == "perspective":
        return umeyama(found, true)
    u, _, vt = np.linalg.svd(
        sum(b.camera.c2w[:3, :3] @ a.camera.c2w[:3, :3].T for a, b in zip(views, case.views, strict=True))
    )
    matrix = np.eye(4)
    matrix[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    matrix[:3, :3] *= float(
        np.median([pixel(b.camera) / pixel(a.camera) for a, b in zip(views, case.views, strict=True)])
    )
    rows, offsets = [], []
    for a, b in zip(views, case.views, strict=True):
        across = b.camera.c2w[:3, :2].T
        rows.append(across)
        offsets.append(across @ (b.camera.center - matrix[:3, :3] @ a.camera.center))
    matrix[:3, 3] = np.linalg.lstsq(np.concatenate(rows), np.concatenate(offsets), rcond=None)[0]
    return matrix


def pixel(camera: Camera) -> float:
    """World size of a pixel (at the camera's distance from the origin, for a perspective camera)."""
    return float(camera.pixel_size(1.0 if camera.projection == "orthographic" else np.linalg.norm(camera.center)))


def fov_error(true: Camera, found: Camera) -> float | None:
    """Degrees; None unless both are perspective."""
    if "orthographic" in (true.projection, found.projection):
        return None
    return abs(found.fov_deg - true.fov_deg)


def centre_error(case: Case, cameras: list[Camera]) -> float:
    """The worst distance of a found centre from the true one (across the axis for parallel rays)."""
    worst = 0.0
    for camera, view in zip(cameras, case.views, strict=True):
        gap = camera.center - view.camera.center
        if case.law["projection"] == "orthographic":
            gap = view.camera.c2w[:3, :2].T @ gap
        worst = max(worst, float(np.linalg.norm(gap)))
    return worst


def scale_error(case: Case, views: list[CalibratedView], align: np.ndarray) -> float:
    """The worst view's relative error of depth scale: found depth against exact depth (slope for parallel rays)."""
    world = float(np.cbrt(np.linalg.det(align[:3, :3])))
    return max(
        _one_scale(view, true, world, case.law["projection"]) for view, true in zip(views, case.views, strict=True)
    )


def _one_scale(view: CalibratedView, true: TrueView, world: float, projection: str) -> float:
    if view.depth is None or view.depth.shape != true.z.shape:
        return float("inf")
    both = (view.depth > 0) & (true.z > 0)
    found, exact = view.depth[both] * world, true.z[both]
    if projection == "orthographic":
        slope = np.polyfit(exact, found, 1)[0]
        return abs(float(slope) - 1)
    return abs(float(np.median(found / exact)) - 1)


def law_right(case: Case, hypothesis: dict) -> bool:
    """Projection, ray or z, encoding; an offset matters only for the linear far-bright law (near-bright has one)."""
    law = case.law
    same = all(hypothesis.get(key) == law[key] for key in ("projection", "depth_law", "depth_encoding"))
    if law["depth_encoding"] == "linear" and law["projection"] == "perspective":
        same = same and bool(hypothesis.get("offset", False)) == law["offset"]
    return same


def describe(hypothesis: dict, names: list[str], places: list[Placement | None]) -> str:
    """The found arrangement in one line, only what is not plain."""
    odd = []
    for name, place in zip(names, places, strict=True):
        if place is None:
            odd.append(f"{name}: off axis")
        elif (place.slot, place.roll_deg, place.mirrored) != (name, 0, False):
            odd.append(f"{name}={place.slot}{place.roll_deg or ''}{' mirrored' if place.mirrored else ''}")
    laws = [str(hypothesis.get(k)) for k in ("projection", "depth_law", "depth_encoding")]
    return ", ".join([*odd, " ".join(laws) + (" offset" if hypothesis.get("offset") else "")])
