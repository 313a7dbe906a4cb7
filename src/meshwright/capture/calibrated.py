"""A capture whose cameras, depth scales and RGB registrations are known: what engines and quality work from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from meshwright.capture.capture import Finding
from meshwright.geometry.camera import Camera
from meshwright.geometry.similarity import Similarity2d

Provenance = Literal["given", "assumed", "estimated"]
IDENTITY = Similarity2d()


@dataclass(frozen=True, eq=False)
class CalibratedView:
    """One view in the common world.

    ``camera`` is the surface camera, at the resolution of ``depth`` and ``mask``: it projects a surface point to where
    the depth map and the silhouette show it. ``depth`` is z-depth in world units, 0 = none; ``depth_step`` is its
    quantisation step in world units (constant over the image, 0 for float depth): the true z lies within half a step
    of ``depth`` for a linear law. ``mask`` is the object's silhouette.
    ``rgb_mask`` is the object in the RGB; ``rgb_mask_found`` says that it was cut out by us and not handed in.
    The RGB image may lie differently: ``registration`` takes surface image coordinates to RGB image coordinates.
    """

    name: str
    camera: Camera
    mask: Bool[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"] | None
    rgb: UInt8[np.ndarray, "H W 3"]
    registration: Similarity2d = IDENTITY
    rgb_mask: Bool[np.ndarray, "H W"] | None = None
    rgb_mask_found: bool = False
    depth_step: float = 0.0
    depth_scale: float | None = None
    confidence: float = 1.0

    @property
    def rgb_camera(self) -> Camera:
        """The surface camera at the RGB's resolution, before the registration is applied."""
        return self.camera.resized(self.rgb.shape[1], self.rgb.shape[0])

    def rescaled(self, factor: float) -> CalibratedView:
        """The view with all depths times ``factor``; itself where there is nothing to change."""
        if self.depth is None or factor == 1:
            return self
        scale = None if self.depth_scale is None else self.depth_scale * factor
        depth = (self.depth * factor).astype(self.depth.dtype)
        return replace(self, depth=depth, depth_step=self.depth_step * factor, depth_scale=scale)

    def rgb_pixels(self, points_world: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Where the RGB image shows world points, in RGB pixels (centres at +0.5)."""
        uv, _ = self.rgb_camera.project(points_world)
        return self.registration.apply_pixels(uv, self.rgb.shape[1], self.rgb.shape[0])


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """How the cameras were obtained and how well they fit.

    ``hypothesis`` names the chosen discrete hypothesis (rig, naming, rolls, mirror, swap, depth law), ``runner_up`` the
    next one, ``margin`` their cost ratio minus one. ``residuals`` is the table per ordered view pair, in percent of the
    object's diagonal. ``tie`` is True when neither depth nor colour tells the two apart.
    """

    source: Provenance
    hypothesis: dict[str, Any] = field(default_factory=dict)
    runner_up: dict[str, Any] | None = None
    margin: float | None = None
    tie: bool = False
    residual_pct: float | None = None
    residuals: tuple[dict[str, Any], ...] = ()
    fov_deg: float | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class CalibratedCapture:
    """All views in one world, with the report of how they got there.

    ``scale`` is "metric" where world units are metres by declaration. ``given_frame`` is True when the world is the
    user's own (cameras given); otherwise it is +Y up, front +Z, and the object's bounding box has diagonal 1.
    ``diagonal`` is the object's bounding-box diagonal in world units, from depth or hull; ``bounds`` its (2, 3) box.
    """

    views: tuple[CalibratedView, ...]
    report: CalibrationReport
    diagonal: float
    bounds: Float[np.ndarray, "2 3"]
    given_frame: bool = False
    scale: Literal["metric", "relative"] = "relative"
    findings: tuple[Finding, ...] = ()
