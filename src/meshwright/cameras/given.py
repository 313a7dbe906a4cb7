"""Given cameras: used as they are; only unknown depth scales are fitted; contradictions are reported by view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from meshwright.cameras.model import DepthLaw, RigModel, anchor_values, view_supports
from meshwright.cameras.observations import observe, stack_maps, stack_samples
from meshwright.cameras.placing import object_bounds, place_view, view_images
from meshwright.cameras.report import registration_findings, residual_rows
from meshwright.cameras.solve import Fit, Problem, fit, pair_table, residual_of, scanned
from meshwright.capture.calibrated import CalibratedCapture, CalibrationReport
from meshwright.capture.capture import Capture, Finding, View
from meshwright.geometry.camera import Camera
from meshwright.progress import Context

LAWS = (
    DepthLaw(),
    DepthLaw(ray=True),
    DepthLaw(near_bright=True),
    DepthLaw(inverse=True),
    DepthLaw(offset=True),
    DepthLaw(inverse=True, offset=True),
)
BANDS = (0.04, 0.015, 0.006, 0.003)
CONTRADICTION_PCT = 1.0
GOOD = 8e-4  # half-image units, as in `search`


def calibrate_given(capture: Capture, register: bool, context: Context) -> CalibratedCapture:
    """Calibrate a capture whose views all have cameras."""
    cameras = [_depth_camera(view) for view in capture.views]
    laws = {v.name: (DepthLaw(), v.depth.unit_scale or 1.0, 0.0) for v in capture.views if v.depth is not None}
    found, with_depth = None, [i for i, v in enumerate(capture.views) if v.depth is not None]
    if len(with_depth) >= 2:
        context.report(0.2, "checking the cameras against the depth maps")
        found = _fit_scales(capture, cameras, with_depth, context)
        if any(capture.views[i].depth.unit_scale is None for i in with_depth):
            coefficients = found.model.law_coefficients()
            laws |= {capture.views[i].name: (found.model.law, *coefficients[k]) for k, i in enumerate(with_depth)}
    views, registrations = [], []
    for index, (view, camera) in enumerate(zip(capture.views, cameras, strict=True)):
        context.report(0.5 + 0.45 * index / len(cameras), f"registering {view.name}")
        placed, registration = place_view(
            view_images(view), camera, *laws.get(view.name, (DepthLaw(), 1.0, 0.0)), register
        )
        views.append(placed)
        registrations.append(registration)
    bounds = object_bounds(tuple(views))
    diagonal = float(np.linalg.norm(bounds[1] - bounds[0]))
    report = _report(capture, found, with_depth, diagonal)
    findings = (*capture.findings, *report.findings, *registration_findings(capture.names, registrations))
    scale = "metric" if capture.unit == "metre" else "relative"
    return CalibratedCapture(tuple(views), report, diagonal, bounds, True, scale, findings)


def _depth_camera(view: View) -> Camera:
    assert view.camera is not None
    if view.depth is None:
        return view.camera
    height, width = view.depth.values.shape
    return view.camera.resized(width, height)


class _GivenFit(Fit):
    """A fit with the evidence that it came from."""

    problem: Problem


def _fit_scales(capture: Capture, cameras: list[Camera], with_depth: list[int], context: Context) -> _GivenFit:
    """Depth laws of all views under fixed cameras; where every scale is declared, only evaluated."""
    views = [capture.views[i] for i in with_depth]
    observations = [observe(v.name, v.depth.values) for v in views]
    intrinsics = np.array([
        [c.K[0, 0] * o.scale, c.K[1, 1] * o.scale, c.K[0, 2] * o.scale, c.K[1, 2] * o.scale]
        for c, o in zip((cameras[i] for i in with_depth), observations, strict=True)
    ])  # fmt: skip
    rotation = np.stack([cameras[i].c2w[:3, :3] for i in with_depth])
    centres = np.stack([cameras[i].center for i in with_depth])
    size = _object_size(cameras, with_depth, observations, intrinsics, centres, rotation)
    # residual kernels count in half images of about one object: bring the world to that size for the fit
    problem = Problem(stack_samples(observations), stack_maps(observations), view_supports(observations, intrinsics))
    thin = replace(problem, samples=stack_samples(observations, 300))
    sparse = replace(problem, samples=stack_samples(observations, 100))
    declared = [v.depth.unit_scale for v in views]
    orthographic = cameras[with_depth[0]].projection == "orthographic"
    best: Fit | None = None
    for law in LAWS if None in declared else LAWS[:1]:
        context.check_cancelled()
        start = _start(observations, law, rotation, intrinsics, centres / size, orthographic, declared, size)
        candidate = (
            _fitted(thin, sparse, start) if None in declared else Fit(start, 0.0, residual_of(problem, start), 0)
        )
        handicap = 1.0 if best is None else (0.8 if law.parameters == 1 else 0.6)
        if best is None or candidate.residual < handicap * best.residual:
            best = candidate
        if best.residual < GOOD:
            break
    assert best is not None
    if None in declared:
        kernel = replace(problem.kernel, coverage=1.0, slack=0.004, violation=0.01)
        best = fit(replace(problem, kernel=kernel), best.model, BANDS[2:], 12)
    result = _GivenFit(_rescaled(best.model, size), best.cost, residual_of(problem, best.model), best.iterations)
    object.__setattr__(result, "problem", problem)
    object.__setattr__(result, "unit_model", best.model)
    return result


def _fitted(thin: Problem, sparse: Problem, start: RigModel) -> Fit:
    """A fit; where it ends with a misfit, again from a scan over each view's scale."""
    found = fit(thin, start, BANDS[:3])
    if found.residual < GOOD:
        return found
    again = fit(thin, scanned(sparse, found.model), BANDS[:3], 20)
    return min(found, again, key=lambda f: f.residual)


def _object_size(cameras, with_depth, observations, intrinsics, centres, rotation) -> float:
    """Half an image's width at the object, in world units: median over views of reach at the axes' meeting point."""
    forward = rotation[:, :, 2]
    target = _axes_meet(centres, forward)
    reach = view_supports(observations, intrinsics).max(1)
    depth = ((target - centres) * forward).sum(-1)
    if cameras[with_depth[0]].projection == "orthographic":
        return float(2 * np.median(reach))
    return float(2 * np.median(reach * np.maximum(depth, 1e-9)))


def _axes_meet(centres, forward):
    """The point nearest to all optical axes."""
    planes = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    return np.linalg.lstsq(planes.sum(0), (planes @ centres[:, :, None]).sum(0)[:, 0], rcond=None)[0]


def _start(observations, law, rotation, intrinsics, centres, orthographic, declared, size) -> RigModel:
    """Depths that put each view's nearest surface where the silhouettes' hull begins."""
    hull = _hull_points(observations, rotation, intrinsics, centres, orthographic)
    anchors = np.array([anchor_values(o, law) for o in observations])
    depths = np.empty_like(anchors)
    for i, (o, scale) in enumerate(zip(observations, declared, strict=True)):
        z = (hull - centres[i]) @ rotation[i][:, 2]
        near, middle = float(z.min()), float(np.median(z))
        if scale is not None:
            depths[i] = anchors[i] * scale / size
        elif law.parameters == 1:
            ratio = anchors[i, 0] / anchors[i, 1] if law.inverse else anchors[i, 1] / anchors[i, 0]
            depths[i] = near, near * ratio
        else:
            share = np.clip((o.rim - anchors[i, 0]) / (anchors[i, 1] - anchors[i, 0] + 1e-12), 0.3, 1.0)
            depths[i] = near, near + max(middle - near, 0.02) / share
    return RigModel(
        law,
        rotation,
        intrinsics,
        anchors,
        1.0,
        np.maximum(depths, 1e-3),
        orthographic,
        fixed_centres=centres,
        fit_kappa=False,
    )


def _hull_points(observations, rotation, intrinsics, centres, orthographic, n: int = 44):
    """Grid points (object size about 1) inside every silhouette; outside an image nothing is known."""
    axis = np.linspace(-0.9, 0.9, n)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    grid = grid + _axes_meet(centres, rotation[:, :, 2])
    inside = np.ones(len(grid), bool)
    for o, r, k, c in zip(observations, rotation, intrinsics, centres, strict=True):
        local = (grid - c) @ r
        flat = local[:, :2] if orthographic else local[:, :2] / np.maximum(local[:, 2:], 1e-6)
        x, y = (flat * k[:2] + k[2:]).T
        known = (x >= 0) & (y >= 0) & (x < o.size[0]) & (y < o.size[1]) & (local[:, 2] > 0)
        xi, yi = x[known].astype(int), y[known].astype(int)
        inside[np.nonzero(known)[0]] &= o.distance[yi, xi] < 1.0
        inside &= known | _touches_border(o.distance)
    return grid[inside] if inside.sum() > 8 else grid


def _touches_border(distance) -> bool:
    return bool(min(distance[0].min(), distance[-1].min(), distance[:, 0].min(), distance[:, -1].min()) < 0)


def _rescaled(model: RigModel, size: float) -> RigModel:
    return replace(model, depths=model.depths * size, fixed_centres=model.fixed_centres * size)


def _report(capture: Capture, found, with_depth: list[int], diagonal: float) -> CalibrationReport:
    fov = [v.camera.fov_deg for v in capture.views if v.camera is not None and v.camera.projection == "perspective"]
    fov_deg = float(np.median(fov)) if fov else None
    if found is None:
        return CalibrationReport("given", {"rig": "given"}, fov_deg=fov_deg)
    names = [capture.views[i].name for i in with_depth]
    law: DepthLaw = found.model.law
    hypothesis = {
        "rig": "given",
        "depth_law": "ray" if law.ray else "z",
        "depth_encoding": law.encoding,
        "offset": law.offset,
        "depth_scale": "given" if all(capture.views[i].depth.unit_scale for i in with_depth) else "estimated",
    }
    unit_diagonal = diagonal * found.unit_model.depths[0, 1] / found.model.depths[0, 1]
    rows = residual_rows(found.problem, found.unit_model, names, unit_diagonal)
    findings = _contradictions(pair_table(found.problem, found.unit_model, unit_diagonal), names)
    pct = 100 * found.residual / unit_diagonal
    return CalibrationReport("given", hypothesis, residual_pct=pct, residuals=rows, fov_deg=fov_deg, findings=findings)


def _contradictions(table, names) -> tuple[Finding, ...]:
    """Views whose points contradict the others, and are contradicted, far more than the rest."""
    n = len(names)
    per_view = (table.sum(0) + table.sum(1)) / max(2 * (n - 1), 1)
    return tuple(
        Finding(
            "camera_contradiction",
            f"The camera or depth of {name} contradicts the other views by {value:.2f} % of the object's diagonal.",
            f"Check the pose of {name} (axes, order, scale), or solve all cameras with --rig solve.",
            name,
        )
        for name, value in zip(names, per_view, strict=True)
        if value > CONTRADICTION_PCT and value >= 0.7 * per_view.max()
    )
