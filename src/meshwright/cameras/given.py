"""Given cameras: used as they are; only unknown depth scales are fitted; contradictions are reported by view."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from meshwright.cameras.consistency import agree
from meshwright.cameras.model import DepthLaw
from meshwright.cameras.placing import object_bounds, place_view, view_images
from meshwright.cameras.registration import Registration
from meshwright.cameras.report import registration_findings, residual_rows
from meshwright.cameras.scales import FixedRig, ScaleFit, fit_scales, odd_view
from meshwright.cameras.solve import pair_table
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.capture.capture import Capture, Finding, View
from meshwright.geometry.camera import Camera
from meshwright.progress import Context
from meshwright.workers import mapped

CONTRADICTION_PCT = 1.0
Law = tuple[DepthLaw, float, float]


def calibrate_given(capture: Capture, register: bool, context: Context) -> CalibratedCapture:
    """Calibrate a capture whose views all have cameras."""
    cameras = [_depth_camera(view) for view in capture.views]
    found = _fit_depths(capture, cameras, context)
    laws = _laws(capture, found)
    views: list[CalibratedView] = []
    registrations: list[Registration | None] = []

    def placed_view(index: int) -> tuple[CalibratedView, Registration | None]:
        view = capture.views[index]
        return place_view(view_images(view), cameras[index], *laws[view.name], register)

    for index, (placed, registration) in enumerate(mapped(placed_view, range(len(cameras)))):
        context.report(0.5 + 0.45 * index / len(cameras), f"registering {capture.views[index].name}")
        views.append(placed)
        registrations.append(registration)
    bounds = object_bounds(tuple(views))
    diagonal = float(np.linalg.norm(bounds[1] - bounds[0]))
    context.report(0.95, "laying the photos where they agree")
    views, registrations = agree(views, registrations, diagonal)
    report = _report(capture, found, diagonal, context.check_cancelled)
    findings = (*capture.findings, *report.findings, *registration_findings(capture.names, registrations))
    scale = "metric" if capture.unit == "metre" else "relative"
    return CalibratedCapture(tuple(views), report, diagonal, bounds, True, scale, findings)


def _depth_camera(view: View) -> Camera:
    assert view.camera is not None
    if view.depth is None:
        return view.camera
    height, width = view.depth.values.shape
    return view.camera.resized(width, height)


def _fit_depths(capture: Capture, cameras: Sequence[Camera], context: Context) -> ScaleFit | None:
    """The depth laws of all views with depth; None where fewer than two have one."""
    chosen = [(v.name, v.depth, camera) for v, camera in zip(capture.views, cameras, strict=True) if v.depth]
    if len(chosen) < 2:
        return None
    context.report(0.2, "checking the cameras against the depth maps")
    names, depths, with_depth = zip(*chosen, strict=True)
    return fit_scales(FixedRig.of(names, depths, with_depth), context.check_cancelled)


def _laws(capture: Capture, found: ScaleFit | None) -> dict[str, Law]:
    """Each view's depth law in world units: the declared scale, else the fitted law, else values as they are."""
    fitted: dict[str, Law] = {}
    if found is not None:
        fitted = {o.name: law for o, law in zip(found.rig.observations, found.world_laws(), strict=True)}
    laws: dict[str, Law] = {}
    for view in capture.views:
        declared = view.depth.unit_scale if view.depth else None
        laws[view.name] = (DepthLaw(), declared, 0.0) if declared else fitted.get(view.name, (DepthLaw(), 1.0, 0.0))
    return laws


def _report(capture: Capture, found: ScaleFit | None, diagonal: float, check: Callable[[], None]) -> CalibrationReport:
    fov = [v.camera.fov_deg for v in capture.views if v.camera is not None and v.camera.projection == "perspective"]
    fov_deg = float(np.median(fov)) if fov else None
    if found is None:
        return CalibrationReport("given", {"rig": "given"}, fov_deg=fov_deg)
    model, law = found.fit.model, found.fit.model.law
    hypothesis = {
        "rig": "given",
        "depth_law": "ray" if law.ray else "z",
        "depth_encoding": law.encoding,
        "offset": law.offset,
        "depth_scale": "given" if found.rig.all_declared else "estimated",
    }
    unit_diagonal = diagonal / found.rig.size
    names = [o.name for o in found.rig.observations]
    rows = residual_rows(found.rig.problem(), model, names, unit_diagonal)
    table = pair_table(found.rig.problem(), model, unit_diagonal)
    findings = _contradictions(found, table, names, unit_diagonal, check)
    pct = 100 * found.fit.residual / unit_diagonal
    return CalibrationReport("given", hypothesis, residual_pct=pct, residuals=rows, fov_deg=fov_deg, findings=findings)


def _contradictions(
    found: ScaleFit,
    table: Float[np.ndarray, "n n"],
    names: Sequence[str],
    diagonal: float,
    check: Callable[[], None],
) -> tuple[Finding, ...]:
    """The view without which the others agree; where there is none, those with the largest misfits."""
    per_view = (table.sum(0) + table.sum(1)) / max(2 * (len(names) - 1), 1)
    if per_view.max() <= CONTRADICTION_PCT:
        return ()
    whole = 100 * found.fit.residual / diagonal
    odd = odd_view(found, check)
    if odd is not None:
        rest = 100 * odd[1] / diagonal
        name = names[odd[0]]
        message = (
            f"The camera or depth of {name} contradicts the other views: without it they agree to {rest:.2f} % "
            f"of the object's diagonal, with it only to {whole:.2f} %."
        )
        return (_contradiction(name, message),)
    return tuple(
        _contradiction(
            name,
            f"The camera or depth of {name} contradicts the other views by {value:.2f} % of the object's diagonal.",
        )
        for name, value in zip(names, per_view, strict=True)
        if value > CONTRADICTION_PCT and value >= 0.7 * per_view.max()
    )


def _contradiction(name: str, message: str) -> Finding:
    remedy = f"Check the pose of {name} (axes, order, scale), or solve all cameras with --rig solve."
    return Finding("camera_contradiction", message, remedy, name)
