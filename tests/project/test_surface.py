"""What `import meshwright` offers, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import meshwright

PUBLIC = {
    "Assessment", "CalibratedCapture", "CalibrationOptions", "Cancelled", "Capture", "Context", "ConvergenceFailed",
    "DiskFull", "EngineError", "EngineUnavailable", "FileTooLarge", "IncompleteResults", "InputError",
    "InvalidFileCount", "InvalidFileFormat", "MeshwrightError", "OutOfMemory", "ProgressEvent", "Result",
    "__version__", "assess", "calibrate", "load_capture", "reconstruct", "verify",
}  # fmt: skip
HEAVY = {"numba", "scipy", "skimage", "trimesh", "PIL", "pydantic", "xatlas", "embreex", "numpy"}


def test_the_public_surface_is_this_and_nothing_else() -> None:
    assert set(meshwright.__all__) == PUBLIC
    assert set(dir(meshwright)) == PUBLIC


def test_every_public_name_can_be_had() -> None:
    for name in PUBLIC:
        assert getattr(meshwright, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(meshwright, "reconstrukt")


def test_the_version_is_that_of_the_installed_package() -> None:
    assert meshwright.__version__ == metadata.version("meshwright")


def test_importing_is_cheap() -> None:
    """No heavy library is imported: that is what keeps the import under 0.3 s on any machine."""
    script = "import sys, json, meshwright; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in modules)


def test_listing_engines_needs_no_heavy_library() -> None:
    """`meshwright --help` and `engines` answer at once."""
    script = (
        "import sys, json; from meshwright.cli.main import run; run(['engines', '--json']);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    assert {"numba", "scipy", "skimage", "trimesh", "xatlas"}.isdisjoint(name.partition(".")[0] for name in modules)


def test_the_package_is_typed() -> None:
    assert (Path(meshwright.__file__).parent / "py.typed").exists()
