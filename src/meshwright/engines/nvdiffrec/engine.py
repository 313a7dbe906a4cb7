"""The nvdiffrec engine: fusion's surface, made to explain depth maps and outlines by differentiable rendering."""

from __future__ import annotations

import ctypes
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from meshwright.engines.protocol import Availability, EngineOptions, EngineResult
from meshwright.errors import EngineError, EngineUnavailable

if TYPE_CHECKING:
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.engines.nvdiffrec.refine import Refined
    from meshwright.geometry.mesh import TexturedMesh
    from meshwright.progress import Context
    from meshwright.surface.reconstruct import Surface

HOW_TO_GET = "Install its extra: pip install 'meshwright[torch]'."
SHAPE_SHARE = 0.7  # of a budget: when the shape is done, the texture is still to come


class NvdiffrecOptions(EngineOptions):
    """Options of the nvdiffrec engine."""

    resolution: int = Field(default=256, ge=32, le=1024, description="Voxels of the start, along the longest side.")
    size: int = Field(
        default=1024,
        ge=64,
        le=4096,
        description="Pixels along the longer side of what is rendered, at most the views'.",
    )
    rounds: int = Field(default=24, ge=0, le=1000, description="Steps of the optimisation of the shape.")
    texture_rounds: int = Field(default=6, ge=0, le=100, description="Steps of the optimisation of the texture.")
    budget: float = Field(
        default=600.0, gt=0, le=86_400, description="Seconds after which the best shape so far is taken and textured."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the rendering is done.")
    checkpoint: str = Field(
        default="",
        description="A file that holds the state of the optimisation: a job that was killed goes on from it.",
    )


class NvdiffrecEngine:
    """Runs on the CPU (numba) and on CUDA (Triton), with the same code."""

    name = "nvdiffrec"
    summary = "Fusion's shape and texture, made to explain the views by differentiable rendering. CPU or CUDA."
    options_type: type[EngineOptions] = NvdiffrecOptions

    def availability(self) -> Availability:
        """Ready where torch is; accelerated where CUDA is."""
        if find_spec("torch") is None:
            return Availability(False, "torch is not installed.", HOW_TO_GET)
        name = _cuda_name()
        if name is not None and find_spec("triton") is not None:
            return Availability(True, f"runs on {name}", accelerated=True)
        return Availability(True, "runs on the CPU")

    def reconstruct(self, capture: CalibratedCapture, options: EngineOptions, context: Context) -> EngineResult:
        """Fuse the views to a start, optimise its shape against them, blend the photos onto it and sharpen.

        Raises:
            EngineUnavailable: the device asked for is not there.
            EngineError: there is neither depth nor a mask to start from, or the views agree on no surface.
        """
        from meshwright.engines.nvdiffrec.appearance import refine_texture
        from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface

        assert isinstance(options, NvdiffrecOptions)
        began, device = time.monotonic(), _device(options.device)
        _check(capture)
        with context.stage("start", 0.0, 0.3):
            surface_options = SurfaceOptions(faces=options.faces, resolution=options.resolution)
            start = reconstruct_surface(capture, surface_options, context)
        with context.stage("shape", 0.3, 0.75):
            refined = _refined(start, capture, options, device, began + SHAPE_SHARE * options.budget, context)
        with context.stage("texture", 0.75, 0.92):
            mesh = _textured(refined, start, capture, options, context)
        with context.stage("appearance", 0.92, 1.0):
            if time.monotonic() < began + options.budget:
                mesh = refine_texture(mesh, capture, options.size, options.texture_rounds, device, context)
        return EngineResult(mesh, _notes(refined, options), _assumptions(capture, device))


def _cuda_name() -> str | None:
    """The CUDA device's name. Without its driver torch is not even imported: that would take seconds."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _device(wanted: str) -> str:
    there = _cuda_name() is not None
    if wanted == "cuda" and not there:
        raise EngineUnavailable(
            "There is no CUDA device here.",
            suggestion="Use device=cpu, or a machine with an NVIDIA GPU and its driver.",
            reason="cuda_missing",
            engine="nvdiffrec",
        )
    return "cuda" if there and wanted != "cpu" else "cpu"


def _check(capture: CalibratedCapture) -> None:
    if not any((view.mask.any() and not view.mask.all()) or view.depth is not None for view in capture.views):
        raise EngineError(
            "There is neither depth nor an outline to start from.",
            suggestion="Hand in depth maps or masks, or photos whose background differs from the object.",
            reason="empty_masks",
        )


def _refined(
    start: Surface,
    capture: CalibratedCapture,
    options: NvdiffrecOptions,
    device: str,
    deadline: float,
    context: Context,
) -> Refined:
    from meshwright.engines.nvdiffrec.observations import observe
    from meshwright.engines.nvdiffrec.refine import Checkpoint, refine
    from meshwright.engines.nvdiffrec.shape import ShapeProblem

    problem = ShapeProblem(start.mesh, observe(capture, options.size, device))
    saved = Checkpoint.of(Path(options.checkpoint), problem, options.rounds) if options.checkpoint else None
    return refine(problem, options.rounds, context, deadline, saved)


def _textured(
    refined: Refined, start: Surface, capture: CalibratedCapture, options: NvdiffrecOptions, context: Context
) -> TexturedMesh:
    from meshwright.surface.texture import TextureOptions, texture_mesh

    return texture_mesh(
        refined.mesh, capture, TextureOptions(size=options.texture_size), context, invented=start.invented
    )


def _notes(refined: Refined, options: NvdiffrecOptions) -> tuple[str, ...]:
    first, best = refined.misfits[0], refined.misfits[refined.best]
    gain = 1 - best.data / first.data if first.data else 0.0
    notes = [
        f"The shape explains depth and outlines {gain:.0%} better than its start"
        f" (mask IoU {first.mask_iou:.4f} to {best.mask_iou:.4f}, {refined.best} of {options.rounds} rounds)."
    ]
    if refined.out_of_time:
        notes.append(f"The budget of {options.budget:g} s ended the optimisation early.")
    return tuple(notes)


def _assumptions(capture: CalibratedCapture, device: str) -> tuple[str, ...]:
    kinds = ["depth and outlines" if any(view.depth is not None for view in capture.views) else "outlines alone"]
    return (f"Shape from {kinds[0]}, cameras as calibrated, on {device}.", "Colour is unlit: light is part of it.")


ENGINE = NvdiffrecEngine()
