"""``quality.json``: the shape of the file, and nothing about how its numbers come about.

The reference system's keys keep their names and places (``status``, ``summary``, ``metrics.psnr`` and so on); the rest
is added beside them. Numbers are finite or null, and every null stands with its reason.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from meshwright.quality.metrics import Metrics
from meshwright.quality.verdict import CRITERIA, Status

Share = FiniteFloat


class Block(BaseModel):
    """Base of all parts: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class MetricValues(Block):
    """Scores; a null has its reason in ``reasons`` under the same key."""

    psnr: FiniteFloat | None = Field(description="Foreground PSNR in dB, over the union of both silhouettes.")
    ssim: FiniteFloat | None = Field(description="Foreground SSIM, averaged over the union of both silhouettes.")
    mask_iou: FiniteFloat | None = Field(description="Intersection over union of input and rendered silhouette.")
    depth_mae: FiniteFloat | None = Field(description="Mean absolute z-depth error, fraction of the diagonal.")
    depth_rmse: FiniteFloat | None = Field(description="Root-mean-square z-depth error, fraction of the diagonal.")
    depth_overlap: FiniteFloat | None = Field(description="Share of the input's depth pixels that the mesh covers.")
    psnr_full: FiniteFloat | None = Field(description="PSNR of the whole image, photo on white; judges nothing.")
    ssim_full: FiniteFloat | None = Field(description="SSIM of the whole image against the photo; judges nothing.")
    reasons: dict[str, str] = Field(default_factory=dict, description="Why a score is null, or what it leaves out.")

    @staticmethod
    def of(metrics: Metrics) -> MetricValues:
        """The scores of a comparison."""
        values = {name: None if score.value is None else round(score.value, 6) for name, score in metrics.items()}
        reasons = {name: score.reason for name, score in metrics.items() if score.reason}
        return MetricValues(**values, reasons=reasons)


class Thresholds(Block):
    """The lines of `normal` and `warning`; scores below (errors above) the line of `warning` are a `failure`."""

    psnr_normal: FiniteFloat
    psnr_warning: FiniteFloat
    ssim_normal: FiniteFloat
    ssim_warning: FiniteFloat
    mask_iou_normal: FiniteFloat
    mask_iou_warning: FiniteFloat
    depth_mae_normal: FiniteFloat
    depth_mae_warning: FiniteFloat

    @staticmethod
    def in_force() -> Thresholds:
        """The thresholds that `meshwright.quality.verdict` judges by."""
        lines = {f"{c.metric}_normal": c.normal for c in CRITERIA}
        return Thresholds(**lines, **{f"{c.metric}_warning": c.warning for c in CRITERIA})


class Registration(Block):
    """The similarity that takes surface image coordinates to the photo's (shifts in widths of the image)."""

    scale: FiniteFloat
    angle_deg: FiniteFloat
    shift_x: FiniteFloat
    shift_y: FiniteFloat


class ViewQuality(Block):
    """One view's scores and verdict."""

    name: str
    status: Status
    held_out: bool = Field(description="True for a view that the engine did not get.")
    metrics: MetricValues
    heat_map: str = Field(description="Path of the input | render | error image, beside quality.json.")
    registration: Registration


class Holdout(Block):
    """The held-out views together; they never enter ``metrics`` or ``status`` of the report."""

    status: Status
    views: list[str]
    metrics: MetricValues


class CoverageBlock(Block):
    """Shares of the surface area; null where the mesh has no area."""

    seen: Share | None
    seen_below_60_deg: Share | None = Field(description="Seen below 60 degrees of incidence by at least one view.")
    invented: Share | None = Field(description="Seen by no view: filled from the neighbourhood.")
    source: Literal["texture", "visibility"] = Field(
        description="The engine's own record per texel, or each view's z-buffer of the mesh."
    )


class CameraBlock(Block):
    """Where the cameras came from and how well they fit each other (percent of the object's diagonal)."""

    source: Literal["given", "assumed", "estimated"]
    hypothesis: dict[str, Any]
    runner_up: dict[str, Any] | None
    margin: FiniteFloat | None
    tie: bool
    residual_pct: FiniteFloat | None
    residuals: list[dict[str, Any]]
    fov_deg: FiniteFloat | None


class MeshBlock(Block):
    """The mesh's health, counted after welding equal positions."""

    faces: int
    vertices: int
    welded_vertices: int
    watertight: bool
    components: int
    boundary_edges: int
    non_manifold_edges: int
    degenerate_faces: int
    winding_consistent: bool
    outward: bool | None = Field(description="Null where the mesh is open, so that it has no inside.")
    texture_size: tuple[int, int] | None


class WarningBlock(Block):
    """A remark that a person should read before publishing the result."""

    code: str
    message: str
    remedy: str = ""
    view: str | None = None


class Metadata(Block):
    """When, from what and how long."""

    timestamp: str = Field(description="When the assessment ended, ISO 8601, UTC.")
    input_file: str | None
    processing_duration_sec: FiniteFloat | None
    image_resolution: tuple[int, int] | None = Field(description="Width and height of the first photo.")
    comparison_resolution: int = Field(description="Longer side, in pixels, at which images are compared.")
    num_views: int
    version: str = Field(description="Version of Meshwright.")


class QualityReport(Block):
    """All of ``quality.json``."""

    job_id: str | None
    model: str
    status: Status
    summary: str
    metrics: MetricValues = Field(description="Means over the views that are not held out.")
    thresholds: Thresholds
    worst_view: str
    views: list[ViewQuality]
    holdout: Holdout | None
    coverage: CoverageBlock
    cameras: CameraBlock
    mesh: MeshBlock
    warnings: list[WarningBlock]
    metadata: Metadata

    def to_json(self) -> str:
        """The file's text: indented, ending in a newline, without NaN or Infinity."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def schema_json() -> str:
    """The JSON Schema of ``quality.json``, as docs/schemas/quality.json holds it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **QualityReport.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
