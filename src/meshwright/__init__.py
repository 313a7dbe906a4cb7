"""Meshwright: a few photos and depth maps of one object in; a measured, textured mesh out.

::

    from meshwright import load_capture, reconstruct

    capture = load_capture("my_object/")
    result = reconstruct(capture, engine="fusion")
    result.save("out/")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from meshwright.errors import (
    Cancelled,
    ConvergenceFailed,
    DiskFull,
    EngineError,
    EngineUnavailable,
    FileTooLarge,
    IncompleteResults,
    InputError,
    InvalidFileCount,
    InvalidFileFormat,
    MeshwrightError,
    OutOfMemory,
)
from meshwright.progress import Context, ProgressEvent

if TYPE_CHECKING:
    from meshwright.cameras.calibrate import CalibrationOptions, calibrate
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.capture.capture import Capture
    from meshwright.capture.load import load_capture
    from meshwright.package.verify import verify
    from meshwright.pipeline import Result, reconstruct
    from meshwright.quality.assess import Assessment, assess

__version__ = "0.1.0"

# Where each public name lives: it is imported on first use, so that `import meshwright` takes milliseconds.
_HOMES = {
    "Assessment": "meshwright.quality.assess",
    "CalibratedCapture": "meshwright.capture.calibrated",
    "CalibrationOptions": "meshwright.cameras.calibrate",
    "Capture": "meshwright.capture.capture",
    "Result": "meshwright.pipeline",
    "assess": "meshwright.quality.assess",
    "calibrate": "meshwright.cameras.calibrate",
    "load_capture": "meshwright.capture.load",
    "reconstruct": "meshwright.pipeline",
    "verify": "meshwright.package.verify",
}

__all__ = [
    "Assessment",
    "CalibratedCapture",
    "CalibrationOptions",
    "Cancelled",
    "Capture",
    "Context",
    "ConvergenceFailed",
    "DiskFull",
    "EngineError",
    "EngineUnavailable",
    "FileTooLarge",
    "IncompleteResults",
    "InputError",
    "InvalidFileCount",
    "InvalidFileFormat",
    "MeshwrightError",
    "OutOfMemory",
    "ProgressEvent",
    "Result",
    "__version__",
    "assess",
    "calibrate",
    "load_capture",
    "reconstruct",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
