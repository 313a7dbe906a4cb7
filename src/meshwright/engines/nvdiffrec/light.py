"""The light and the gloss that make the colours of a surface plainest.

For any light and gloss the best base colour of each texel is a division (`differentiable.shading`), so these two are
all that is searched for. Wrong ones leave their shading in the base colour: a gradient where the surface bends, a
highlight, or views that disagree. What is minimised (Adam; Kingma & Ba 2015) is

    how far views disagree with the best base colours (sRGB, robust)
    + how much log base colours differ between pixels near each other (robust: few edges may be strong, as in Retinex,
      Land & McCann 1971)
    + priors: log light even, smooth and grey; gloss near its defaults

The light is a latitude-longitude image of 16 x 32 texels, of which matt surfaces see harmonics of order 2 and glossy
ones nine prefiltered levels (`rendering.environment`). Its overall brightness shows in reflections alone, which are not
multiplied by the base colour: it is held near 1 where they do not tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshwright.engines.nvdiffrec.gloss import Controls, Gloss, features
from meshwright.engines.nvdiffrec.surfels import Surfels
from meshwright.rendering.color import linear_to_srgb
from meshwright.rendering.differentiable.shading import Reflectance, ShadingPoints, shaded
from meshwright.rendering.environment import Light, light_of, solid_angles

ROWS, COLUMNS = 16, 32
CELLS = 256  # texels a side in which base colours are worked out meanwhile
OFFSETS = ((0, 2), (2, 0), (5, 5), (5, -5))  # pixels between the pixels whose colours are compared
HELD = 0.02  # of a typical weight: how much a texel's colour in the photos counts beside the division
DARKEST, BRIGHTEST = 1e-3, 1.0  # of base colours
COATING = 0.01  # linear: that photos are darker by no more than this than what dielectrics reflect makes no metal
LEAST_SHOWN = 5e-3  # linear: below, contrasts are noise
SATURATED = 0.982  # linear, sRGB 253: what a photo cuts off says little
PLAIN, EVEN, SMOOTH, GREY, WHITE, GLOSS = 0.25, 0.01, 0.1, 0.02, 0.001, 0.004  # the weights of the terms
ROBUST = 0.02
RATES = (0.06, 0.06, 0.06)  # Adam's, of log light and of the common and local logits


@dataclass(frozen=True, eq=False)
class Lit:
    """A light (rows x columns x 3, linear radiance) and a gloss, and what the objective says of them."""

    image: Float[Tensor, "h w 3"]
    gloss: Gloss
    objective: float

    @property
    def light(self) -> Light:
        """The light, prefiltered."""
        return light_of(self.image)

    @property
    def unevenness(self) -> float:
        """The standard deviation of log brightness; 0 for a white room."""
        return float(self.image.mean(-1).clip(1e-6).log().std())


class Puzzle:
    """The objective: made once, asked for every light and gloss."""

    def __init__(self, views: list[Surfels], controls: Controls, diagonal: float) -> None:
        self.device = str(views[0].uv.device)
        self.points = ShadingPoints.joined([view.points for view in views])
        self.photo, slope = torch.cat([v.photo for v in views]), torch.cat([v.slope for v in views])
        weight = torch.cat([v.weight for v in views])[:, None]
        weight = torch.where((self.photo >= SATURATED).any(1, keepdim=True), 0.1 * weight, weight)
        self.weight, self.slope = weight / weight.mean(), slope
        self.cell, self.count = _cells(torch.cat([v.uv for v in views]))
        self.pairs = torch.cat(_pairs(views)).T.contiguous()
        self.pair_weight = self.weight.index_select(0, self.pairs[0])
        self.index, self.share = gloss_shares(views, controls, diagonal)
        self.solid = torch.tensor(solid_angles(ROWS, COLUMNS), dtype=torch.float32, device=self.device)[:, None, None]
        self.solid = self.solid / self.solid.mean()

    def objective(self, log_light: Float[Tensor, "h w 3"], gloss: Gloss, held: float) -> Float[Tensor, ""]:
        """What is minimised; ``held`` multiplies the prior of the light."""
        light = light_of(log_light.exp())
        roughness, metallic = gloss.at(self.index, self.share)
        surface = Reflectance.of(self.points, roughness, metallic)
        factor, offset = shaded(self.points, surface, roughness, light)
        color = self.base_colors(factor, offset).index_select(0, self.cell)
        shown = (factor * color.clip(DARKEST, BRIGHTEST) + offset).clip(max=BRIGHTEST)
        darkest = (factor * DARKEST + offset).detach().clip(max=COATING)
        disagree = (_robust((shown - torch.maximum(self.photo, darkest)) * self.slope) * self.weight).mean()
        plain = PLAIN * self._plainness(color, surface, light)
        return disagree + plain + held * self._light_prior(log_light) + GLOSS * gloss.prior()

    def base_colors(self, factor: Float[Tensor, "p 3"], offset: Float[Tensor, "p 3"]) -> Float[Tensor, "t 3"]:
        """The best base colour of each cell; it may lie outside 0..1."""
        weight = self.weight * self.slope.square()
        held = HELD * weight.mean()
        one = torch.ones_like(factor)
        top = self._sums(torch.cat([weight * factor * (self.photo - offset), weight * factor.square()], 1))
        anchor = self._sums(torch.cat([weight * self.photo, weight * one], 1))
        mean = anchor[:, :3] / anchor[:, 3:].clip(1e-12)
        return (top[:, :3] + held * mean) / (top[:, 3:] + held)

    def _sums(self, values: Float[Tensor, "p c"]) -> Float[Tensor, "t c"]:
        return torch.zeros(self.count, values.shape[1], device=self.device).index_add(0, self.cell, values)

    def _plainness(self, color: Float[Tensor, "p 3"], surface: Reflectance, light: Light) -> Float[Tensor, ""]:
        """Of what the surface would show in a white room: there, no gloss makes colours plainer than another.

        The room is as bright as the light on what was seen, so that no brightness does so either.
        """
        factor, offset = surface.in_white_room
        seen = (light.irradiance(self.points.normals) / np.pi).clip(1e-4).log()
        bright = (seen * self.weight).mean().exp()
        log = ((factor * color + offset) * bright).clip(LEAST_SHOWN).log()
        one, two = (log.index_select(0, side) for side in self.pairs)
        return (_robust(one - two) * self.pair_weight).mean() if len(self.pair_weight) else log.sum() * 0

    def _light_prior(self, log_light: Float[Tensor, "h w 3"]) -> Float[Tensor, ""]:
        grey, solid = log_light.mean(-1, keepdim=True), self.solid
        mean = (grey * solid).mean()
        even = ((grey - mean).square() * solid).mean()
        around = torch.cat([log_light, log_light[:, :1]], 1)
        smooth = around.diff(dim=1).square().mean() + log_light.diff(dim=0).square().mean()
        colored = ((log_light - grey).square() * solid).mean()
        return EVEN * even + SMOOTH * smooth + GREY * colored + WHITE * mean.square()


def solve_light(puzzle: Puzzle, start: Lit, rounds: int, report: Callable[[int], None], held: float = 1.0) -> Lit:
    """Light and gloss after ``rounds`` steps from a start, the best of them. ``held`` multiplies the light's prior."""
    log_light, gloss = start.image.clip(1e-6).log().requires_grad_(), start.gloss.learnable()
    groups = zip((log_light, gloss.common, gloss.local), RATES, strict=True)
    adam = torch.optim.Adam([{"params": [part], "lr": rate} for part, rate in groups], betas=(0.9, 0.99))
    best = start
    for done in range(rounds + 1):
        report(done)
        adam.zero_grad()
        objective = puzzle.objective(log_light, gloss, held)
        value = float(objective.detach())
        if not np.isfinite(value):
            break
        if done == 0 or value < best.objective:
            best = Lit(log_light.detach().exp(), gloss.fixed(), value)
        objective.backward()
        for group, rate in zip(adam.param_groups, RATES, strict=True):
            group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * done / max(rounds, 1)))
        adam.step()
    return best


def white_room(gloss: Gloss) -> Lit:
    """The start: an even white light."""
    return Lit(torch.ones(ROWS, COLUMNS, 3, device=gloss.common.device), gloss, float("inf"))


def gloss_shares(
    views: list[Surfels], controls: Controls, diagonal: float
) -> tuple[Int[Tensor, "p n"], Float[Tensor, "p n"]]:
    """The control points of all surfels and their shares."""
    found = [controls.shares(surfel_features(view, diagonal)) for view in views]
    index, share = (np.concatenate(part) for part in zip(*found, strict=True))
    return torch.tensor(index, device=views[0].uv.device), torch.tensor(share, device=views[0].uv.device)


def surfel_features(view: Surfels, diagonal: float) -> Float[np.ndarray, "p 9"]:
    """`features` of a view's surfels, their colours those of the photo."""
    place, normals, colors = (
        part.cpu().numpy() for part in (view.position, view.points.normals, linear_to_srgb(view.photo))
    )
    return features(place, normals, colors, diagonal)


def _robust(values: Tensor) -> Tensor:
    """About the absolute value, smooth at 0."""
    return (values.square() + ROBUST**2).sqrt() - ROBUST


def _cells(uv: Float[Tensor, "p 2"]) -> tuple[Int[Tensor, "p"], int]:
    """The cell of the atlas that each pixel falls in, numbered without gaps."""
    at = (uv * CELLS).long().clip(0, CELLS - 1)
    _, number = torch.unique(at[:, 1] * CELLS + at[:, 0], return_inverse=True)
    return number, int(number.max()) + 1


def _pairs(views: list[Surfels]) -> list[Int[Tensor, "q 2"]]:
    """Numbers of surfels whose pixels are neighbours in one view, over all offsets."""
    found, first = [], 0
    for view in views:
        device = view.pixel.device
        number = torch.full((view.height, view.width), -1, device=device)
        number.view(-1)[view.pixel] = torch.arange(first, first + len(view.pixel), device=device)
        for down, across in OFFSETS:
            rows, columns = max(view.height - down, 0), max(view.width - abs(across), 0)
            left = max(-across, 0)
            one = number[:rows, left : left + columns]
            two = number[down : down + rows, left + across : left + across + columns]
            both = (one >= 0) & (two >= 0)
            found.append(torch.stack([one[both], two[both]], 1))
        first += len(view.pixel)
    return found
