"""The nvdiffrec engine: fusion's surface, made to explain depth maps and outlines by differentiable rendering."""

from __future__ import annotations

import ctypes
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from meshwright.engines.nvdiffrec.options import NvdiffrecOptions
from meshwright.engines.protocol import Availability, EngineOptions, EngineResult
from meshwright.errors import EngineError, EngineUnavailable

if TYPE_CHECKING:
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.engines.nvdiffrec.refine import Refined
    from meshwright.engines.nvdiffrec.start import Start
    from meshwright.engines.nvdiffrec.watch import Watch
    from meshwright.geometry.mesh import TexturedMesh
    from meshwright.progress import Context

HOW_TO_GET = "Install its extra: pip install 'meshwright[torch]'."
MATERIAL = {
    "unlit": "Colour is unlit: light is part of it.",
    "pbr": "Base colour is what remains after one distant light without shadows; one metalness for the whole object;"
    " few views cannot separate more. Where no view tells, roughness is 0.6 and nothing is metal.",
}
SHAPE_SHARE = 0.7  # of a budget: when the shape is done, the texture is still to come


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
            InputError: a checkpoint or previews cannot be written where they are to be.
        """
        from meshwright.engines.nvdiffrec.start import make_start

        assert isinstance(options, NvdiffrecOptions)
        began, device, notes = time.monotonic(), _device(options.device), ()
        _check(capture)
        watch = _checked_files(options)
        if options.cameras == "refine":
            with context.stage("cameras", 0.0, 0.15):
                capture, notes = _gathered(capture, context)
        until = began + SHAPE_SHARE * options.budget
        with context.stage("begin", 0.15 if options.cameras == "refine" else 0.0, 0.3):
            start = make_start(capture, options, device, until, context)
        with context.stage("shape", 0.3, 0.75):
            refined = _refined(start, options, until, context, watch)
        with context.stage("texture", 0.75, 0.88):
            mesh = _textured(refined, start, options, context)
        with context.stage("appearance", 0.88, 1.0):
            mesh, found = _appearance(mesh, start, options, device, began + options.budget, context)
        notes = (*notes, *start.notes, *_notes(refined, start, options), *found)
        return EngineResult(mesh, notes, _assumptions(capture, device, options))


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


def _checked_files(options: NvdiffrecOptions) -> Watch | None:
    """What is written on the way can be written: known before any work. The pictures' writer, if there is one."""
    from meshwright.engines.nvdiffrec.watch import Previews, require_writable

    if options.checkpoint:
        require_writable(Path(options.checkpoint).parent, "checkpoint")
    if not options.preview_every:
        return None
    require_writable(Path(options.preview_folder), "preview_folder")
    return Previews(Path(options.preview_folder), options.preview_every)


def _gathered(capture: CalibratedCapture, context: Context) -> tuple[CalibratedCapture, tuple[str, ...]]:
    from meshwright.engines.nvdiffrec.strays import gather_strays

    found = gather_strays(capture, context)
    return found.capture, found.notes or ("No view disagrees with the others: all cameras are as calibrated.",)


def _refined(
    start: Start, options: NvdiffrecOptions, deadline: float, context: Context, watch: Watch | None
) -> Refined:
    from meshwright.engines.nvdiffrec.refine import Checkpoint, refine
    from meshwright.engines.nvdiffrec.shape import ShapeProblem

    problem, rounds = ShapeProblem(start.mesh, start.seen), 0 if start.settled else options.rounds
    saved = Checkpoint.of(Path(options.checkpoint), problem, rounds) if options.checkpoint else None
    return refine(problem, rounds, context, deadline, saved, watch)


def _textured(refined: Refined, start: Start, options: NvdiffrecOptions, context: Context) -> TexturedMesh:
    from meshwright.surface.texture import TextureOptions, texture_mesh

    return texture_mesh(
        refined.mesh, start.capture, TextureOptions(size=options.texture_size), context, invented=start.invented
    )


def _appearance(
    mesh: TexturedMesh, start: Start, options: NvdiffrecOptions, device: str, deadline: float, context: Context
) -> tuple[TexturedMesh, tuple[str, ...]]:
    """The texture against the photos, then material and light where they are asked for and time is left."""
    from meshwright.engines.nvdiffrec.appearance import refine_texture
    from meshwright.engines.nvdiffrec.detail import bake_detail
    from meshwright.engines.nvdiffrec.material import solve_material
    from meshwright.engines.nvdiffrec.one_thread import one_thread

    if time.monotonic() > deadline:
        return mesh, ()
    with context.stage("sharpen", 0.0, 0.3 if options.material == "pbr" else 1.0):
        mesh = refine_texture(mesh, start.capture, options.size, options.texture_rounds, device, context)
    if options.material == "unlit":
        return mesh, ()
    with context.stage("material", 0.3, 1.0), one_thread():
        mesh = bake_detail(mesh, start.fine)
        if time.monotonic() > deadline:
            return mesh, ("The budget left no time for material and light.",)
        solved = solve_material(mesh, start.capture, options.size, options.material_rounds, device, context)
    return solved.mesh, solved.notes


def _notes(refined: Refined, start: Start, options: NvdiffrecOptions) -> tuple[str, ...]:
    if start.settled:
        return ()
    first, best = refined.misfits[0], refined.misfits[refined.best]
    gain = 1 - best.data / first.data if first.data else 0.0
    notes = [
        f"The shape explains depth and outlines {gain:.0%} better than its start"
        f" (mask IoU {first.mask_iou:.4f} to {best.mask_iou:.4f}, {refined.best} of {options.rounds} rounds)."
    ]
    if refined.out_of_time:
        notes.append(f"The budget of {options.budget:g} s ended the optimisation early.")
    return tuple(notes)


def _assumptions(capture: CalibratedCapture, device: str, options: NvdiffrecOptions) -> tuple[str, ...]:
    source = "depth and outlines" if any(view.depth is not None for view in capture.views) else "outlines alone"
    cameras = "cameras as calibrated" if options.cameras == "keep" else "cameras that strayed brought back"
    return (f"Shape from {source}, {cameras}, on {device}.", MATERIAL[options.material])


ENGINE = NvdiffrecEngine()
