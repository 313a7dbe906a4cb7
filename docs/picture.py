"""Makes README's picture from the shipped sample's result: photos, mesh, triangles, and where mesh and photos differ.

`make examples` runs it after the reconstruction.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from meshwright.quality.heatmap import FOOTER, GAP, HEADER

ROOT = Path(__file__).resolve().parents[1]
VIEWS = ("front", "back", "left", "right", "top", "bottom")
TILE = 220


def main(capture: Path, result: Path) -> None:
    """Four rows of six: the photos, the textured mesh, its triangles, and the error of each photo's view."""
    engine = result / "fusion"
    rows = [[opened(capture / "multi_views" / f"{view}.png") for view in VIEWS]]
    for kind in ("textured", "wireframe"):
        rows.append([opened(engine / "previews" / f"{kind}_{i:02d}.png") for i in range(len(VIEWS))])
    rows.append([error_panel(opened(engine / "errors" / f"{view}.png")) for view in VIEWS])
    sheet = Image.new("RGB", (TILE * len(VIEWS), TILE * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture.resize((TILE, TILE), Image.Resampling.LANCZOS), (x * TILE, y * TILE))
    sheet.save(ROOT / "docs" / "images" / "result.jpg", quality=86, subsampling=0, optimize=True)


def opened(path: Path) -> Image.Image:
    """A picture in RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def error_panel(picture: Image.Image) -> Image.Image:
    """The last of an error picture's three panels (input, render, error)."""
    width = (picture.width - 4 * GAP) // 3
    left = 3 * GAP + 2 * width
    return picture.crop((left, HEADER, left + width, picture.height - FOOTER))


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    main(*(given or [ROOT / "examples" / "capture", ROOT / "examples" / "result"]))
