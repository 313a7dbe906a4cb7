"""The gate: everything that can be known about a capture without decoding a pixel is checked before it is accepted."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path

from meshwright.capture.archive import ZipFiles
from meshwright.capture.files import CaptureFiles, FolderFiles
from meshwright.capture.gate import read_header
from meshwright.capture.layout import capture_root, check_view_count, find_views
from meshwright.capture.limits import Limits
from meshwright.capture.posed_files import find_cameras, join_images
from meshwright.errors import FileTooLarge, InvalidFileFormat
from meshwright.service.settings import Settings


def capture_limits(settings: Settings) -> Limits:
    """The settings as the limits of `load_capture`."""
    return Limits(
        max_views=settings.view_limit,
        image_bytes=settings.image_bytes,
        image_side=settings.image_side,
        capture_bytes=settings.capture_bytes,
        zip_entries=settings.archive_entries,
        zip_ratio=settings.archive_ratio,
        cameras_bytes=settings.cameras_bytes,
    )


def check_folder(folder: Path, limits: Limits) -> None:
    """Check a capture in a folder; raises as `load_capture` does for what it finds."""
    _check(FolderFiles(folder, limits), limits)


def check_archive(path: Path, limits: Limits) -> None:
    """Check a capture in a ZIP; its entries are unpacked one at a time, and counted while they are."""
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            raise InvalidFileFormat(
                "The archive is no ZIP file.",
                suggestion="Pack the capture as ZIP.",
                reason="archive_unknown",
            )
    files = ZipFiles(path, limits, mapped=True)
    try:
        _check(files, limits)
    finally:
        if isinstance(files.data, mmap.mmap):
            files.data.close()


def _check(files: CaptureFiles, limits: Limits) -> None:
    root = capture_root(files.sizes)
    names = [name.removeprefix(root) for name in files.sizes if name.startswith(root)]
    posed = find_cameras(files, root, limits)
    if posed is None:
        views = find_views(names, limits.max_views).views
        paths = [path for view in views for path in (view.rgb, view.depth, view.mask) if path]
    else:
        frames = join_images(posed, names).frames
        check_view_count(len(frames), limits.max_views)
        paths = [path for f in frames for path in (f.rgb_path, f.depth_path, f.mask_path) if path]
    _check_images(files, root, dict.fromkeys(paths), limits)


def _check_images(files: CaptureFiles, root: str, paths: Iterable[str], limits: Limits) -> None:
    pixels = 0
    for path in paths:
        header = read_header(files.read(root + path, limits.image_bytes), path, limits)
        pixels += header.width * header.height
        data = getattr(files, "data", None)
        if isinstance(data, mmap.mmap):
            data.madvise(mmap.MADV_DONTNEED)  # or a large archive would count as memory of this process
        if pixels > limits.capture_pixels:
            raise FileTooLarge(
                f"The capture's images hold more than {limits.capture_pixels:,} pixels together.",
                suggestion="Send fewer views, or scale them down.",
                reason="capture_pixels",
                limit=limits.capture_pixels,
            )
