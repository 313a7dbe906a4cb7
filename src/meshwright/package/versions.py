"""Which versions made a result: ours, Python's and those of the libraries that numbers depend on."""

from __future__ import annotations

import platform
from importlib import metadata

LIBRARIES = ("numpy", "scipy", "numba", "pillow", "scikit-image", "trimesh", "xatlas", "fast-simplification", "embreex")


def own_version() -> str:
    """Meshwright's version; "0" when it runs from sources that were never installed."""
    return _version("meshwright") or "0"


def collect_versions(more: tuple[str, ...] = ()) -> dict[str, str]:
    """Versions by name: meshwright, python, platform, the libraries that are installed and those in ``more``."""
    found = {"meshwright": own_version(), "python": platform.python_version(), "platform": platform.platform()}
    libraries = {name: _version(name) for name in (*LIBRARIES, *more)}
    return found | {name: version for name, version in libraries.items() if version is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
