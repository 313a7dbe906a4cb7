"""The rig as a vector of unknowns: what is fixed by a hypothesis, what is fitted, and how one becomes poses.

Unknowns: ``kappa`` = tan(fov / 2) of the image's longer half (rig cameras stand at distance 1 / kappa, so that a half
image is one unit at the rig's centre whatever the field of view, and an orthographic camera is the same rig without
the division by depth), per view the depth at two anchor values (near and far; one if the law goes through zero), and
optionally per view a small rotation and shift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from meshwright.cameras.observations import DIRECTIONS, Observation, support_function
from meshwright.cameras.residuals import INVERSE, LINEAR, Poses
from meshwright.geometry.rotations import exp_so3


@dataclass(frozen=True)
class DepthLaw:
    """How stored values become depth: as z or 1 / z; through zero or with an offset; along z or the ray."""

    inverse: bool = False
    offset: bool = False
    near_bright: bool = False
    ray: bool = False

    @property
    def encoding(self) -> str:
        """``linear``, ``inverse`` or ``near_bright``."""
        return "inverse" if self.inverse else "near_bright" if self.near_bright else "linear"

    @property
    def parameters(self) -> int:
        """Unknowns per view."""
        return 2 if self.offset or self.near_bright else 1


@dataclass(frozen=True, eq=False)
class RigModel:
    """A hypothesis with its current numbers. ``depths`` are z at the (near, far) anchor values of each view."""

    law: DepthLaw
    rotation: Float[np.ndarray, "n 3 3"]
    intrinsics: Float[np.ndarray, "n 4"]
    anchors: Float[np.ndarray, "n 2"]
    kappa: float
    depths: Float[np.ndarray, "n 2"]
    orthographic: bool = False
    fixed_centres: Float[np.ndarray, "n 3"] | None = None
    fit_kappa: bool = True
    fit_poses: bool = False
    turn: Float[np.ndarray, "n 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    shift: Float[np.ndarray, "n 3"] = field(default_factory=lambda: np.zeros((0, 3)))

    @property
    def count(self) -> int:
        """Number of views."""
        return len(self.rotation)

    def law_coefficients(self) -> Float[np.ndarray, "n 2"]:
        """(a, b) per view such that z (or 1 / z) = a v + b."""
        target = 1.0 / self.depths if self.law.inverse else self.depths
        if self.law.parameters == 1:
            return np.stack([target[:, 1] / self.anchors[:, 1], np.zeros(self.count)], -1)
        a = (target[:, 1] - target[:, 0]) / (self.anchors[:, 1] - self.anchors[:, 0])
        return np.stack([a, target[:, 0] - a * self.anchors[:, 0]], -1)

    def poses(self) -> Poses:
        """Numbers for the residual kernel."""
        rotation, centre = self.rotation, self.fixed_centres
        if centre is None:
            centre = -rotation[:, :, 2] / self.kappa
        if len(self.turn):
            rotation = np.stack([r @ exp_so3(w) for r, w in zip(rotation, self.turn, strict=True)])
            centre = centre + self.shift
        kind = INVERSE if self.law.inverse else LINEAR
        return Poses(
            np.ascontiguousarray(rotation), np.ascontiguousarray(centre), self.intrinsics, self.law_coefficients(),
            1.0 if self.fixed_centres is not None else self.kappa, kind, self.law.ray, self.orthographic,
        )  # fmt: skip

    # The vector of unknowns: log kappa, depths from the rig's centre, turns, shifts. Depths are counted from the
    # centre so that kappa changes the perspective and does not move the object.

    @property
    def pivot(self) -> float:
        """Camera distance of the rig (0 with given cameras)."""
        return 0.0 if self.fixed_centres is not None else 1.0 / self.kappa

    def vector(self) -> Float[np.ndarray, "p"]:
        """Current unknowns."""
        parts = [np.log([self.kappa])] if self.fit_kappa else []
        parts.append((self.depths - self.pivot)[:, 2 - self.law.parameters :].ravel())
        if self.fit_poses:
            parts += [self.turn.ravel(), self.shift.ravel()]
        return np.concatenate(parts)

    def with_vector(self, x: Float[np.ndarray, "p"]) -> RigModel:
        """The model at other unknowns."""
        at, kappa = 0, self.kappa
        if self.fit_kappa:
            kappa, at = float(np.exp(np.clip(x[0], -6.0, 1.2))), 1
        m = self.law.parameters
        depths = self.depths.copy()
        pivot = self.pivot if self.fixed_centres is not None else 1.0 / kappa
        depths[:, 2 - m :] = np.maximum(x[at : at + m * self.count].reshape(-1, m) + pivot, 1e-3 * pivot)
        at += m * self.count
        turn, shift = self.turn, self.shift
        if self.fit_poses:
            turn, shift = x[at : at + 3 * self.count].reshape(-1, 3), x[at + 3 * self.count :].reshape(-1, 3)
        return replace(self, kappa=kappa, depths=depths, turn=turn, shift=shift)

    def view_of_parameter(self) -> list[int]:
        """For each unknown, the view it belongs to; -1 for those that all views share."""
        views = list(range(self.count))
        out = [-1] if self.fit_kappa else []
        out += [v for v in views for _ in range(self.law.parameters)]
        return out + [v for v in views for _ in range(3)] * 2 if self.fit_poses else out


def rig_intrinsics(
    observations: Sequence[Observation], sizes: Sequence[tuple[int, int]], mirrored: Sequence[bool]
) -> Float[np.ndarray, "n 4"]:
    """Map pixels per slope unit and centre; a mirrored view has a negative horizontal focal length."""
    rows: list[list[float]] = []
    for o, (w, h), flip in zip(observations, sizes, mirrored, strict=True):
        half = 0.5 * max(w, h) * o.scale
        rows.append([-half if flip else half, half, 0.5 * w * o.scale, 0.5 * h * o.scale])
    return np.array(rows)


def axis_extents(rotation: Float[np.ndarray, "n 3 3"], supports: Float[np.ndarray, "n k"]) -> Callable[..., float]:
    """A function: world direction -> how far the object reaches along it, in half-image units.

    ``supports`` are `support_function` values of the views; the median over those that see the direction sideways.
    """

    def reach(direction: Float[np.ndarray, "3"]) -> float:
        found: list[float] = []
        for r, s in zip(rotation, supports, strict=True):
            flat = r[:, :2].T @ direction
            if np.linalg.norm(flat) > 0.9:
                found.append(s[int(np.argmax(DIRECTIONS @ flat))])
        return float(np.median(found)) if found else float(np.median(supports))

    return reach


def initial_depths(
    observations: Sequence[Observation],
    rotation: Float[np.ndarray, "n 3 3"],
    supports: Float[np.ndarray, "n k"],
    kappa: float,
    law: DepthLaw,
    centre_distance: float,
) -> Float[np.ndarray, "n 2"]:
    """First guess of z at the anchors: the nearest point is where the silhouettes seen from the side end."""
    reach = axis_extents(rotation, supports)
    depths = np.empty((len(observations), 2))
    for i, o in enumerate(observations):
        near = max(centre_distance - reach(-rotation[i][:, 2]), 0.1 * centre_distance)
        near_value, far_value = anchor_values(o, law)
        if law.parameters == 1:
            far = near * far_value / near_value if not law.inverse else near * near_value / far_value
        else:
            far = near + _thickness(o, near_value, far_value, centre_distance - near)
        depths[i] = near, far
    return depths


def _thickness(o: Observation, near_value: float, far_value: float, to_centre: float) -> float:
    """Depth between the anchors if the rim lies about at the centre's depth."""
    share = (o.rim - near_value) / (far_value - near_value) if far_value != near_value else 1.0
    return max(to_centre, 0.02) / float(np.clip(share, 0.3, 1.0))


def anchor_values(o: Observation, law: DepthLaw) -> tuple[float, float]:
    """Values at the nearest and the farthest surface: in bright-is-near maps the larger value is nearer."""
    low, high = o.near, max(o.far, o.near * 1.0001 + 1e-9)
    return (high, low) if law.inverse or law.near_bright else (low, high)


def view_supports(
    observations: Sequence[Observation], intrinsics: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n k"]:
    """`support_function` of every view."""
    return np.stack([support_function(o.distance, k) for o, k in zip(observations, intrinsics, strict=True)])
