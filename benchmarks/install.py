"""Install into a fresh virtual environment, then run the main job there: sizes, seconds, and nothing assumed.

    python benchmarks/install.py [--python python3.12] [--capture examples/...]

Run it under ../shared/tools/newcomer (or on a bare machine) to have no compiler and no libGL, libusb or libgomp.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*words: str | Path, **options: object) -> tuple[float, str]:
    """Seconds and stdout of a command that must succeed."""
    began = time.monotonic()
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True, **options)  # type: ignore[call-overload]
    return time.monotonic() - began, done.stdout


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def largest(site: Path, count: int = 6) -> str:
    sizes = {child.name: size_mb(child) for child in site.iterdir() if child.is_dir()}
    return ", ".join(f"{name} {mb:.0f}" for name, mb in sorted(sizes.items(), key=lambda item: -item[1])[:count])


def import_seconds(python: Path) -> float:
    """Best of five, a whole process less an empty one."""
    empty = min(run(python, "-c", "pass")[0] for _ in range(5))
    return min(run(python, "-c", "import meshwright")[0] for _ in range(5)) - empty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--capture", default=str(ROOT / "examples" / "capture"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        run(options.python, "-m", "venv", venv)
        python, site = venv / "bin" / "python", next((venv / "lib").glob("python3*/site-packages"))
        before = size_mb(site)
        seconds, _ = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT)
        print(f"python                 {run(python, '--version')[1].strip()}")
        print(f"pip install .          {seconds:.0f} s")
        print(f"installed              {size_mb(site) - before:.0f} MB ({largest(site)})")
        print(f"import meshwright      {import_seconds(python):.3f} s")
        for label in ("cold", "warm"):
            out = Path(folder) / f"out-{label}"
            job = [venv / "bin" / "meshwright", "reconstruct", options.capture, "-o", out, "--json"]
            seconds, text = run(*job, cwd=folder)
            last = json.loads(text.splitlines()[-1])
            print(f"main job, numba {label}   {seconds:.1f} s, verdict {last['verdict']}")
        print(f"import meshwright.verify and re-check: {run(venv / 'bin' / 'meshwright', 'verify', out)[0]:.1f} s")


if __name__ == "__main__":
    main()
