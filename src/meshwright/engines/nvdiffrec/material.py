"""Base colour, roughness and metalness instead of a photo of the light: what ``material=pbr`` adds to a textured mesh.

Light and gloss come first (`light`), from few pixels. Then, at full size, the texture's logarithm is moved until the
shaded mesh shows the photos. With A the look-up of pixels in the mip-mapped texture, f and s the shading
(`affine_shading`), p the photos (all linear) and w the weight of a pixel in sRGB steps, a round is

    log T  -=  A'(w f AT (f AT + s - p)) / (A'(w (f AT)^2) + damping)

a Gauss-Newton step with a diagonal for the Hessian, as in `appearance`. Texels are multiplied, so that detail keeps its
contrast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from meshwright.engines.nvdiffrec.gloss import DIELECTRIC_LOGIT, ROUGHNESS, Controls, Gloss, features
from meshwright.engines.nvdiffrec.light import COLUMNS, ROWS, Lit, Puzzle, solve_light, surfel_features, white_room
from meshwright.engines.nvdiffrec.surfels import Surfels, all_surfels
from meshwright.geometry.material import Material
from meshwright.geometry.mesh import Coverage, TexturedMesh, weld
from meshwright.rendering.color import linear_to_srgb, srgb_to_linear
from meshwright.rendering.differentiable import build_texture_pyramid, sample_texture
from meshwright.rendering.differentiable.shading import affine_shading
from meshwright.rendering.environment import Light
from meshwright.surface.inpaint import fill_outside, fill_unseen
from meshwright.surface.texels import AtlasTexels, rasterize_atlas

if TYPE_CHECKING:
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.progress import Context

LIGHT_PIXELS = 24_000  # of all views together, from which light and gloss are worked out
LEAST_PIXELS = 200  # fewer say nothing about light
GLOSS_SIZE = 512  # texels a side of the metallic-roughness texture, at most the texture's
LEAST_SIZE = 16  # pixels of the longer side, however many views there are
LEAST_GAIN = 0.05  # of the objective: less is what any texture lets itself be explained by light
FREER = 0.25  # how much the prior of the light counts once it is decided what is lit how
LEAST_UNEVEN = 0.25  # standard deviation of log light from which reflections can show a metal
COLOR_ROUNDS = 5
DAMPING = 0.02  # of a texel's typical weight
KNOWN = 0.05  # of it: texels that weigh less take the change of those around
MOST_GAIN = 3.0  # of a texel's logarithm
LEAST_LINEAR = 2e-4  # of base colours: below one step of sRGB
WORSE = "Material and light show the photos worse than the unlit texture does"
STARTS = ((ROUGHNESS, DIELECTRIC_LOGIT), (0.35, 2.0))  # roughness and logit of metalness that are tried


@dataclass(frozen=True, eq=False)
class Solved:
    """The mesh with its material; the light that goes with it (linear radiance, `rendering.environment`'s layout); how
    well the photos are shown, unlit and with material under that light (dB, over what counts); and what to tell."""

    mesh: TexturedMesh
    light: Float[np.ndarray, "16 32 3"]
    psnr_unlit: float
    psnr: float
    notes: tuple[str, ...]


def solve_material(
    mesh: TexturedMesh, capture: CalibratedCapture, size: int, rounds: int, device: str, context: Context
) -> Solved:
    """Material and light of ``mesh``, whose texture is what the photos show.

    Works at ``size`` pixels along the longer side of the photos; ``rounds`` steps for the light. Where no view tells,
    roughness is 0.6 and metalness 0. Never shows the photos worse than the unlit texture: then this is kept, with the
    default gloss and an even white light, and the notes say so.
    """
    views = [] if mesh.uv is None or mesh.texture is None else all_surfels(mesh, capture, size, device)
    pixels = sum(len(view.pixel) for view in views)
    if pixels < LEAST_PIXELS or rounds == 0:
        why = "No view shows enough of the surface to tell its material" if rounds else "No material was looked for"
        return _unlit(mesh, 0.0, f"{why}: it has the default.")
    few = views
    if pixels > LIGHT_PIXELS:
        few = all_surfels(mesh, capture, max(LEAST_SIZE, int(size * (LIGHT_PIXELS / pixels) ** 0.5)), device)
    found, controls = _light(few or views, capture.diagonal, rounds, context)
    gloss_image = _gloss_image(mesh, found.gloss, controls, capture.diagonal)
    shaded = [_Shaded.of(view, mesh, gloss_image, found.light) for view in views]
    texture = _colors(mesh, shaded, context)
    assert mesh.texture is not None
    before, after = _psnr(mesh.texture, shaded, lit=False), _psnr(texture, shaded, lit=True)
    if not after >= before:
        return _unlit(mesh, before, f"{WORSE} ({after:.2f} dB, {before:.2f} dB unlit): it has the default.")
    material = replace(mesh.material or Material(), metallic_roughness=gloss_image, metallic=1.0, roughness=1.0)
    solved = replace(mesh, texture=texture, material=material)
    return Solved(solved, found.image.cpu().numpy(), before, after, (_note(found, before, after),))


def _light(views: list[Surfels], diagonal: float, rounds: int, context: Context) -> tuple[Lit, Controls]:
    """What a dielectric and a metal lead to; a dielectric is followed up with a freer light.

    An even white light and the default gloss if neither is clearly better than that.
    """
    controls = Controls.among(np.concatenate([surfel_features(view, diagonal) for view in views]))
    puzzle, count = Puzzle(views, controls, diagonal), len(controls.features)
    stages = len(STARTS) + 1

    def solve(stage: int, start: Lit, held: float = 1.0) -> Lit:
        def report(done: int) -> None:
            share = (stage + done / (rounds + 1)) / stages
            context.report(0.1 + 0.5 * share, f"material: light, round {done} of {rounds}, {stage + 1} of {stages}")

        return solve_light(puzzle, start, rounds, report, held)

    starts = [white_room(Gloss.start(count, puzzle.device, *start)) for start in STARTS]
    even = solve_light(puzzle, starts[0], 0, lambda _: None)
    dielectric, metal = (solve(stage, start) for stage, start in enumerate(starts))
    shows = metal.gloss.is_metal and metal.unevenness >= LEAST_UNEVEN
    best = metal if shows and metal.objective < dielectric.objective else dielectric
    if best.objective > (1 - LEAST_GAIN) * even.objective:
        return replace(even, gloss=even.gloss.decided()), controls
    if best is metal:  # reflections in a freer light paint anything
        return replace(best, gloss=best.gloss.decided()), controls
    return solve(len(STARTS), replace(best, gloss=best.gloss.decided()), FREER), controls


def _note(found: Lit, before: float, after: float) -> str:
    told = f"With material and light the photos are shown at {after:.2f} dB, unlit at {before:.2f} dB."
    if float(found.image.std()) < 1e-6:
        return f"The photos look evenly lit, which tells nothing of gloss: roughness {ROUGHNESS:g}, no metal. {told}"
    grey = found.image.mean(-1)
    contrast = float(grey.quantile(0.98) / grey.quantile(0.02).clip(1e-6))
    kind = "metal" if found.gloss.is_metal else "no metal"
    light = f"The light found is up to {contrast:.1f} times as bright from one side as from another"
    return f"{light}; {kind}, roughness about {found.gloss.typical_roughness:.2f}. {told}"


@dataclass(frozen=True, eq=False)
class _Shaded:
    """What the pixels of a view make of a texture: shown = factor * looked up + offset, linear."""

    view: Surfels
    factor: Float[Tensor, "p 3"]
    offset: Float[Tensor, "p 3"]

    @staticmethod
    def of(view: Surfels, mesh: TexturedMesh, gloss_image: UInt8[np.ndarray, "g g 3"], light: Light) -> _Shaded:
        """Under a light, with roughness and metalness as they are exported."""
        assert mesh.texture is not None
        image = torch.tensor(gloss_image, device=view.uv.device).float() / 255
        lod = view.lod - float(np.log2(mesh.texture.shape[0] / gloss_image.shape[0]))
        found = sample_texture(image, view.uv, lod)
        return _Shaded(view, *affine_shading(view.points, found[:, 1:2], found[:, 2:3], light))


def _texels(mesh: TexturedMesh, size: int | None = None) -> AtlasTexels:
    assert mesh.uv is not None
    assert mesh.texture is not None
    side = int(size or mesh.texture.shape[0])
    return rasterize_atlas(np.asarray(mesh.uv, np.float64) * side, mesh.faces, side)


def _gloss_image(mesh: TexturedMesh, gloss: Gloss, controls: Controls, diagonal: float) -> UInt8[np.ndarray, "g g 3"]:
    """glTF's metallic-roughness texture, the default where no view saw the surface."""
    assert mesh.texture is not None
    texels = _texels(mesh, min(GLOSS_SIZE, mesh.texture.shape[0]))
    step = mesh.texture.shape[0] // texels.size
    row, column = np.divmod(texels.index, texels.size)
    place = (row * step + step // 2, column * step + step // 2)
    corners, share = mesh.faces[texels.face], texels.barycentric
    points, normals = (np.einsum("tk,tkc->tc", share, values[corners]) for values in (mesh.vertices, mesh.normals))
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    index, near = controls.shares(features(points, normals, mesh.texture[place] / 255.0, diagonal))
    device = gloss.common.device
    roughness, _ = gloss.at(torch.tensor(index, device=device), torch.tensor(near, device=device))
    known = np.full(len(index), True) if mesh.coverage is None else mesh.coverage[place] >= Coverage.GRAZING
    values = np.where(known, roughness[:, 0].cpu().numpy(), ROUGHNESS)
    metal = np.where(known, float(gloss.is_metal), 0.0)
    encoded = np.rint(255 * np.stack([np.ones_like(values), values, metal], 1)).astype(np.uint8)
    covered = texels.image(np.ones(len(index), bool))
    return fill_outside(texels.image(encoded), covered)


def _colors(mesh: TexturedMesh, shaded: list[_Shaded], context: Context) -> UInt8[np.ndarray, "s s 3"]:
    """The base colour texture (sRGB) with which the shaded mesh shows the photos."""
    start = srgb_to_linear(torch.tensor(mesh.texture, dtype=torch.float32, device=shaded[0].factor.device) / 255)
    log, known = start.clip(LEAST_LINEAR).log(), torch.zeros_like(start[..., :1], dtype=torch.bool)
    first = log
    for done in range(COLOR_ROUNDS):
        context.report(0.65 + 0.3 * done / COLOR_ROUNDS, f"material: colour, round {done + 1} of {COLOR_ROUNDS}")
        pull, weight = _pull(log.exp(), shaded)
        typical = weight[weight > 0].median() if bool((weight > 0).any()) else weight.sum() + 1
        known = (weight > KNOWN * typical).all(-1, keepdim=True)
        log = (log - pull / (weight + DAMPING * typical)).clip(float(np.log(LEAST_LINEAR)), 0.0)
    gain = (log - first).clip(-MOST_GAIN, MOST_GAIN)
    return _with_gain(mesh, first.cpu().numpy(), gain.cpu().numpy(), known[..., 0].cpu().numpy())


def _pull(
    color: Float[Tensor, "s s 3"], shaded: list[_Shaded]
) -> tuple[Float[Tensor, "s s 3"], Float[Tensor, "s s 3"]]:
    """The gradient of half the squared misfit in the logarithm of the texture, and what it is to be divided by."""
    given = torch.cat([color, torch.zeros_like(color)], -1).requires_grad_()
    pyramid, total = build_texture_pyramid(given), torch.zeros((), device=color.device)
    for each in shaded:
        found = sample_texture(pyramid, each.view.uv, each.view.lod)
        share = each.factor * found[:, :3].detach()
        apart = (share + each.offset).clip(max=1.0) - each.view.photo
        weight = each.view.weight[:, None] * each.view.slope.square() * share
        total = total + (found * torch.cat([weight * apart, weight * share], 1)).sum()
    (gradient,) = torch.autograd.grad(total, given)
    return gradient[..., :3], gradient[..., 3:]


def _with_gain(
    mesh: TexturedMesh,
    log: Float[np.ndarray, "s s 3"],
    gain: Float[np.ndarray, "s s 3"],
    known: Bool[np.ndarray, "s s"],
) -> UInt8[np.ndarray, "s s 3"]:
    """The texture times ``exp(gain)``; texels of which no photo told a gain take that of the surface around them."""
    texels, whole = _texels(mesh), weld(np.asarray(mesh.vertices, float), mesh.faces)
    rows = gain.reshape(-1, 3)[texels.index]
    coded = ((rows + MOST_GAIN) * (255 / (2 * MOST_GAIN))).astype(np.float32)
    coded = fill_unseen(whole, texels, coded, known.reshape(-1)[texels.index])
    rows = coded * (2 * MOST_GAIN / 255) - MOST_GAIN
    linear = np.exp(log.reshape(-1, 3)[texels.index] + rows)
    image = texels.image(np.rint(255 * linear_to_srgb(linear).clip(0, 1)).astype(np.uint8))
    return fill_outside(image, texels.image(np.ones(len(rows), bool)))


def _psnr(texture: UInt8[np.ndarray, "s s 3"], shaded: list[_Shaded], *, lit: bool) -> float:
    """How well a texture shows the photos (dB, sRGB, weighted), unlit or under the light."""
    device = shaded[0].factor.device
    pyramid = build_texture_pyramid(srgb_to_linear(torch.tensor(texture, device=device).float() / 255))
    total, count = 0.0, 0.0
    for each in shaded:
        shown = sample_texture(pyramid, each.view.uv, each.view.lod)
        shown = each.factor * shown + each.offset if lit else shown
        apart = linear_to_srgb(shown).clip(0.0, 1.0) - linear_to_srgb(each.view.photo)
        total += float((apart.square().mean(1) * each.view.weight).sum())
        count += float(each.view.weight.sum())
    return float(-10 * np.log10(max(total / max(count, 1e-12), 1e-10)))


def _unlit(mesh: TexturedMesh, psnr: float, note: str) -> Solved:
    normals = mesh.material or Material()
    material = replace(normals, metallic_roughness=None, metallic=0.0, roughness=ROUGHNESS)
    return Solved(replace(mesh, material=material), np.ones((ROWS, COLUMNS, 3), np.float32), psnr, psnr, (note,))
