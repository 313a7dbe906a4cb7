"""Score a mesh, from any tool, against a calibrated capture in whose world it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import degrees, isfinite
from typing import Any

import numpy as np
from jaxtyping import UInt8

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.errors import InputError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.progress import Context
from meshwright.quality import report as blocks
from meshwright.quality.compare import ViewComparison, compare_view
from meshwright.quality.coverage import CoverageShares, surface_coverage
from meshwright.quality.health import MeshHealth, mesh_health
from meshwright.quality.heatmap import heat_map
from meshwright.quality.metrics import Metrics
from meshwright.quality.reference import COMPARISON_SIZE
from meshwright.quality.summary import Remark, remarks, summarise
from meshwright.quality.verdict import Status, Verdict, judge, judge_views, mean_metrics, worst_view
from meshwright.workers import mapped


@dataclass(frozen=True, eq=False)
class Assessment:
    """What was measured: ``views`` decide, ``held_out`` ones are reported beside them."""

    capture: CalibratedCapture
    views: tuple[ViewComparison, ...]
    held_out: tuple[ViewComparison, ...]
    coverage: CoverageShares
    health: MeshHealth

    @cached_property
    def metrics(self) -> Metrics:
        """Means over the views that are not held out."""
        return mean_metrics(_by_name(self.views))

    @cached_property
    def judgement(self) -> Verdict:
        """The verdict and why."""
        return judge_views(_by_name(self.views))

    @property
    def verdict(self) -> Status:
        """`normal`, `warning` or `failure`."""
        return self.judgement.status

    @property
    def worst_view(self) -> str:
        """Name of the view that fits worst."""
        return worst_view(_by_name(self.views))[0]

    @cached_property
    def summary(self) -> str:
        """One sentence: the verdict, the means, the worst view."""
        return summarise(self.judgement, self.metrics, _by_name(self.views))

    @cached_property
    def warnings(self) -> tuple[Remark, ...]:
        """What a person should read before publishing the result."""
        held_out = _by_name(self.held_out)
        return remarks(self.capture, self.judgement, self.metrics, held_out, self.coverage, self.health)

    @cached_property
    def heat_maps(self) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Input | render | error images by view name, held-out views included."""
        return {view.name: heat_map(view) for view in (*self.views, *self.held_out)}

    def report(
        self,
        job_id: str | None = None,
        model: str = "unknown",
        *,
        input_file: str | None = None,
        duration_s: float | None = None,
        timestamp: datetime | None = None,
    ) -> blocks.QualityReport:
        """``quality.json`` of this assessment. ``timestamp`` is now, unless given."""
        from meshwright import __version__

        first = self.capture.views[0].rgb
        return blocks.QualityReport(
            job_id=job_id,
            model=model,
            status=self.verdict,
            summary=self.summary,
            metrics=blocks.MetricValues.of(self.metrics),
            thresholds=blocks.Thresholds.in_force(),
            worst_view=self.worst_view,
            views=self._view_blocks(),
            holdout=self._holdout_block(),
            coverage=blocks.CoverageBlock(**asdict(self.coverage)),
            cameras=_camera_block(self.capture.report),
            mesh=blocks.MeshBlock(**asdict(self.health)),
            warnings=[blocks.WarningBlock(**asdict(remark)) for remark in self.warnings],
            metadata=blocks.Metadata(
                timestamp=(timestamp or datetime.now(UTC)).isoformat().replace("+00:00", "Z"),
                input_file=input_file,
                processing_duration_sec=None if duration_s is None else round(duration_s, 3),
                image_resolution=(first.shape[1], first.shape[0]),
                comparison_resolution=COMPARISON_SIZE,
                num_views=len(self.capture.views),
                version=__version__,
            ),
        )

    def _view_blocks(self) -> list[blocks.ViewQuality]:
        compared = {view.name: (view, False) for view in self.views}
        compared |= {view.name: (view, True) for view in self.held_out}
        return [_view_block(view, *compared[view.name]) for view in self.capture.views]

    def _holdout_block(self) -> blocks.Holdout | None:
        if not self.held_out:
            return None
        return blocks.Holdout(
            status=judge_views(_by_name(self.held_out)).status,
            views=[view.name for view in self.held_out],
            metrics=blocks.MetricValues.of(mean_metrics(_by_name(self.held_out))),
        )


def assess(
    capture: CalibratedCapture, mesh: TexturedMesh, *, holdout: Sequence[str] = (), context: Context | None = None
) -> Assessment:
    """Score ``mesh`` in every view of ``capture``, in whose world it must stand.

    ``holdout`` names the views that the mesh was made without: they are scored apart and do not enter the verdict.
    Raises `InputError` where it names an unknown view or leaves none.
    """
    context = context or Context()
    _check_holdout(capture, holdout)
    compared: list[ViewComparison] = []
    for view in mapped(lambda view: compare_view(view, mesh, capture.diagonal), capture.views):
        compared.append(view)
        context.report(len(compared) / (len(capture.views) + 1), f"compared view {view.name}")
    context.report(len(capture.views) / (len(capture.views) + 1), "measuring the mesh")
    return Assessment(
        capture=capture,
        views=tuple(view for view in compared if view.name not in holdout),
        held_out=tuple(view for view in compared if view.name in holdout),
        coverage=surface_coverage(mesh, [view for view in capture.views if view.name not in holdout]),
        health=mesh_health(mesh),
    )


def _by_name(views: Sequence[ViewComparison]) -> dict[str, Metrics]:
    return {view.name: view.metrics for view in views}


def _check_holdout(capture: CalibratedCapture, holdout: Sequence[str]) -> None:
    names = [view.name for view in capture.views]
    unknown = sorted(set(holdout) - set(names))
    if unknown:
        raise InputError(
            f"There is no view named {unknown[0]!r} to hold out.",
            suggestion=f"The capture has {', '.join(names)}.",
            reason="holdout_unknown",
        )
    if not set(names) - set(holdout):
        raise InputError(
            "All views are held out, so none is left to judge by.",
            suggestion="Hold out fewer views.",
            reason="holdout_all",
        )


def _view_block(view: CalibratedView, compared: ViewComparison, held_out: bool) -> blocks.ViewQuality:
    moved = view.registration
    return blocks.ViewQuality(
        name=view.name,
        status=judge(compared.metrics).status,
        held_out=held_out,
        metrics=blocks.MetricValues.of(compared.metrics),
        heat_map=f"errors/{view.name}.png",
        registration=blocks.Registration(
            scale=round(moved.scale, 6),
            angle_deg=round(degrees(moved.angle_rad), 4),
            shift_x=round(moved.shift_x, 6),
            shift_y=round(moved.shift_y, 6),
        ),
    )


def _camera_block(report: CalibrationReport) -> blocks.CameraBlock:
    return blocks.CameraBlock(
        source=report.source,
        hypothesis=plain(report.hypothesis),
        runner_up=plain(report.runner_up),
        margin=plain(report.margin),
        tie=bool(report.tie),
        residual_pct=plain(report.residual_pct),
        residuals=plain(list(report.residuals)),
        fov_deg=plain(report.fov_deg),
    )


def plain(value: Any) -> Any:
    """The value as JSON can hold it: numpy becomes Python, and what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
