"""Depth laws and scales of views whose cameras are known, and which view does not fit the others.

Lengths are in units of about the object's size (`FixedRig.size` world units), as the residual kernels expect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from meshwright.cameras.model import DepthLaw, RigModel, anchor_values, view_supports
from meshwright.cameras.observations import Observation, observe, stack_maps, stack_samples
from meshwright.cameras.residuals import Maps
from meshwright.cameras.solve import Fit, Problem, fit, residual_of, scanned
from meshwright.capture.capture import DepthImage
from meshwright.geometry.camera import Camera
from meshwright.geometry.rotations import axes_meeting_point
from meshwright.workers import mapped

LAWS = (
    DepthLaw(),
    DepthLaw(ray=True),
    DepthLaw(inverse=True),
    DepthLaw(near_bright=True),
    DepthLaw(offset=True),
    DepthLaw(inverse=True, offset=True),
)  # fewest unknowns first: with an offset, 8-bit inverse depth passes for linear
BANDS = (0.04, 0.015, 0.006, 0.003)
GOOD = 8e-4  # half-image units, as in `search`
SIMPLE_SHARE = {1: 0.8, 2: 0.6}  # another law must fit this much better, by its unknowns per view
# A scan over each view's scale leads out of side valleys, which a view seen by few others has; its time grows with the
# cube of the number of views. Up to the first number it is always made, up to the second where the fit is poor.
SCANNED, MOST_SCANNED = 8, 16
ODD_SHARE = 0.5  # a view is odd when the others agree this much better without it


@dataclass(frozen=True, eq=False)
class FixedRig:
    """Views with known cameras as the solver sees them. ``declared`` are world units per value, None where unknown."""

    observations: tuple[Observation, ...]
    rotation: Float[np.ndarray, "n 3 3"]
    centres: Float[np.ndarray, "n 3"]
    intrinsics: Float[np.ndarray, "n 4"]
    declared: tuple[float | None, ...]
    orthographic: bool

    @staticmethod
    def of(names: Sequence[str], depths: Sequence[DepthImage], cameras: Sequence[Camera]) -> FixedRig:
        """Prepare depth maps and their cameras (at the maps' resolution)."""
        observations = tuple(mapped(lambda view: observe(*view), zip(names, (d.values for d in depths), strict=True)))
        intrinsics = np.array([
            [c.K[0, 0] * o.scale, c.K[1, 1] * o.scale, c.K[0, 2] * o.scale, c.K[1, 2] * o.scale]
            for c, o in zip(cameras, observations, strict=True)
        ])  # fmt: skip
        return FixedRig(
            observations,
            np.stack([c.c2w[:3, :3] for c in cameras]),
            np.stack([c.center for c in cameras]),
            intrinsics,
            tuple(depth.unit_scale for depth in depths),
            cameras[0].projection == "orthographic",
        )

    def without(self, index: int) -> FixedRig:
        """All views but one."""
        keep = [k for k in range(len(self.observations)) if k != index]
        return replace(
            self,
            observations=tuple(self.observations[k] for k in keep),
            rotation=self.rotation[keep],
            centres=self.centres[keep],
            intrinsics=self.intrinsics[keep],
            declared=tuple(self.declared[k] for k in keep),
        )

    def problem(self, per_view: int | None = None) -> Problem:
        """The solver's problem, on some or all samples."""
        return Problem(stack_samples(list(self.observations), per_view), self._maps, self._supports)

    @property
    def all_declared(self) -> bool:
        """True when there is nothing to fit."""
        return None not in self.declared

    @cached_property
    def target(self) -> Float[np.ndarray, "3"]:
        """The point nearest to all optical axes."""
        return axes_meeting_point(self.centres, self.rotation[:, :, 2])

    @cached_property
    def size(self) -> float:
        """World units of about the object's size: the silhouettes' median width at the target."""
        reach = self._supports.max(1)
        if self.orthographic:
            return float(2 * np.median(reach))
        depth = ((self.target - self.centres) * self.rotation[:, :, 2]).sum(-1)
        return float(2 * np.median(reach * np.maximum(depth, 1e-9)))

    @cached_property
    def _maps(self) -> Maps:
        return stack_maps(list(self.observations))

    @cached_property
    def _supports(self) -> Float[np.ndarray, "n k"]:
        return view_supports(self.observations, self.intrinsics)


@dataclass(frozen=True, eq=False)
class ScaleFit:
    """Fitted (or declared) depth laws of a rig; ``fit.model`` is in the rig's units."""

    rig: FixedRig
    fit: Fit

    def world_laws(self) -> list[tuple[DepthLaw, float, float]]:
        """Per view its law and (a, b) with z (or 1 / z) = a v + b in world units."""
        model = replace(self.fit.model, depths=self.fit.model.depths * self.rig.size)
        return [(model.law, float(a), float(b)) for a, b in model.law_coefficients()]


def fit_scales(rig: FixedRig, check: Callable[[], None], laws: Sequence[DepthLaw] = LAWS) -> ScaleFit:
    """Depth laws of all views under fixed cameras; where every scale is declared, they are only evaluated."""
    problem = rig.problem()
    if rig.all_declared:
        model = start_model(rig, LAWS[0])
        return ScaleFit(rig, Fit(model, 0.0, residual_of(problem, model), 0))
    best = _best_law(rig, check, laws)
    kernel = replace(problem.kernel, coverage=1.0, slack=0.004, violation=0.01)
    final = fit(replace(problem, kernel=kernel), best.model, BANDS[2:], 12)
    return ScaleFit(rig, replace(final, residual=residual_of(problem, final.model)))


def _best_law(rig: FixedRig, check: Callable[[], None], laws: Sequence[DepthLaw]) -> Fit:
    """The simplest law that explains the views, else the best one."""
    thin, sparse = rig.problem(300), rig.problem(100)
    best: Fit | None = None
    for law in laws:
        check()
        found = fit(thin, start_model(rig, law), BANDS[:3])
        if len(rig.observations) <= (SCANNED if found.residual < GOOD else MOST_SCANNED):
            again = fit(thin, scanned(sparse, found.model), BANDS[:3], 20)
            found = min(found, again, key=lambda f: f.residual)
        if best is None or found.residual < SIMPLE_SHARE[law.parameters] * best.residual:
            best = found
        if best.residual < GOOD:
            break
    assert best is not None
    return best


def odd_view(found: ScaleFit, check: Callable[[], None], most: int = 8) -> tuple[int, float] | None:
    """The view without which the others agree far better, and their residual then; None if there is no such view.

    Tried are the ``most`` views with the largest part in the misfit: with free scales the wrong one need not lead.
    """
    rig, n = found.rig, len(found.rig.observations)
    if n < 3:
        return None
    r, _, _ = rig.problem(300).residuals(found.fit.model)
    own = rig.problem(300).samples.view
    wrong = np.clip(r, 0, 0.12)
    blame = np.array([wrong[own == k].sum() + wrong[:, k].sum() for k in range(n)])
    laws = tuple(dict.fromkeys((LAWS[0], found.fit.model.law)))
    left = []
    for k in np.argsort(-blame, kind="stable")[:most]:
        rest = rig.without(int(k))
        fitted = fit_scales(rest, check) if rig.all_declared else ScaleFit(rest, _best_law(rest, check, laws))
        left.append((fitted.fit.residual * rest.size / rig.size, int(k)))
    left.sort()
    clear = left[0][0] < ODD_SHARE * found.fit.residual and left[0][0] < 0.7 * left[1][0]
    return (left[0][1], left[0][0]) if clear else None


def start_model(rig: FixedRig, law: DepthLaw) -> RigModel:
    """Depths that put each view's nearest surface where the silhouettes' hull begins."""
    centres, hull = rig.centres / rig.size, hull_points(rig)
    anchors = np.array([anchor_values(o, law) for o in rig.observations])
    depths = np.empty_like(anchors)
    for i, (o, scale) in enumerate(zip(rig.observations, rig.declared, strict=True)):
        z = (hull - centres[i]) @ rig.rotation[i][:, 2]
        near, middle = float(z.min()), float(np.median(z))
        if scale is not None and law == LAWS[0]:
            depths[i] = anchors[i] * scale / rig.size
        elif law.parameters == 1:
            depths[i] = near, near * (anchors[i, 0] / anchors[i, 1] if law.inverse else anchors[i, 1] / anchors[i, 0])
        else:
            share = np.clip((o.rim - anchors[i, 0]) / (anchors[i, 1] - anchors[i, 0] + 1e-12), 0.3, 1.0)
            depths[i] = near, near + max(middle - near, 0.02) / share
    return RigModel(
        law, rig.rotation, rig.intrinsics, anchors, 1.0, np.maximum(depths, 1e-3), rig.orthographic,
        fixed_centres=centres, fit_kappa=False,
    )  # fmt: skip


def hull_points(rig: FixedRig, n: int = 44) -> Float[np.ndarray, "m 3"]:
    """Grid points inside every silhouette, in the rig's units; outside an image nothing is known.

    The grid stands in the first camera's axes: a turn of the world changes nothing.
    """
    axis = np.linspace(-0.9, 0.9, n)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3) @ rig.rotation[0].T
    grid = grid + rig.target / rig.size
    inside = np.ones(len(grid), bool)
    views = zip(rig.observations, rig.rotation, rig.intrinsics, rig.centres / rig.size, strict=True)
    for o, r, k, c in views:
        inside &= _may_be_seen(o, (grid - c) @ r, k, rig.orthographic)
    return grid[inside] if inside.sum() > 8 else grid


def _may_be_seen(
    o: Observation, local: Float[np.ndarray, "m 3"], k: Float[np.ndarray, "4"], orthographic: bool
) -> Bool[np.ndarray, "m"]:
    """Points of a view's camera space that its silhouette allows."""
    flat = local[:, :2] if orthographic else local[:, :2] / np.maximum(local[:, 2:], 1e-6)
    x, y = (flat * k[:2] + k[2:]).T
    known = (x >= 0) & (y >= 0) & (x < o.size[0]) & (y < o.size[1]) & (local[:, 2] > 0)
    d = o.distance
    leaves_image = min(d[0].min(), d[-1].min(), d[:, 0].min(), d[:, -1].min()) < 0
    allowed = np.full(len(local), bool(leaves_image))
    allowed[known] = d[y[known].astype(int), x[known].astype(int)] < 1.0
    return allowed
