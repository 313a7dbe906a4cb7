"""`load_capture`: a folder or ZIP in any known layout becomes a checked `Capture`; the bytes go in, nothing is written.

Order of work: file list (limits, names), camera file, which file is which view, then one image after another through
the header gate and the decoder. Everything that is wrong is an `InputError` with code, reason and the file's name;
everything that is only doubtful is a `Finding`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from meshwright.capture.archive import open_archive
from meshwright.capture.capture import Capture, DepthImage, Finding, SourceFile, View
from meshwright.capture.decode import decode_depth, decode_mask, decode_rgb
from meshwright.capture.files import CaptureFiles, FolderFiles
from meshwright.capture.layout import ViewFiles, capture_root, check_view_count, find_views
from meshwright.capture.limits import DEFAULT_LIMITS, Limits
from meshwright.capture.notes import note_finding
from meshwright.capture.posed import PosedFrame, PosedFrames
from meshwright.capture.posed_files import find_cameras, join_images
from meshwright.capture.strict_json import pointer_error
from meshwright.capture.viewcheck import quick_findings, refuse_unusable
from meshwright.errors import FileTooLarge, InputError, InvalidFileFormat
from meshwright.geometry.camera import Camera

_ASPECT_TOLERANCE = 0.02
_MILLIMETRE = 1e-3


def load_capture(path: str | Path, *, limits: Limits = DEFAULT_LIMITS, use_cameras: bool = True) -> Capture:
    """Read a capture from a folder or a ZIP archive.

    Layouts: the reference's (``multi_views/``, ``depth_renders/``), ``rgb|images|views`` with ``depth`` and ``masks``,
    flat names (``front.png``, ``front_depth.png``, ``front_mask.png``); with ``cameras.json`` or ``transforms.json``
    (nerfstudio), a COLMAP model (``sparse/0``) or a BOP scene. ``use_cameras=False`` leaves camera files unread.

    Raises:
        InputError: the path, a camera or a value cannot be used (``details`` holds reason, file and JSON pointer).
        InvalidFileFormat: a file is damaged, of an unsupported kind, or the archive is unsafe.
        FileTooLarge: a limit in bytes or pixels is passed.
        InvalidFileCount: too few, too many or unpaired views.
    """
    source = Path(path)
    files = _open(source, limits)
    root = capture_root(files.sizes)
    names = [name.removeprefix(root) for name in files.sizes if name.startswith(root)]
    reader = _Reader(files, root, limits)
    posed = find_cameras(files, root, limits) if use_cameras else None
    if posed is None:
        layout = find_views(names, limits.max_views)
        views, findings = [reader.view(view) for view in layout.views], list(layout.findings)
    else:
        posed = join_images(posed, names)
        check_view_count(len(posed.frames), limits.max_views)
        views, findings = [reader.posed_view(frame, posed) for frame in posed.frames], list(posed.findings)
    capture = Capture(
        tuple(_named_apart(views)), source, posed.unit if posed else None, posed.format if posed else None
    )
    return replace(capture, findings=(*findings, *reader.findings, *quick_findings(capture)))


def _open(source: Path, limits: Limits) -> CaptureFiles:
    if source.is_dir():
        return FolderFiles(source, limits)
    if not source.exists():
        raise InputError(f"There is no folder or file {source}.", suggestion="Check the path.", reason="not_found")
    if not source.is_file():
        raise InputError(f"{source.name} is no folder and no regular file.", reason="not_a_file")
    with source.open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] != b"PK":
        raise InvalidFileFormat(
            f"{source.name} is neither a folder nor a ZIP archive.",
            suggestion="Give the folder of the capture, or pack it as ZIP.",
            reason="archive_unknown" if magic else "archive_empty",
            file=source.name,
        )
    return open_archive(source, limits)


def _named_apart(views: list[View]) -> list[View]:
    """Views with distinct names (two cameras' folders may hold the same file name)."""
    seen: dict[str, int] = {}
    renamed = []
    for view in views:
        seen[view.name] = seen.get(view.name, 0) + 1
        renamed.append(view if seen[view.name] == 1 else replace(view, name=f"{view.name}_{seen[view.name]}"))
    return renamed


class _Reader:
    """Decodes views one by one and gathers what there is to remark."""

    def __init__(self, files: CaptureFiles, root: str, limits: Limits) -> None:
        self.files, self.root, self.limits = files, root, limits
        self.findings: list[Finding] = []
        self.pixels_left = limits.capture_pixels

    def view(self, entry: ViewFiles) -> View:
        """A view without a camera."""
        sources: list[SourceFile] = []
        rgb = decode_rgb(self._read(entry.rgb, sources), entry.rgb, self.limits)
        self._note(rgb.notes, entry.name, entry.rgb)
        depth, mask = None, rgb.mask
        if entry.depth:
            decoded = decode_depth(self._read(entry.depth, sources), entry.depth, self.limits)
            self._note(decoded.notes, entry.name, entry.depth)
            depth = decoded.image
        if entry.mask:
            mask = decode_mask(self._read(entry.mask, sources), entry.mask, self.limits)
        view = View(entry.name, rgb.rgb, depth, mask, None, tuple(sources))
        self._count_pixels(view)
        refuse_unusable(view)
        return self._with_fitting_mask(view, entry.mask or entry.rgb)

    def posed_view(self, frame: PosedFrame, posed: PosedFrames) -> View:
        """A view with its camera, at the image's size, and its depth's scale where that is declared."""
        view = self.view(ViewFiles(frame.name, frame.rgb_path, frame.depth_path, frame.mask_path))
        camera = _camera_for(frame, view.size, posed.path)
        return replace(view, camera=camera, depth=self._scaled(view, frame, posed))

    def _scaled(self, view: View, frame: PosedFrame, posed: PosedFrames) -> DepthImage | None:
        depth, scale = view.depth, frame.depth_scale
        if depth is None:
            return None
        if scale is None and posed.unit == "metre" and depth.bits == 16:
            scale = _MILLIMETRE
            self.findings.append(note_finding("depth_assumed_mm", view.name, frame.depth_path or ""))
        if scale is None and posed.unit == "metre" and depth.bits == 32:
            scale = 1.0
            self.findings.append(note_finding("depth_assumed_m", view.name, frame.depth_path or ""))
        return replace(depth, unit_scale=scale)

    def _with_fitting_mask(self, view: View, path: str) -> View:
        mask = view.mask
        if mask is None:
            return view
        if not mask.any():
            raise InvalidFileFormat(
                f"View {view.name}: the mask {path} is empty.",
                suggestion="Mark the object white, or leave the mask out.",
                reason="mask_empty",
                view=view.name,
                file=path,
            )
        if mask.shape != view.rgb.shape[:2]:
            if _aspect_gap(mask.shape[::-1], view.size) > _ASPECT_TOLERANCE:
                raise InvalidFileFormat(
                    f"View {view.name}: the mask {path} has another shape than the image.",
                    suggestion="Save the mask at the image's size.",
                    reason="mask_size",
                    view=view.name,
                    file=path,
                )
            from meshwright.capture.masks import resized_mask

            mask = resized_mask(mask, view.size)
        return replace(view, mask=mask)

    def _count_pixels(self, view: View) -> None:
        self.pixels_left -= view.rgb.shape[0] * view.rgb.shape[1] + (view.depth.values.size if view.depth else 0)
        if self.pixels_left < 0:
            raise FileTooLarge(
                f"The capture's images hold more than {self.limits.capture_pixels:,} pixels together.",
                suggestion="Send fewer views, or scale them down.",
                reason="capture_pixels",
                view=view.name,
            )

    def _read(self, path: str, sources: list[SourceFile]) -> bytes:
        data = self.files.read(self.root + path, self.limits.image_bytes)
        sources.append(SourceFile(path, hashlib.sha256(data).hexdigest(), len(data)))
        return data

    def _note(self, notes: tuple[str, ...], view: str, path: str) -> None:
        self.findings += [note_finding(note, view, path) for note in notes]


def _camera_for(frame: PosedFrame, size: tuple[int, int], path: str) -> Camera:
    """The frame's camera at the image's size; sizes that differ by a scale alone are brought together."""
    camera, (width, height) = frame.camera, size
    if frame.fov_x_rad is not None:
        focal = 0.5 * width / float(np.tan(frame.fov_x_rad / 2))
        K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
        return replace(camera, K=K, width=width, height=height)
    if not (camera.width and camera.height):
        return replace(camera, width=width, height=height)
    if _aspect_gap((camera.width, camera.height), size) > _ASPECT_TOLERANCE:
        raise pointer_error(
            path, frame.pointer,
            f"the camera is for {camera.width} x {camera.height} pixels, but {frame.rgb_path} has {width} x {height}",
            "camera_size",
        )  # fmt: skip
    return camera.resized(width, height)


def _aspect_gap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    return abs((a[0] * b[1]) / (a[1] * b[0]) - 1)
