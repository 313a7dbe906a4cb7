"""Roughness as a smooth field over the object, metalness as one number.

The field is that of a few control points which places near them take part in: near in place, in orientation and in
colour, as materials end where colours do. Few views see few highlights: what one of them tells is carried to where the
surface looks the same, and where nothing tells anything the default stays. Metalness that varied from place to place
would paint any texture with reflections (tried: it explains an unlit cow's spots better than a white light does).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

ROUGHNESS = 0.6  # where no view tells
ROUGHEST, SMOOTHEST = 1.0, 0.1
CONTROLS, NEAREST = 96, 4
CANDIDATES = 4096
ORIENTATION, COLOR = 0.1, 0.5  # how far apart opposite normals, and black and white, count: in diagonals
DIELECTRIC_LOGIT = -3.0  # of metalness at the start: 0.05
METAL = 0.7  # metalness from which a surface is taken to be a metal: what is found in between is no evidence


@dataclass(frozen=True, eq=False)
class Controls:
    """Control points in the space of `features`, (k, 9)."""

    features: Float[np.ndarray, "k 9"]

    @staticmethod
    def among(features: Float[np.ndarray, "p 9"], count: int = CONTROLS) -> Controls:
        """``count`` of the given points, each as far as can be from those before it (Gonzalez 1985)."""
        some = features[:: max(1, len(features) // CANDIDATES)]
        chosen = [int(((some - some.mean(0)) ** 2).sum(1).argmin())]
        apart = ((some - some[chosen[0]]) ** 2).sum(1)
        while len(chosen) < min(count, len(some)) and apart.max() > 0:
            chosen.append(int(apart.argmax()))
            apart = np.minimum(apart, ((some - some[chosen[-1]]) ** 2).sum(1))
        return Controls(some[chosen])

    def shares(self, features: Float[np.ndarray, "p 9"]) -> tuple[Int[np.ndarray, "p n"], Float[np.ndarray, "p n"]]:
        """The nearest control points of each place and how much each counts (inverse squared distance)."""
        from scipy.spatial import KDTree

        nearest = min(NEAREST, len(self.features))
        found = KDTree(self.features).query(features, nearest)
        apart, index = (np.asarray(part).reshape(len(features), nearest) for part in found)
        share = 1 / (apart**2 + 1e-4)
        return index.astype(np.int64), (share / share.sum(1, keepdims=True)).astype(np.float32)


def features(
    points: Float[np.ndarray, "p 3"], normals: Float[np.ndarray, "p 3"], srgb: Float[np.ndarray, "p 3"], diagonal: float
) -> Float[np.ndarray, "p 9"]:
    """Place, orientation and colour (sRGB 0..1), so scaled that distances among them say how alike places are."""
    parts = [points / max(diagonal, 1e-12), ORIENTATION / 2 * normals, COLOR / 3**0.5 * srgb]
    return np.nan_to_num(np.concatenate(parts, 1)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Gloss:
    """Logits of roughness and metalness: ``common`` (2,), and what control points add to that of roughness, (k,)."""

    common: Float[Tensor, "2"]
    local: Float[Tensor, "k"]

    @staticmethod
    def start(count: int, device: str, roughness: float = ROUGHNESS, metal: float = DIELECTRIC_LOGIT) -> Gloss:
        """The same everywhere."""
        logits = [_logit((roughness - SMOOTHEST) / (ROUGHEST - SMOOTHEST)), metal]
        common = torch.tensor(logits, dtype=torch.float32, device=device)
        return Gloss(common, torch.zeros(count, device=device))

    def learnable(self) -> Gloss:
        """A copy that gradients reach."""
        return Gloss(*(part.detach().clone().requires_grad_() for part in (self.common, self.local)))

    def fixed(self) -> Gloss:
        """A copy that they do not reach."""
        return Gloss(*(part.detach().clone() for part in (self.common, self.local)))

    def decided(self) -> Gloss:
        """All metal or none: few things are half a metal. No gradient turns it any more."""
        return Gloss(torch.stack([self.common[0], 0 * self.common[1] + (40.0 if self.is_metal else -40.0)]), self.local)

    @property
    def is_metal(self) -> bool:
        """Whether there is more of a metal than could be chance."""
        return bool(torch.sigmoid(self.common[1]) >= METAL)

    @property
    def typical_roughness(self) -> float:
        """That of a place to which control points add nothing."""
        return SMOOTHEST + (ROUGHEST - SMOOTHEST) * float(torch.sigmoid(self.common[0]))

    def at(
        self, index: Int[Tensor, "p n"], share: Float[Tensor, "p n"]
    ) -> tuple[Float[Tensor, "p 1"], Float[Tensor, "p 1"]]:
        """(roughness, metalness) at places with these control points."""
        near = self.local.index_select(0, index.reshape(-1)).reshape(index.shape)
        logit = self.common[0] + (near * share).sum(1, keepdim=True)
        metallic = torch.sigmoid(self.common[1]).expand(len(index), 1)
        return SMOOTHEST + (ROUGHEST - SMOOTHEST) * torch.sigmoid(logit), metallic

    def prior(self) -> Float[Tensor, ""]:
        """How far it is from the defaults: squares of roughness logits, and the metalness."""
        default = _logit((ROUGHNESS - SMOOTHEST) / (ROUGHEST - SMOOTHEST))
        rough = 0.3 * (self.common[0] - default).square() + self.local.square().mean()
        return rough + 2 * torch.sigmoid(self.common[1])


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
