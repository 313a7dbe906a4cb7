"""The environment of an engine's process: what its libraries need, and none of the service's secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from meshwright.service.failpoints import VARIABLE

NAMES = frozenset(
    ["PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "XDG_CACHE_HOME", "HF_HOME"]
) | {VARIABLE}
PREFIXES = ("LC_", "PYTHON", "NUMBA_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "NVIDIA_", "TORCH_", "PYTORCH_", "TRITON_")


def child_environment(scratch: Path, device: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """An allow-list of ``given`` (this process's own environment), with temporary files in ``scratch``.

    A job of the class ``cpu`` sees no GPU: those are counted out to jobs of the class ``cuda``.
    """
    source = os.environ if given is None else given
    kept = {name: value for name, value in source.items() if name in NAMES or name.startswith(PREFIXES)}
    kept |= {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    return kept if device == "cuda" else kept | {"CUDA_VISIBLE_DEVICES": ""}
