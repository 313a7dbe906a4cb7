"""Exit codes: what a script learns from ``meshwright`` without reading its output. docs/cli.md shows this table."""

from __future__ import annotations

from meshwright.errors import (
    Cancelled,
    DiskFull,
    EngineError,
    EngineUnavailable,
    IncompleteResults,
    InputError,
    MeshwrightError,
    ServiceError,
)

OK = 0
INTERNAL = 1
USAGE = 2
BELOW_WANTED = 8
CANCELLED = 130

# The first class that matches decides, so a subclass stands before its base.
BY_ERROR: tuple[tuple[type[MeshwrightError], int], ...] = (
    (InputError, 3),
    (EngineUnavailable, 4),
    (EngineError, 5),
    (IncompleteResults, 6),
    (DiskFull, 7),
    (ServiceError, 9),
    (Cancelled, CANCELLED),
)

MEANINGS: dict[int, str] = {
    OK: "Done. The quality verdict is in the result and does not change the exit code, unless `--fail-on` asks for it.",
    INTERNAL: "A fault of Meshwright itself (UNKNOWN_ERROR); run again with `--debug` and report it.",
    USAGE: "The command line is wrong: an unknown verb or option, a missing argument.",
    3: "The input cannot be used: VALIDATION_FAILED, FILE_TOO_LARGE, INVALID_FILE_FORMAT, INVALID_FILE_COUNT.",
    4: "The engine is not installed or cannot run here: ENGINE_UNAVAILABLE.",
    5: "The engine failed: MODEL_FAILED, MODEL_CONVERGENCE_FAILED, MEMORY_EXHAUSTED, MODEL_OOM, MODEL_VRAM_OOM, "
    "GPU_UNAVAILABLE, ENGINE_CRASHED, ENGINE_TIMEOUT.",
    6: "A result is incomplete or does not match its hashes or metrics: INCOMPLETE_RESULTS.",
    7: "The disk is full: DISK_FULL.",
    9: "The service cannot be reached, or refused: JOB_NOT_FOUND, JOB_NOT_READY, JOB_EXPIRED, IDEMPOTENCY_CONFLICT, "
    "RATE_LIMITED, UNAUTHORIZED, FORBIDDEN.",
    BELOW_WANTED: "The result was written, but its verdict is at or below the one named by `--fail-on`.",
    CANCELLED: "Stopped by Ctrl-C or SIGTERM; nothing half-written is left.",
}


def exit_code(error: MeshwrightError) -> int:
    """The exit code of an error, by its class."""
    return next((code for kind, code in BY_ERROR if isinstance(error, kind)), INTERNAL)
