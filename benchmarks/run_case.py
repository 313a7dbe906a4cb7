"""One capture through the public API, in a process of its own: ``python run_case.py CAPTURE OUT ENGINE``.

The parent measures memory; this writes OUT.json with the seconds of each step.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import meshwright


def main(capture_dir: str, out: str, engine: str) -> None:
    marks = [time.monotonic()]
    capture = meshwright.load_capture(Path(capture_dir))
    marks.append(time.monotonic())
    result = meshwright.reconstruct(capture, engine=engine)
    marks.append(time.monotonic())
    result.save(Path(out))
    marks.append(time.monotonic())
    load, reconstruct, save = (after - before for before, after in pairwise(marks))
    seconds = {"load": load, "reconstruct": reconstruct, "save": save, "total": marks[-1] - marks[0]}
    stages = {name: round(value, 3) for name, value in result.stage_seconds.items()}
    Path(out + ".json").write_text(json.dumps({"seconds": seconds, "stages": stages}))


if __name__ == "__main__":
    main(*sys.argv[1:])
