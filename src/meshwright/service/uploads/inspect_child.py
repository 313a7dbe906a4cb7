"""The process that decodes a capture for its input report: confined, and gone when it is done.

``python -m meshwright.service.uploads.inspect_child --parent PID --memory BYTES`` reads one line of JSON from standard
input (``path``, ``rig``, ``limits``) and writes one to standard output: ``{"report": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshwright.errors import MeshwrightError, OutOfMemory
from meshwright.service.worker.confine import confine


def main() -> None:
    """Serve one request."""
    parser = argparse.ArgumentParser(prog="meshwright.service.uploads.inspect_child")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--memory", type=int, default=0)
    arguments = parser.parse_args()
    confine(arguments.parent, arguments.memory)
    sys.stdout.write(json.dumps(answer(json.loads(sys.stdin.readline())), allow_nan=False) + "\n")


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a capture, or the error that says why there is none."""
    from meshwright.capture.limits import Limits

    try:
        return {"report": report(Path(request["path"]), Limits(**request["limits"]), with_rig=request["rig"])}
    except MeshwrightError as error:
        return error.to_json()
    except MemoryError:
        return OutOfMemory(
            "There is not enough memory to look at this capture.",
            suggestion="Send fewer or smaller images.",
            reason="inspect_out_of_memory",
        ).to_json()


def report(path: Path, limits: Any, *, with_rig: bool) -> dict[str, Any]:
    """What ``meshwright inspect --json`` says; a rig that cannot be solved is a finding."""
    from meshwright.cameras.calibrate import calibrate
    from meshwright.capture.capture import Finding
    from meshwright.capture.load import load_capture
    from meshwright.capture.report import inspect_capture

    capture = load_capture(path, limits=limits)
    calibrated = None
    if with_rig:
        try:
            calibrated = calibrate(capture)
        except MeshwrightError as error:
            finding = Finding("rig_not_solved", error.message, error.suggestion, severity="error")
            capture = replace(capture, findings=(*capture.findings, finding))
    found = inspect_capture(capture, calibrated).model_dump(mode="json")
    return {**found, "source": None}  # a path of this machine is nobody's business


if __name__ == "__main__":
    main()
