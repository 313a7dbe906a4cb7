"""T-03 and T-09: limits on a capture as a whole, counted while it is read, whatever its files say of themselves."""

from __future__ import annotations

import time
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from capture.bad_captures import patched
from capture.making import NAMES, encoded, good_files, rgb_pixels, write_folder, zip_bytes
from meshwright.capture.limits import DEFAULT_LIMITS
from meshwright.capture.load import load_capture
from meshwright.errors import InputError
from meshwright.service.uploads.gate import check_archive, check_folder


def refused(path: Path, **limits: int) -> str | None:
    with pytest.raises(InputError) as caught:
        load_capture(path, limits=replace(DEFAULT_LIMITS, **limits))
    return caught.value.reason


def written(folder: Path, data: bytes) -> Path:
    path = folder / "capture.zip"
    path.write_bytes(data)
    return path


def test_pixels_are_limited_over_all_images(tmp_path: Path) -> None:
    """Each of them is small; together they are too many, before the first is decoded."""
    folder = write_folder(tmp_path / "capture", good_files())
    limits = replace(DEFAULT_LIMITS, capture_pixels=20_000)
    for check, path in ((check_folder, folder), (check_archive, written(tmp_path, zip_bytes(good_files())))):
        with pytest.raises(InputError) as caught:
            check(path, limits)
        assert caught.value.reason == "capture_pixels"
        assert refused(path, capture_pixels=20_000) == "capture_pixels"


def test_bytes_are_limited_over_all_entries_as_they_unpack(tmp_path: Path) -> None:
    files = {f"multi_views/{name}.tif": encoded(rgb_pixels(i), "TIFF") for i, name in enumerate(NAMES)}
    total = sum(len(data) for data in files.values())
    path = written(tmp_path, zip_bytes(files))
    assert path.stat().st_size < total / 2
    assert len(load_capture(path, limits=replace(DEFAULT_LIMITS, capture_bytes=total)).views) == 6
    assert refused(path, capture_bytes=total - 1) == "capture_too_large"


def test_sixty_five_thousand_entries_are_refused_in_time(tmp_path: Path) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(65_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.txt"), b"")
    path, began = written(tmp_path, out.getvalue()), time.process_time()
    assert refused(path) == "archive_entries"
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("record", "offset", "value"),
    [
        (b"PK\x01\x02", 20, b"\xff" * 4),
        (b"PK\x01\x02", 24, b"\xff" * 4),
        (b"PK\x01\x02", 42, b"\xff" * 4),
        (b"PK\x05\x06", 8, b"\xff" * 4),
        (b"PK\x05\x06", 12, b"\xff" * 4),
        (b"PK\x05\x06", 16, b"\xff" * 4),
    ],
)
def test_sizes_that_point_to_the_form_for_huge_archives_are_refused(
    tmp_path: Path, record: bytes, offset: int, value: bytes
) -> None:
    assert refused(written(tmp_path, patched(zip_bytes(good_files()), record, offset, value))) == "archive_zip64"
