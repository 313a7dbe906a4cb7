"""Every error that Meshwright raises on purpose, as one tree with stable codes.

::

    MeshwrightError
    ├── InputError                      VALIDATION_FAILED
    │   ├── FileTooLarge                FILE_TOO_LARGE
    │   ├── InvalidFileFormat           INVALID_FILE_FORMAT
    │   └── InvalidFileCount            INVALID_FILE_COUNT
    ├── EngineError                     MODEL_FAILED
    │   ├── EngineUnavailable           ENGINE_UNAVAILABLE
    │   ├── ConvergenceFailed           MODEL_CONVERGENCE_FAILED
    │   └── OutOfMemory                 MEMORY_EXHAUSTED
    ├── IncompleteResults               INCOMPLETE_RESULTS
    ├── DiskFull                        DISK_FULL
    └── Cancelled                       JOB_CANCELLED

``code`` is what programs read, the message is one sentence about what is wrong (it names the file or view),
``suggestion`` is one sentence about what to do, ``details`` holds values for programs; ``details["reason"]`` is the
finer lower-case reason where one code covers several faults.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MeshwrightError(Exception):
    """Base of all errors; carries a code, a message, details and a suggestion."""

    code: ClassVar[str] = "UNKNOWN_ERROR"

    def __init__(self, message: str, *, suggestion: str = "", reason: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.details: dict[str, Any] = {**({"reason": reason} if reason else {}), **details}

    @property
    def reason(self) -> str | None:
        """The finer reason within ``code``, e.g. ``image_corrupt``."""
        return self.details.get("reason")

    def to_json(self) -> dict[str, Any]:
        """The error envelope ``{"error": {code, message, details, suggestion}}``."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "details": self.details,
                "suggestion": self.suggestion,
            }
        }


class InputError(MeshwrightError):
    """The capture, an option or a file that the user handed in cannot be used."""

    code = "VALIDATION_FAILED"


class FileTooLarge(InputError):
    """A file, image or archive is over its limit in bytes or pixels."""

    code = "FILE_TOO_LARGE"


class InvalidFileFormat(InputError):
    """A file is not what its name or place says, or is damaged."""

    code = "INVALID_FILE_FORMAT"


class InvalidFileCount(InputError):
    """Too few, too many or unpaired views."""

    code = "INVALID_FILE_COUNT"


class EngineError(MeshwrightError):
    """An engine could not make a mesh from a valid capture."""

    code = "MODEL_FAILED"


class EngineUnavailable(EngineError):
    """The engine is not installed here, or this machine cannot run it."""

    code = "ENGINE_UNAVAILABLE"


class ConvergenceFailed(EngineError):
    """An optimisation ended without a usable state."""

    code = "MODEL_CONVERGENCE_FAILED"


class OutOfMemory(EngineError):
    """The work needs more memory than is allowed."""

    code = "MEMORY_EXHAUSTED"


class IncompleteResults(MeshwrightError):
    """A result package lacks a file, or a file does not match its hash."""

    code = "INCOMPLETE_RESULTS"


class DiskFull(MeshwrightError):
    """There is not enough free space to write the result."""

    code = "DISK_FULL"


class Cancelled(MeshwrightError):
    """The caller asked the work to stop."""

    code = "JOB_CANCELLED"
