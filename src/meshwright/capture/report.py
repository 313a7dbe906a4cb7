"""The input report: what `inspect` says about a capture, as one JSON-ready value."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from meshwright.capture.calibrated import CalibratedCapture
from meshwright.capture.capture import Capture, Finding, View
from meshwright.capture.masks import depth_mask, depth_silhouette, mask_with_source
from meshwright.capture.measures import border_share, exposure, sharpness, silhouette_overlap
from meshwright.capture.viewcheck import mask_findings


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileInfo(_Strict):
    """A file that the view was read from."""

    path: str
    sha256: str
    size: int


class MaskInfo(_Strict):
    """The object's mask: where it came from, its share of the image and of the image's border."""

    source: Literal["given", "background", "depth", "none"]
    coverage: float
    border: float


class ExposureInfo(_Strict):
    """Mean brightness of the object (0..255), shares clipped dark and bright."""

    mean: float
    dark: float
    bright: float


class DepthInfo(_Strict):
    """A depth map as stored. ``levels`` counts distinct values, ``unit_scale`` is world units per value if declared."""

    width: int
    height: int
    bits: int
    minimum: float
    maximum: float
    levels: int
    valid: float
    stray_pixels: int
    unit_scale: float | None
    solved_scale: float | None = None


class SilhouetteInfo(_Strict):
    """Overlap of the RGB's and the depth's silhouette, as they lie and with shift and scale taken out."""

    iou: float
    aligned_iou: float
    scale: float
    shift_x: float
    shift_y: float


class ViewInfo(_Strict):
    """One view."""

    name: str
    width: int
    height: int
    sharpness: float
    exposure: ExposureInfo
    mask: MaskInfo
    depth: DepthInfo | None
    silhouette: SilhouetteInfo | None
    has_camera: bool
    files: list[FileInfo]


class FindingInfo(_Strict):
    """One remark: its stable code, the view it is about, what is doubtful and what to do."""

    code: str
    severity: Literal["info", "warning", "error"]
    view: str | None
    message: str
    remedy: str


class RigInfo(_Strict):
    """The cameras that were chosen: the hypothesis, the next best, by how much, and how well they fit."""

    source: Literal["given", "assumed", "estimated"]
    hypothesis: dict[str, Any]
    runner_up: dict[str, Any] | None
    margin: float | None
    tie: bool
    fov_deg: float | None
    residual_pct: float | None
    depth_law: str | None


class InputReport(_Strict):
    """Everything that `meshwright inspect` says. ``verdict`` is that of the worst finding."""

    source: str | None
    view_count: int
    camera_format: str | None
    unit: str | None
    verdict: Literal["good", "warning", "error"]
    views: list[ViewInfo]
    findings: list[FindingInfo]
    rig: RigInfo | None


def inspect_capture(capture: Capture, calibrated: CalibratedCapture | None = None) -> InputReport:
    """The input report of a capture; with its calibration also the rig, the solved depth scales and its findings."""
    findings = list(capture.findings)
    findings += [finding for view in capture.views for finding in mask_findings(view)]
    if calibrated is not None:
        findings += [*calibrated.findings, *calibrated.report.findings]
    unique = list(dict.fromkeys(findings))
    solved = {view.name: view.depth_scale for view in calibrated.views} if calibrated else {}
    return InputReport(
        source=str(capture.source) if capture.source else None,
        view_count=len(capture.views),
        camera_format=capture.camera_format,
        unit=capture.unit,
        verdict=_verdict(unique),
        views=[_view_info(view, solved.get(view.name)) for view in capture.views],
        findings=[_finding_info(finding) for finding in unique],
        rig=_rig_info(calibrated) if calibrated else None,
    )


def told_hypothesis(hypothesis: Mapping[str, Any]) -> dict[str, str]:
    """A rig's hypothesis for people: what is as usual in a word, the views that are not one by one."""
    told = {key.replace("_", " "): _told(value) for key, value in hypothesis.items() if key != "views"}
    views = {name: _told_view(name, view) for name, view in hypothesis.get("views", {}).items()}
    odd = [f"{name} {text}" for name, text in views.items() if text]
    return told | ({"views": "; ".join(odd) or "as named, upright"} if views else {})


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _told_view(name: str, view: Mapping[str, Any]) -> str:
    """How one view departs from its name, or nothing."""
    turned, slot = view.get("roll_deg", 0), view.get("slot", name)
    parts = [f"shows {slot}"] if slot != name else []
    parts += [f"turned by {turned} degrees"] if turned else []
    return ", ".join([*parts, *(["mirrored"] if view.get("mirrored") else [])])


def _verdict(findings: list[Finding]) -> Literal["good", "warning", "error"]:
    severities = {finding.severity for finding in findings}
    return "error" if "error" in severities else "warning" if "warning" in severities else "good"


def _finding_info(finding: Finding) -> FindingInfo:
    return FindingInfo(
        code=finding.code,
        severity=finding.severity,
        view=finding.view,
        message=finding.message,
        remedy=finding.remedy,
    )


def _view_info(view: View, solved_scale: float | None) -> ViewInfo:
    mask, source = mask_with_source(view)
    light = exposure(view.rgb, mask)
    return ViewInfo(
        name=view.name,
        width=view.size[0],
        height=view.size[1],
        sharpness=round(sharpness(view.rgb), 4),
        exposure=ExposureInfo(mean=round(light.mean, 1), dark=round(light.dark, 4), bright=round(light.bright, 4)),
        mask=MaskInfo(source=source, coverage=round(float(mask.mean()), 4), border=round(border_share(mask), 4)),  # pyright: ignore[reportArgumentType]
        depth=_depth_info(view, solved_scale),
        silhouette=_silhouette_info(view, mask),
        has_camera=view.camera is not None,
        files=[FileInfo(path=file.path, sha256=file.sha256, size=file.size) for file in view.files],
    )


def _depth_info(view: View, solved_scale: float | None) -> DepthInfo | None:
    if view.depth is None:
        return None
    valid, kept = view.depth.valid, depth_mask(view)
    values = view.depth.values[kept]
    return DepthInfo(
        width=valid.shape[1],
        height=valid.shape[0],
        bits=view.depth.bits,
        minimum=float(values.min()),
        maximum=float(values.max()),
        levels=len(np.unique(values)),
        valid=round(float(kept.mean()), 4),
        stray_pixels=int(valid.sum() - kept.sum()),
        unit_scale=view.depth.unit_scale,
        solved_scale=_finite(solved_scale),
    )


def _silhouette_info(view: View, mask: np.ndarray) -> SilhouetteInfo | None:
    if view.depth is None:
        return None
    overlap = silhouette_overlap(mask, depth_silhouette(view))
    return SilhouetteInfo(
        iou=round(overlap.iou, 4),
        aligned_iou=round(overlap.aligned_iou, 4),
        scale=round(overlap.scale, 4),
        shift_x=round(overlap.shift[0], 4),
        shift_y=round(overlap.shift[1], 4),
    )


def _rig_info(calibrated: CalibratedCapture) -> RigInfo:
    report = calibrated.report
    law = next((str(v) for k, v in report.hypothesis.items() if "law" in k), None)
    return RigInfo(
        source=report.source,
        hypothesis=plain(report.hypothesis),
        runner_up=plain(report.runner_up),
        margin=_finite(report.margin),
        tie=bool(report.tie),
        fov_deg=_finite(report.fov_deg),
        residual_pct=_finite(report.residual_pct),
        depth_law=law,
    )


def plain(value: Any) -> Any:
    """Any nesting of numpy and Python values as JSON's types; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return _finite(float(value))
    return None if value is None else str(value)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None
