"""The options of the nvdiffrec engine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from meshwright.engines.protocol import OF_THE_MACHINE, EngineOptions


class NvdiffrecOptions(EngineOptions):
    """Options of the nvdiffrec engine."""

    resolution: int = Field(default=256, ge=32, le=1024, description="Voxels of the start, along the longest side.")
    start: Literal["auto", "surface", "volume", "sphere"] = Field(
        default="auto",
        description="What the shape starts from: fusion's surface, one on a grid made of it, one on a grid made of a"
        " sphere; auto takes the surface where there is depth and the grid where there are outlines alone.",
    )
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
    material: Literal["unlit", "pbr"] = Field(
        default="unlit",
        description="What the texture is: the photos' colours, light included, or base colour, roughness and metalness"
        " with the light taken out as far as the views tell.",
    )
    material_rounds: int = Field(
        default=100, ge=0, le=1000, description="Steps of the search for light and gloss, up to three times."
    )
    cameras: Literal["keep", "refine"] = Field(
        default="keep",
        description="Whether a view that disagrees with all others may have its camera and depth scale moved.",
    )
    checkpoint: str = Field(
        default="",
        description="A file that holds the state of the optimisation: a job that was killed goes on from it.",
        json_schema_extra=OF_THE_MACHINE,
    )
    preview_every: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Write a picture of the shape every so many rounds; 0 writes none.",
        json_schema_extra=OF_THE_MACHINE,
    )
    preview_folder: str = Field(
        default="nvdiffrec-previews",
        description="Where those pictures are written.",
        json_schema_extra=OF_THE_MACHINE,
    )
