"""A double of an engine: a cube, or what ``act`` says."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from meshwright.engines.protocol import Availability, EngineOptions, EngineResult
from meshwright.errors import ConvergenceFailed
from meshwright.geometry.mesh import TexturedMesh, vertex_normals


class Options(EngineOptions):
    act: str = Field(default="cube", description="What to do.")
    resolution: int = Field(default=256, ge=32, le=1024, description="Above 128 some acts go wrong.")


class Scripted:
    summary = "A double."
    options_type = Options

    def __init__(self, name: str) -> None:
        self.name = name

    def availability(self) -> Availability:
        return Availability(True)

    def reconstruct(self, capture: object, options: Options, context: object) -> EngineResult:
        act = options.act if self.name in (options.act.split("@")[1:] or [self.name]) else "cube"
        match act.split("@")[0]:
            case "diverge":
                raise ConvergenceFailed("The loss is not finite.", reason="diverged")
            case "memory" if options.resolution > 128:
                raise MemoryError
            case "memory_always":
                raise MemoryError
            case "gpu_memory":
                raise RuntimeError("CUDA out of memory. Tried to allocate 3 GiB")
            case "nan":
                return EngineResult(cube(np.nan))
            case "empty":
                return EngineResult(empty())
            case "wild":
                return EngineResult(cube(1.0, last=999))
        return EngineResult(cube(1.0))


def cube(size: float, last: int = 7) -> TexturedMesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) * 0.25
    corners[-1] *= size
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
    faces += [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    array = np.array(faces, np.int32)
    normals = vertex_normals(np.nan_to_num(corners), array)
    array[-1, 1] = last
    return TexturedMesh(corners, array, normals, colors=np.full((8, 3), 128, np.uint8))


def empty() -> TexturedMesh:
    return TexturedMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)))


ENGINE = Scripted("fusion")
