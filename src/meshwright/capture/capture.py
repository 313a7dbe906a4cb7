"""What the user handed in, read and checked but not yet interpreted: `Capture`, its views and its findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from meshwright.geometry.camera import Camera

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One remark about the input. ``code`` is stable and lower-case, ``remedy`` says what to do about it."""

    code: str
    message: str
    remedy: str = ""
    view: str | None = None
    severity: Severity = "warning"


@dataclass(frozen=True)
class SourceFile:
    """A file of the input: its path inside the capture, its sha256 and its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A depth map exactly as stored: float32 values, 0 where there is none (NaN and infinities became 0).

    ``bits`` is 8 or 16 for integers, 32 for floats. ``unit_scale`` is world units per value where the input declares it
    (a camera file's scale, millimetres by file kind), else None: then calibration finds one scale per view.
    """

    values: Float[np.ndarray, "h w"]
    bits: int
    unit_scale: float | None = None

    @property
    def valid(self) -> Bool[np.ndarray, "h w"]:
        """Where there is a depth."""
        return self.values > 0


@dataclass(frozen=True, eq=False)
class View:
    """One view: RGB (uint8 sRGB); depth of any size, mask of the RGB's size and camera of the RGB where given."""

    name: str
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: DepthImage | None = None
    mask: Bool[np.ndarray, "h w"] | None = None
    camera: Camera | None = None
    files: tuple[SourceFile, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """RGB (width, height)."""
        return self.rgb.shape[1], self.rgb.shape[0]


@dataclass(frozen=True, eq=False)
class Capture:
    """1 to 64 views of one object. ``unit`` is "metre" where the input declares real units, else None."""

    views: tuple[View, ...]
    source: Path | None = None
    unit: Literal["metre"] | None = None
    camera_format: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """View names in order."""
        return tuple(view.name for view in self.views)

    @property
    def has_cameras(self) -> bool:
        """True when every view came with a camera."""
        return all(view.camera is not None for view in self.views)

    @property
    def has_depth(self) -> bool:
        """True when every view came with depth."""
        return all(view.depth is not None for view in self.views)
