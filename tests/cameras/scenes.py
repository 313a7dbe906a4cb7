"""Captures of known rigs: the sample's objects photographed small, and what may have happened to them on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from meshwright.cameras.evidence import Evidence
from meshwright.cameras.hypotheses import Arrangement, Placement, arrangements, slots_of_names
from meshwright.cameras.model import DepthLaw
from meshwright.cameras.observations import observe
from meshwright.cameras.rigs import CANONICAL_NAMES
from meshwright.cameras.search import start_model
from meshwright.capture.calibrated import CalibratedCapture
from meshwright.capture.capture import Capture, DepthImage, View
from meshwright.geometry.camera import pixel_grid
from meshwright.geometry.rotations import rotation_angle_deg
from meshwright.geometry.similarity import umeyama
from meshwright.sample.scene import Sample, SampleOptions, make_sample

SIZE = 160
SMALL = {"cells": 56, "texture_size": 256, "rgb_size": SIZE, "depth_size": SIZE, "novel": 0}


@cache
def sample(**options: object) -> Sample:
    """A small sample; read only."""
    return make_sample(SampleOptions(**{**SMALL, **options}))  # type: ignore[arg-type]


def changed(capture: Capture, name: str, change: Callable[[View], View]) -> Capture:
    """The capture with one view changed."""
    return replace(capture, views=tuple(change(v) if v.name == name else v for v in capture.views))


def on_images(view: View, turn: Callable[[np.ndarray], np.ndarray]) -> View:
    """RGB and depth of a view after the same operation."""
    assert view.depth is not None
    depth = replace(view.depth, values=np.ascontiguousarray(turn(view.depth.values)))
    return replace(view, rgb=np.ascontiguousarray(turn(view.rgb)), depth=depth)


def rolled(capture: Capture, name: str, degrees: int) -> Capture:
    """One view's images turned clockwise."""
    return changed(capture, name, lambda v: on_images(v, lambda image: np.rot90(image, -degrees // 90)))


def mirrored(capture: Capture, name: str) -> Capture:
    """One view's images mirrored left to right."""
    return changed(capture, name, lambda v: on_images(v, lambda image: image[:, ::-1]))


def swapped(capture: Capture, a: str, b: str) -> Capture:
    """Two views that took each other's name."""
    names = {a: b, b: a}
    views = [replace(v, name=names.get(v.name, v.name)) for v in capture.views]
    return replace(capture, views=tuple(sorted(views, key=lambda v: capture.names.index(v.name))))


def stored_as(truth: Sample, law: Callable[[np.ndarray], np.ndarray], ray: bool = False) -> Capture:
    """A capture whose 8-bit depth holds ``law(z of the object's pixels)`` (of the ray's length with ``ray``)."""
    views = []
    for shot, view in zip(truth.shots, truth.capture().views, strict=True):
        depth = shot.depth.astype(float)
        if ray:
            camera = shot.camera.resized(depth.shape[1], depth.shape[0])
            slope = (pixel_grid(camera.width, camera.height) - camera.K[:2, 2]) / camera.K[0, 0]
            depth = depth * np.sqrt(1 + (slope**2).sum(-1))
        values = np.zeros(depth.shape, np.float32)
        values[depth > 0] = np.clip(np.rint(law(depth[depth > 0])), 1, 255)
        views.append(replace(view, depth=DepthImage(values, 8), camera=None))
    return Capture(tuple(views))


def evidence_of(capture: Capture) -> Evidence:
    """The solver's evidence of a capture's views."""
    depths = [v.depth.values for v in capture.views if v.depth is not None]
    observations = [observe(v.name, d) for v, d in zip(capture.views, depths, strict=True)]
    return Evidence(observations, [(d.shape[1], d.shape[0]) for d in depths], [v.rgb for v in capture.views])


def plain_arrangement(names: Sequence[str] = CANONICAL_NAMES) -> Arrangement:
    """Every view in the slot of its name."""
    return Arrangement(tuple(Placement(name) for name in names), "viewer")


def true_model(truth: Sample, evidence: Evidence):
    """The solver's model with the true field of view and depth scales of a canonical sample."""
    model = start_model(evidence, plain_arrangement(), DepthLaw(), False, truth.options.fov_deg)
    unit = truth.options.distance * truth.options.scale * model.kappa  # world units of a half image at the centre
    scales = np.array([truth.stored_depth(shot)[1] for shot in truth.shots])
    return replace(model, depths=model.anchors * scales[:, None] / unit)


def all_arrangements() -> list[Arrangement]:
    """Every hypothesis about six canonically named views."""
    slots = slots_of_names(CANONICAL_NAMES)
    assert slots is not None
    return arrangements(CANONICAL_NAMES, slots)


def camera_errors(found: CalibratedCapture, truth: CalibratedCapture) -> tuple[float, float, float]:
    """Worst errors after one similarity over the camera centres: turn (degrees), centre and depth scale (shares)."""
    true = {v.name: v for v in truth.views}
    pairs = [(v, true[v.name]) for v in found.views]
    align = umeyama(np.stack([v.camera.center for v, _ in pairs]), np.stack([t.camera.center for _, t in pairs]))
    world = float(np.cbrt(np.linalg.det(align[:3, :3])))
    turns, centres, scales = [], [], []
    for view, exact in pairs:
        camera = view.camera.transformed(align)
        turns.append(rotation_angle_deg(camera.c2w[:3, :3].T @ exact.camera.c2w[:3, :3]))
        centres.append(np.linalg.norm(camera.center - exact.camera.center) / truth.diagonal)
        assert view.depth is not None
        assert exact.depth is not None
        both = (view.depth > 0) & (exact.depth > 0)
        scales.append(abs(float(np.median(view.depth[both] * world / exact.depth[both])) - 1))
    return max(turns), float(max(centres)), max(scales)
