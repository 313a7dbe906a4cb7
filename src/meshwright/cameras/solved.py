"""Cameras that nobody gave: the rig is found from the depth maps (or assumed, where there is no depth)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshwright.cameras.consistency import agree
from meshwright.cameras.forced import ForcedRig, parse_rig
from meshwright.cameras.hypotheses import Arrangement, arrangements, slots_of_names
from meshwright.cameras.model import RigModel
from meshwright.cameras.observations import Observation, observe
from meshwright.cameras.placing import (
    ViewImages,
    moved_view,
    normalising_similarity,
    object_bounds,
    place_view,
    view_images,
)
from meshwright.cameras.registration import Registration
from meshwright.cameras.report import registration_findings, solved_report
from meshwright.cameras.rings import is_ring, search_ring
from meshwright.cameras.search import Evidence, search
from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.capture.capture import Capture, Finding, View
from meshwright.capture.masks import object_mask
from meshwright.errors import InputError
from meshwright.geometry.camera import Camera
from meshwright.progress import Context
from meshwright.workers import mapped

ASSUMED_FOV_DEG = 49.1


def calibrate_solved(capture: Capture, rig: str | None, register: bool, context: Context) -> CalibratedCapture:
    """Solve the rig of a capture without cameras."""
    forced = parse_rig(rig)
    ring = is_ring(capture.names, forced)
    slots = None if ring else slots_of_names(capture.names)
    if slots is None and not (ring and capture.has_depth):
        raise InputError(
            f"The capture's {len(capture.views)} views have no cameras, and their names "
            f"({', '.join(capture.names[:4])}, ...) are not those of a known rig"
            + ("; a ring can be solved only from depth maps." if ring else "."),
            reason="cameras_unsolvable",
            suggestion="Name the views front, back, left, right, top, bottom, or add a cameras.json.",
        )
    if slots is not None and not capture.has_depth:
        return _assumed(capture, slots, forced, register)
    evidence = _evidence(capture, forced, context)
    outcome = (
        search_ring(evidence, forced, context)
        if slots is None
        else search(evidence, _allowed(capture, slots, forced), forced, context)
    )
    return _placed(capture, evidence, outcome, register, context)


def _evidence(capture: Capture, forced: ForcedRig, context: Context) -> Evidence:
    observations: list[Observation] = []
    sizes: list[tuple[int, int]] = []
    for index, observation in enumerate(mapped(_observed, capture.views)):
        view = capture.views[index]
        context.report(0.15 * index / len(capture.views), f"reading the depth of {view.name}")
        assert view.depth is not None
        observations.append(observation)
        sizes.append((view.depth.values.shape[1], view.depth.values.shape[0]))
    return Evidence(observations, sizes, [view.rgb for view in capture.views], forced.fov_deg)


def _allowed(capture: Capture, slots: Sequence[str], forced: ForcedRig) -> list[Arrangement]:
    """The arrangements that agree with all facts."""
    allowed = [a for a in arrangements(capture.names, slots) if forced.allows(a, capture.names)]
    if not allowed:
        raise InputError(
            "No arrangement of these views agrees with --rig.",
            reason="rig_contradiction",
            suggestion="Name fewer facts in --rig, or leave it out to have the rig solved.",
        )
    return allowed


def _placed(
    capture: Capture, evidence: Evidence, outcome: Outcome, register: bool, context: Context
) -> CalibratedCapture:
    """The calibrated capture of a solved rig."""
    model = outcome.best.fit.model
    views: list[CalibratedView] = []
    registrations: list[Registration | None] = []
    laws = model.law_coefficients()

    def placed_view(index: int) -> tuple[CalibratedView, Registration | None]:
        mirrored = outcome.best.arrangement.placements[index].mirrored
        images = view_images(capture.views[index], mirrored)
        a, b = laws[index]
        return place_view(images, _camera(model, index, images), model.law, a, b, register)

    for index, (placed, found) in enumerate(mapped(placed_view, range(len(capture.views)))):
        context.report(0.8 + 0.15 * index / len(capture.views), f"registering {capture.views[index].name}")
        views.append(placed)
        registrations.append(found)
    bounds = object_bounds(tuple(views))
    context.report(0.95, "laying the photos where they agree")
    views, registrations = agree(views, registrations, float(np.linalg.norm(bounds[1] - bounds[0])))
    similarity = normalising_similarity(bounds)
    report = solved_report(outcome, evidence, capture.names, bounds)
    findings = (*capture.findings, *registration_findings(capture.names, registrations))
    return _finished(tuple(moved_view(v, similarity) for v in views), report, findings)


def _observed(view: View) -> Observation:
    """What the solver sees of a view. Its RGB's mask is made on the way: it is asked for later and remembered."""
    assert view.depth is not None
    object_mask(view)
    return observe(view.name, view.depth.values)


def _camera(model: RigModel, index: int, images: ViewImages) -> Camera:
    """Full-resolution camera of a fitted view, in the solver's world (half image = 1 at the rig's centre)."""
    poses = model.poses()
    height, width = images.values.shape if images.values is not None else images.rgb.shape[:2]
    half = 0.5 * max(width, height)
    focal = half if model.orthographic else half / model.kappa
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = poses.rotation[index], poses.centre[index]
    return Camera(K, c2w, width, height, "orthographic" if model.orthographic else "perspective")


def _finished(
    views: tuple[CalibratedView, ...], report: CalibrationReport, findings: tuple[Finding, ...]
) -> CalibratedCapture:
    bounds = object_bounds(views)
    diagonal = float(np.linalg.norm(bounds[1] - bounds[0]))
    return CalibratedCapture(views, report, diagonal, bounds, False, "relative", (*findings, *report.findings))


def _assumed(capture: Capture, slots: Sequence[str], forced: ForcedRig, register: bool) -> CalibratedCapture:
    """Without depth nothing fixes the rig: the canonical one is assumed, and said so."""
    arrangement = next(a for a in arrangements(capture.names, slots, False) if forced.allows(a, capture.names))
    fov = forced.fov_deg or ASSUMED_FOV_DEG
    kappa = float(np.tan(np.radians(fov / 2)))
    views: list[CalibratedView] = []
    for view, placement in zip(capture.views, arrangement.placements, strict=True):
        images = view_images(view)
        height, width = images.rgb.shape[:2]
        c2w = np.eye(4)
        c2w[:3, :3] = placement.rotation()
        c2w[:3, 3] = -c2w[:3, 2] / kappa
        views.append(
            place_view(images, Camera.from_fov(fov, c2w, width, height), forced.depth_law(), 1.0, 0.0, register)[0]
        )
    similarity = normalising_similarity(object_bounds(tuple(views)))
    finding = Finding(
        "cameras_assumed",
        "There is neither depth nor a camera file: "
        f"the canonical rig with a field of view of {fov:g} degrees is assumed.",
        "Add depth maps (the rig is then solved) or a cameras.json.",
    )
    report = CalibrationReport("assumed", arrangement.describe(capture.names), fov_deg=fov, findings=(finding,))
    return _finished(tuple(moved_view(v, similarity) for v in views), report, capture.findings)
