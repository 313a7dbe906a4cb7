"""Laws of the warm-up: no kernel is compiled for two sets of types, and nothing is left to compile."""

from __future__ import annotations

import subprocess
import sys

import pytest

WARM = """
import sys
from numba.core.dispatcher import Dispatcher
from meshwright.warm import warm

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("meshwright.")]
    found = {f"{v.__module__}.{v.__name__}": v for m in modules for v in vars(m).values() if isinstance(v, Dispatcher)}
    return {name: [str(s) for s in kernel.signatures] for name, kernel in found.items()}

warm()
before = compiled()
assert len(before) > 20, sorted(before)
"""
ONCE = """
assert sum(len(found) == 1 for found in before.values()) >= 10, before
twice = {name: found for name, found in before.items() if len(found) > 1}
assert not set(twice) - {"meshwright.rendering.visibility._first_pixel"}, twice  # called with the literal 0 too
"""
JOB = """
import pathlib, tempfile
from meshwright import reconstruct
from meshwright.sample.capture import write_sample
from meshwright.sample.scene import SampleOptions

with tempfile.TemporaryDirectory() as folder:
    options = SampleOptions(object="bottle", rgb_size=120, depth_size=104, texture_size=256, cells=40, novel=0)
    write_sample(pathlib.Path(folder) / "in", options, truth=False)
    result = reconstruct(pathlib.Path(folder) / "in", "fusion", {"resolution": 32}, faces=300, texture_size=256)
    result.save(pathlib.Path(folder) / "out")
late = {name: found for name, found in compiled().items() if found != before.get(name)}
assert not late, late
"""


def _run(script: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_kernels_are_compiled_for_one_set_of_types_each() -> None:
    _run(WARM + ONCE)


@pytest.mark.slow
def test_after_the_warm_up_a_job_with_unknown_cameras_compiles_nothing() -> None:
    _run(WARM + JOB)
