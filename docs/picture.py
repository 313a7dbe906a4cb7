"""Makes README's picture from our own sample: what went in above, what came out below.

make demo && .venv/bin/python docs/picture.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
VIEWS = ("front", "back", "left", "right", "top", "bottom")
TILE = 220


def main(capture: Path, result: Path) -> None:
    """Three rows of six: the photos, the textured mesh and its triangles."""
    previews = result / "fusion" / "previews"
    rows = [[capture / "multi_views" / f"{view}.png" for view in VIEWS]]
    rows += [[previews / f"{kind}_{i:02d}.png" for i in range(6)] for kind in ("textured", "wireframe")]
    sheet = Image.new("RGB", (TILE * 6, TILE * 3), "white")
    for y, row in enumerate(rows):
        for x, path in enumerate(row):
            with Image.open(path) as picture:
                sheet.paste(picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS), (x * TILE, y * TILE))
    sheet.quantize(128, dither=Image.Dither.NONE).save(ROOT / "docs" / "images" / "result.png", optimize=True)


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    main(*(given or [ROOT / "examples" / "capture", ROOT / "out" / "demo"]))
