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
    │   ├── GpuUnavailable              GPU_UNAVAILABLE
    │   ├── EngineCrashed               ENGINE_CRASHED
    │   ├── EngineTimeout               ENGINE_TIMEOUT
    │   └── OutOfMemory                 MEMORY_EXHAUSTED
    │       ├── ModelOutOfMemory        MODEL_OOM
    │       └── GpuOutOfMemory          MODEL_VRAM_OOM
    ├── IncompleteResults               INCOMPLETE_RESULTS
    ├── DiskFull                        DISK_FULL
    ├── Cancelled                       JOB_CANCELLED
    └── ServiceError                    UNKNOWN_ERROR
        ├── JobNotFound                 JOB_NOT_FOUND
        ├── JobNotReady                 JOB_NOT_READY
        ├── JobExpired                  JOB_EXPIRED
        ├── IdempotencyConflict         IDEMPOTENCY_CONFLICT
        ├── RateLimited                 RATE_LIMITED
        ├── Unauthorized                UNAUTHORIZED
        └── Forbidden                   FORBIDDEN

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


class GpuUnavailable(EngineError):
    """The GPU that the work needs is gone or broken."""

    code = "GPU_UNAVAILABLE"


class EngineCrashed(EngineError):
    """The process of an engine died, more often than a job is given."""

    code = "ENGINE_CRASHED"


class EngineTimeout(EngineError):
    """An engine ran, or stood still, for longer than it may."""

    code = "ENGINE_TIMEOUT"


class OutOfMemory(EngineError):
    """The machine has not the memory that the work needs."""

    code = "MEMORY_EXHAUSTED"


class ModelOutOfMemory(OutOfMemory):
    """An engine needs more memory than its process is allowed, at a lower resolution too."""

    code = "MODEL_OOM"


class GpuOutOfMemory(OutOfMemory):
    """An engine needs more of the GPU's memory than there is, at a lower resolution too."""

    code = "MODEL_VRAM_OOM"


class IncompleteResults(MeshwrightError):
    """A result package lacks a file, or a file does not match its hash."""

    code = "INCOMPLETE_RESULTS"


class DiskFull(MeshwrightError):
    """There is not enough free space to write the result."""

    code = "DISK_FULL"


class Cancelled(MeshwrightError):
    """The caller asked the work to stop."""

    code = "JOB_CANCELLED"


class ServiceError(MeshwrightError):
    """The service cannot do what was asked of it."""


class JobNotFound(ServiceError):
    """There is no such job, or it is another tenant's."""

    code = "JOB_NOT_FOUND"


class JobNotReady(ServiceError):
    """The job is not in a state in which this can be done."""

    code = "JOB_NOT_READY"


class JobExpired(ServiceError):
    """The job's files were deleted, at its end of life or on request."""

    code = "JOB_EXPIRED"


class IdempotencyConflict(ServiceError):
    """The idempotency key was used for another request."""

    code = "IDEMPOTENCY_CONFLICT"


class RateLimited(ServiceError):
    """Too many requests, uploads or waiting jobs."""

    code = "RATE_LIMITED"


class Unauthorized(ServiceError):
    """There is no key, or it is not valid."""

    code = "UNAUTHORIZED"


class Forbidden(ServiceError):
    """The key may not do this."""

    code = "FORBIDDEN"
