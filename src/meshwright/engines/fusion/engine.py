"""The fusion engine: depth and silhouettes to a watertight surface, the views blended onto it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from meshwright.engines.protocol import Availability, EngineOptions, EngineResult

if TYPE_CHECKING:
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.progress import Context


class FusionOptions(EngineOptions):
    """Options of the fusion engine."""

    resolution: int = Field(default=256, ge=32, le=1024, description="Voxels along the longest side of the object.")


class FusionEngine:
    """Runs everywhere: NumPy, SciPy and numba on the CPU."""

    name = "fusion"
    summary = "Depth fusion with free-space carving and a view-blended texture. CPU, seconds."
    options_type: type[EngineOptions] = FusionOptions

    def availability(self) -> Availability:
        """Always there."""
        return Availability(True, "runs on the CPU")

    def reconstruct(self, capture: CalibratedCapture, options: EngineOptions, context: Context) -> EngineResult:
        """Fuse the depth maps and silhouettes to a closed surface, then blend the views onto it.

        Raises:
            EngineError: the views agree on no surface.
        """
        from meshwright.surface.reconstruct import SurfaceOptions, reconstruct_surface
        from meshwright.surface.texture import TextureOptions, texture_mesh

        assert isinstance(options, FusionOptions)
        surface_options = SurfaceOptions(faces=options.faces, resolution=options.resolution)
        with context.stage("surface", 0.0, 0.5):
            surface = reconstruct_surface(capture, surface_options, context)
        with context.stage("texture", 0.5, 1.0):
            texture_options = TextureOptions(size=options.texture_size)
            mesh = texture_mesh(surface.mesh, capture, texture_options, context, invented=surface.invented)
        share = float(surface.invented.mean()) if len(surface.invented) else 0.0
        notes = () if share < 0.005 else (f"{share:.1%} of the surface was seen by no view: it is closed smoothly.",)
        return EngineResult(mesh, notes)


ENGINE = FusionEngine()
