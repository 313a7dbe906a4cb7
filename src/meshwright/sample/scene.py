"""A sample in memory: options, the object, its photographs with true depth, and the library's values of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from meshwright.capture.calibrated import CalibratedCapture, CalibratedView, CalibrationReport
from meshwright.capture.capture import Capture, DepthImage, View
from meshwright.errors import InputError
from meshwright.geometry.camera import Camera
from meshwright.geometry.mesh import TexturedMesh
from meshwright.progress import Context
from meshwright.sample.encoding import MILLIMETRE, encode_steps, encode_view_max
from meshwright.sample.rig import Layout, Naming, Station, canonical_stations, ring_stations, sphere_stations

Format = Literal["reference", "metric"]


@dataclass(frozen=True)
class SampleOptions:
    """What a sample shows and how it is photographed.

    ``format`` "reference": six RGB and six 8-bit depth images with an unknown scale per view and no cameras; "metric":
    ``cameras.json`` in metres and 16-bit millimetre depth. ``views`` other than 6, or another ``layout``, stand on a
    ring or a sphere. ``fov_deg`` is the full field of view; ``distance`` is from the object's centre, in diagonals.
    ``diagonal_m`` is the object's size in the metric format. ``texture_size`` None follows ``rgb_size``.
    ``novel`` held-out views of ``novel_size`` pixels belong to the truth.
    """

    object: str = "robot"
    seed: int = 0
    format: Format = "reference"
    naming: Naming = "viewer"
    views: int = 6
    layout: Layout | None = None
    rgb_size: int = 1024
    depth_size: int = 512
    fov_deg: float = 49.1
    distance: float = 1.22
    elevation_deg: float = 20.0
    diagonal_m: float = 0.5
    light: bool = True
    background: int = 255
    texture_size: int | None = None
    cells: int | None = None
    novel: int = 12
    novel_size: int = 512

    def __post_init__(self) -> None:
        if self.layout == "canonical" and self.views != 6:
            raise _bad(f"The canonical rig has 6 views, not {self.views}.", "Use --layout ring or sphere.")
        if not 1 <= self.views <= 64:
            raise _bad(f"A capture has 1 to 64 views, not {self.views}.", "Choose --views in that range.")
        if not (16 <= self.rgb_size <= 4096 and 16 <= self.depth_size <= 4096):
            raise _bad("Image sizes must be 16 to 4096 pixels.", "Choose --rgb-size and --depth-size in that range.")
        if not 5 <= self.fov_deg <= 120:
            raise _bad(f"A field of view of {self.fov_deg:g} degrees is not possible here.", "Choose 5 to 120.")
        if not 0.55 <= self.distance <= 50:
            raise _bad("The cameras must stand 0.55 to 50 diagonals away.", "Choose --distance in that range.")
        if not (np.isfinite(self.diagonal_m) and 0.01 <= self.diagonal_m <= 30):
            raise _bad("The object's diagonal must be 0.01 to 30 metres.", "Choose --diagonal-m in that range.")

    @property
    def scale(self) -> float:
        """World units per object diagonal."""
        return self.diagonal_m if self.format == "metric" else 1.0


@dataclass(frozen=True, eq=False)
class Shot:
    """One photograph: the camera is the RGB's; ``depth`` is exact z-depth (own size, world units, 0 = none)."""

    name: str
    camera: Camera
    rgb: UInt8[np.ndarray, "h w 3"]
    coverage: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "d e"]


@dataclass(frozen=True, eq=False)
class Sample:
    """The object in the world of its cameras, its shots, and the held-out shots."""

    options: SampleOptions
    mesh: TexturedMesh
    shots: tuple[Shot, ...]
    novel: tuple[Shot, ...]

    def stored_depth(self, shot: Shot) -> tuple[np.ndarray, float]:
        """Depth as the sample's files hold it, and world units per value."""
        if self.options.format == "metric":
            return encode_steps(shot.depth, MILLIMETRE), MILLIMETRE
        return encode_view_max(shot.depth)

    def capture(self) -> Capture:
        """What a reader of the sample's folder gets, without the files."""
        metric = self.options.format == "metric"
        views = []
        for shot in self.shots:
            values, step = self.stored_depth(shot)
            depth = DepthImage(values.astype(np.float32), 16 if metric else 8, step if metric else None)
            views.append(View(shot.name, shot.rgb, depth, camera=shot.camera if metric else None))
        form = "nerfstudio" if metric else None
        return Capture(tuple(views), unit="metre" if metric else None, camera_format=form)

    def truth(self, *, exact_depth: bool = False) -> CalibratedCapture:
        """The perfectly calibrated capture; ``exact_depth`` without the quantisation of the files."""
        views = []
        for shot in self.shots:
            values, step = self.stored_depth(shot)
            depth = shot.depth if exact_depth else (values * step).astype(np.float32)
            camera = shot.camera.resized(depth.shape[1], depth.shape[0])
            step = 0.0 if exact_depth else step
            views.append(
                CalibratedView(shot.name, camera, depth > 0, depth, shot.rgb, depth_step=step, depth_scale=step)
            )
        bounds = np.stack([self.mesh.vertices.min(0), self.mesh.vertices.max(0)])
        diagonal = float(np.linalg.norm(bounds[1] - bounds[0]))
        scale = "metric" if self.options.format == "metric" else "relative"
        return CalibratedCapture(
            tuple(views), CalibrationReport("given"), diagonal, bounds, given_frame=True, scale=scale
        )


def make_sample(options: SampleOptions | None = None, context: Context | None = None) -> Sample:
    """Build the object and photograph it. Same options, same arrays."""
    from meshwright.sample.objects import sample_object

    context, options = context or Context(), options or SampleOptions()
    with context.stage("object", 0.0, 0.5):
        texture = options.texture_size or int(np.clip(2 * options.rgb_size, 512, 4096))
        mesh = sample_object(
            options.object, seed=options.seed, texture_size=texture, light=options.light, cells=options.cells
        )
        mesh = mesh.transformed(np.diag([options.scale] * 3 + [1.0]))
    with context.stage("views", 0.5, 0.85):
        stations = input_stations(options)
        shots = photograph(mesh, stations, options.depth_size, options.background, context)
    with context.stage("held-out views", 0.85, 1.0):
        stations = novel_stations(options)
        novel = photograph(mesh, stations, options.novel_size, 255, context)
    return Sample(options, mesh, shots, novel)


def input_stations(options: SampleOptions) -> list[Station]:
    """The cameras of the capture."""
    layout = options.layout or ("canonical" if options.views == 6 else "ring")
    fov, size, distance = options.fov_deg, options.rgb_size, options.distance * options.scale
    if layout == "canonical":
        return canonical_stations(fov, distance, size, options.naming)
    if layout == "ring":
        return ring_stations(options.views, options.elevation_deg, fov, distance, size)
    return sphere_stations(options.views, fov, distance, size)


def novel_stations(options: SampleOptions) -> list[Station]:
    """The held-out cameras, all around."""
    distance = options.distance * options.scale
    return sphere_stations(options.novel, options.fov_deg, distance, options.novel_size, "novel")


def photograph(
    mesh: TexturedMesh, stations: list[Station], depth_size: int, background: int, context: Context
) -> tuple[Shot, ...]:
    """RGB (2 x 2 samples a pixel) and exact depth from every station."""
    from meshwright.rendering.raster import rasterize
    from meshwright.rendering.render import render

    shots = []
    for number, station in enumerate(stations):
        context.report(number / len(stations), station.name)
        picture = render(mesh, station.camera, supersample=2, background=background)
        depth = rasterize(mesh.vertices, mesh.faces, station.camera.resized(depth_size, depth_size)).depth
        shots.append(Shot(station.name, station.camera, picture.rgb, picture.coverage, depth))
    return tuple(shots)


def _bad(message: str, suggestion: str) -> InputError:
    return InputError(message, suggestion=suggestion, reason="bad_option")
