"""What the search works with: the views' evidence, prepared once; candidates and the outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.cameras.colours import COLOUR_MARGIN, map_colours
from meshwright.cameras.hypotheses import Arrangement
from meshwright.cameras.model import DepthLaw, rig_intrinsics, view_supports
from meshwright.cameras.observations import Observation, stack_dense, stack_maps, stack_samples
from meshwright.cameras.residuals import Maps, Samples
from meshwright.cameras.solve import Fit, Problem


@dataclass(frozen=True, eq=False)
class Candidate:
    """An arrangement with a depth law and, once fitted, its fit."""

    arrangement: Arrangement
    law: DepthLaw
    orthographic: bool
    fit: Fit

    @property
    def residual(self) -> float:
        """What hypotheses are compared by."""
        return self.fit.residual


@dataclass(frozen=True, eq=False)
class Outcome:
    """The chosen candidate, the next one that is really different, and those that depth cannot tell from it."""

    best: Candidate
    runner_up: Candidate | None
    tied: tuple[Candidate, ...] = ()
    colour_margin: float | None = None
    tested: int = 0

    @property
    def tie(self) -> bool:
        """True when neither depth nor colour tells the best from another."""
        return bool(self.tied) and (self.colour_margin is None or self.colour_margin < COLOUR_MARGIN)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Views ready for the solver; ``sizes`` are the depth maps' (width, height), ``fov_deg`` is a fact."""

    observations: list[Observation]
    sizes: list[tuple[int, int]]
    rgbs: list[UInt8[np.ndarray, "h w 3"]] = field(default_factory=list)
    fov_deg: float | None = None

    def problem(
        self, arrangement: Arrangement, per_view: int | None = None
    ) -> tuple[Problem, Float[np.ndarray, "n 4"]]:
        """The solver's problem and the views' intrinsics under an arrangement."""
        mirrored = tuple(p.mirrored for p in arrangement.placements)
        intrinsics = rig_intrinsics(self.observations, self.sizes, mirrored)
        return Problem(self._samples(per_view), self._maps, self._supports(mirrored)), intrinsics

    @cached_property
    def map_colours(self) -> list[Float[np.ndarray, "h w 3"]]:
        """Lightly blurred colours of every view at map size."""
        return [map_colours(rgb, o) for rgb, o in zip(self.rgbs, self.observations, strict=True)]

    @cached_property
    def dense_samples(self) -> Samples:
        """Every second map pixel, up to the contour: where views overlap they see the surface at grazing angles."""
        return stack_dense(self.observations)

    @cached_property
    def _maps(self) -> Maps:
        return stack_maps(self.observations)

    @cached_property
    def _thinned(self) -> dict[int | None, Samples]:
        return {}

    def _samples(self, per_view: int | None) -> Samples:
        if per_view not in self._thinned:
            self._thinned[per_view] = stack_samples(self.observations, per_view)
        return self._thinned[per_view]

    @cached_property
    def _both_supports(self) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """Silhouette supports of the images as they are, and mirrored."""
        n = len(self.observations)
        plain, flipped = (
            view_supports(self.observations, rig_intrinsics(self.observations, self.sizes, [flip] * n))
            for flip in (False, True)
        )
        return plain, flipped

    def _supports(self, mirrored: tuple[bool, ...]) -> Float[np.ndarray, "n k"]:
        plain, flipped = self._both_supports
        return np.where(np.array(mirrored)[:, None], flipped, plain)
