"""Torch stays where it is asked for: previews and visibility work, and are imported, without it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MODULES = ("previews", "visibility", "raster", "render")


@pytest.mark.parametrize("module", MODULES)
def test_the_preview_path_does_not_import_torch(module: str) -> None:
    script = f"import sys, json; import meshwright.rendering.{module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert "torch" not in json.loads(done.stdout)
