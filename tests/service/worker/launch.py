"""`meshwright worker` with another engine's process, for tests; settings come from the environment as the product's do.

launch.py [--seats N] [--grace SECONDS] SCRIPT [ARGUMENT ...]
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from meshwright.service.settings import Settings
from meshwright.service.worker.start import start_worker

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seats", type=int, default=1)
    parser.add_argument("--grace", type=float, default=5.0)
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    command = (sys.executable, str(HERE / asked.script), *asked.arguments)
    start_worker(Settings(), stop, devices=("cpu", "cuda"), seats=asked.seats, grace_s=asked.grace, command=command)


if __name__ == "__main__":
    main()
