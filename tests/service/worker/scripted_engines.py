"""An engine's process in which the engines' folder of these tests comes before the product's: the pipeline is real."""

from __future__ import annotations

import sys
from pathlib import Path

import meshwright.engines
from meshwright.service.worker import child

HERE = Path(__file__).resolve()
COMMAND = (sys.executable, str(HERE))

if __name__ == "__main__":
    meshwright.engines.__path__.insert(0, str(HERE.parent / "engines"))
    child.main()
