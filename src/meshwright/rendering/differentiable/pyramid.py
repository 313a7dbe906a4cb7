"""A texture and its halvings as one tensor, differentiable: the torch twin of `rendering.sampling.build_pyramid`.

Level k has a texel every 2^k texels of level 0; sizes are rounded up. Values are averaged as they are: a texture that
is to be filtered as light must be linear (`rendering.color.srgb_to_linear`), one that is to look like `render`'s sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from meshwright.errors import InputError
from meshwright.rendering.differentiable.pyramid_numba import NumbaPyramid
from meshwright.rendering.sampling import SMALLEST_LEVEL


@dataclass(frozen=True, eq=False)
class TexturePyramid:
    """``texels`` of all levels, one after another, each row by row; ``sizes`` are the levels' (height, width)."""

    texels: Float[Tensor, "t c"]
    sizes: tuple[tuple[int, int], ...]

    def level(self, index: int) -> Float[Tensor, "h w c"]:
        """One level as an image."""
        first = sum(height * width for height, width in self.sizes[:index])
        height, width = self.sizes[index]
        return self.texels[first : first + height * width].reshape(height, width, -1)


def build_texture_pyramid(
    texture: Float[Tensor, "h w c"], covered: Bool[Tensor, "h w"] | None = None
) -> TexturePyramid:
    """The mip pyramid of a texture; gradients of all levels reach it.

    Where ``covered`` is False a texel does not count: coarser levels average only covered texels and carry their
    colours outwards, so that nothing between charts shines through. Raises `InputError` if a shape does not fit.
    """
    _check(texture, covered)
    if covered is not None and (bool(covered.all()) or not bool(covered.any())):
        covered = None
    sizes = level_sizes(texture.shape[0], texture.shape[1])
    if texture.device.type == "cpu":
        return TexturePyramid(NumbaPyramid.apply(texture, sizes, covered), sizes)
    return TexturePyramid(pyramid_texels(texture, covered), sizes)


def level_sizes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of all levels."""
    sizes = [(height, width)]
    while max(sizes[-1]) > SMALLEST_LEVEL:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return tuple(sizes)


def single_level(texture: Float[Tensor, "h w c"]) -> TexturePyramid:
    """A texture without halvings."""
    _check(texture, None)
    return TexturePyramid(texture.reshape(-1, texture.shape[2]), ((texture.shape[0], texture.shape[1]),))


def _check(texture: Tensor, covered: Tensor | None) -> None:
    fits = texture.ndim == 3 and texture.numel() > 0 and texture.is_floating_point()
    if not fits or (covered is not None and covered.shape != texture.shape[:2]):
        raise InputError(
            f"A texture of shape {tuple(texture.shape)} and type {texture.dtype} cannot be used.",
            suggestion="Give rows x columns x channels of real numbers, and a mask of as many rows and columns.",
            reason="bad_texture",
        )


def pyramid_texels(texture: Float[Tensor, "h w c"], covered: Bool[Tensor, "h w"] | None = None) -> Float[Tensor, "t c"]:
    """The readable twin of `NumbaPyramid`, for every device."""
    weight = None if covered is None else covered.to(texture.dtype)
    means, weights = [texture], [weight]
    while max(means[-1].shape[:2]) > SMALLEST_LEVEL:
        mean, weight = _halved(means[-1], weight)
        means.append(mean)
        weights.append(weight)
    return torch.cat([mean.reshape(-1, texture.shape[2]) for mean in _without_gaps(means, weights)])


def _halved(
    image: Float[Tensor, "h w c"], weight: Float[Tensor, "h w"] | None
) -> tuple[Float[Tensor, "h2 w2 c"], Float[Tensor, "h2 w2"] | None]:
    """Means of 2 x 2 texels; texels of weight 0 do not count, and a mean of none is 0."""
    if weight is None:
        return _sum4(_even(image)) / 4, None
    ones = weight[..., None]
    total = _sum4(_even(ones, border=0.0))
    mean = _sum4(_even(image * ones, border=0.0)) / total.clip(1e-12)
    return mean, (total[..., 0] > 0).to(image.dtype)


def _even(image: Float[Tensor, "h w c"], border: float | None = None) -> Float[Tensor, "H W c"]:
    """One more row and column where their number is odd: ``border``, or the last one again."""
    for axis in (0, 1):
        if image.shape[axis] % 2:
            last = image.narrow(axis, image.shape[axis] - 1, 1)
            image = torch.cat([image, last if border is None else torch.full_like(last, border)], axis)
    return image


def _sum4(image: Float[Tensor, "h w c"]) -> Float[Tensor, "h2 w2 c"]:
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).sum((1, 3))


def _without_gaps(means: list[Tensor], weights: list[Tensor | None]) -> list[Tensor]:
    """Texels of weight 0, at all levels but the finest, get the colour of the level above (at the top, the mean)."""
    if weights[-1] is None or len(means) < 2:
        return means
    top, filled = weights[-1][..., None], list(means)
    filled[-1] = torch.where(top > 0, means[-1], (means[-1] * top).sum((0, 1)) / top.sum())
    for k in range(len(means) - 2, 0, -1):
        weight = weights[k]
        assert weight is not None
        height, width = weight.shape
        coarse = filled[k + 1].repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width]
        filled[k] = torch.where(weight[..., None] > 0, means[k], coarse)
    return filled
