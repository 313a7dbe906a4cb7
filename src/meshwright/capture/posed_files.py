"""Finding a capture's camera file, and joining its frames to the capture's images."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from meshwright.capture.capture import Finding
from meshwright.capture.files import CaptureFiles
from meshwright.capture.layout import RGB_SUFFIXES, files_by_role, match_key
from meshwright.capture.limits import Limits
from meshwright.capture.posed import PosedFrame, PosedFrames
from meshwright.capture.posed_bop import parse_bop
from meshwright.capture.posed_colmap import parse_colmap
from meshwright.capture.posed_nerfstudio import parse_nerfstudio
from meshwright.capture.strict_json import check_json_size, parse_json
from meshwright.errors import InputError

NERFSTUDIO_FILES = ("cameras.json", "transforms.json", "transforms_train.json")
COLMAP_FOLDERS = ("sparse/0/", "sparse/", "colmap/sparse/0/", "")
BOP_FILE = "scene_camera.json"
_BOP_NUMBER = re.compile(r"(\d+)(?:_\d+)?\.\w+$")


def find_cameras(files: CaptureFiles, root: str, limits: Limits) -> PosedFrames | None:
    """The capture's camera file, read and checked: nerfstudio first, then COLMAP, then BOP; None where there is none.

    Frame paths come back relative to the capture's root.
    """
    names = [path for path in files.sizes if path.startswith(root)]
    for name in NERFSTUDIO_FILES:
        if root + name in names:
            return parse_nerfstudio(_read_json(files, root, name, limits), name)
    for folder in COLMAP_FOLDERS:
        for suffix in ("bin", "txt"):
            pair = [f"{root}{folder}{part}.{suffix}" for part in ("cameras", "images")]
            if all(path in names for path in pair):
                cameras, images = (files.read(path, limits.image_bytes) for path in pair)
                return parse_colmap(cameras, images, suffix == "bin", folder)
    if root + BOP_FILE in names:
        return _read_bop(files, root, limits)
    return None


def _read_json(files: CaptureFiles, root: str, name: str, limits: Limits) -> dict[str, Any]:
    check_json_size(files.sizes[root + name], name, limits)
    return parse_json(files.read(root + name, limits.cameras_bytes), name, limits)


def _read_bop(files: CaptureFiles, root: str, limits: Limits) -> PosedFrames:
    cameras = _read_json(files, root, BOP_FILE, limits)
    truth = None
    if root + "scene_gt.json" in files.sizes:
        truth = _read_json(files, root, "scene_gt.json", limits)
    paths: dict[int, dict[str, str]] = {}
    for path in sorted(files.sizes):
        folder, _, name = path.removeprefix(root).rpartition("/")
        role = {"rgb": "rgb", "depth": "depth", "mask_visib": "mask", "mask": "mask"}.get(folder)
        match = _BOP_NUMBER.match(name)
        if role and match:
            paths.setdefault(int(match[1]), {}).setdefault(role, path.removeprefix(root))
    return parse_bop(cameras, truth, BOP_FILE, paths)


def join_images(posed: PosedFrames, paths: Iterable[str]) -> PosedFrames:
    """Frames whose image exists, with the paths that exist; missing files and images without a camera are findings.

    A frame's image is the file it names (with or without suffix), else the image that shares its name. Depth and mask
    files that the frames do not name are found by their names too.

    Raises `InputError` (``cameras_match_no_image``) where no frame has an image, or a named depth file is missing.
    """
    present = set(paths)
    roles = files_by_role(present)
    by_key = {role: {match_key(p): p for p in found} for role, found in roles.items()}
    joined: list[PosedFrame] = []
    absent: list[str] = []
    for frame in posed.frames:
        rgb = _image_of(frame, present, by_key["rgb"])
        if rgb is None:
            absent.append(frame.name)
            continue
        depth = _named_or_matched(frame, rgb, frame.depth_path, present, by_key["depth"], posed.path)
        mask = _named_or_matched(frame, rgb, frame.mask_path, present, by_key["mask"], posed.path)
        joined.append(replace(frame, rgb_path=rgb, depth_path=depth, mask_path=mask))
    if not joined:
        raise InputError(
            f"No frame of {posed.path} names an image that is here (the first asks for {posed.frames[0].rgb_path!r}).",
            suggestion="Make file_path relative to the camera file, or send the images it names.",
            reason="cameras_match_no_image",
            file=posed.path,
        )
    findings = [*posed.findings, *_leftovers(posed.path, absent, joined, roles["rgb"])]
    return replace(posed, frames=tuple(joined), findings=tuple(findings))


def _image_of(frame: PosedFrame, present: set[str], by_key: Mapping[str, str]) -> str | None:
    path = _normal(frame.rgb_path)
    candidates = [path, *(path + suffix for suffix in RGB_SUFFIXES), *(f"{f}/{path}" for f in ("images", "rgb"))]
    found = next((c for c in candidates if c in present), None)
    return found or by_key.get(match_key(frame.rgb_path or frame.name))


def _named_or_matched(
    frame: PosedFrame, rgb: str, named: str | None, present: set[str], by_key: Mapping[str, str], path: str
) -> str | None:
    if named is None:
        return by_key.get(match_key(rgb))
    normal = _normal(named)
    if normal not in present:
        raise InputError(
            f"View {frame.name}: {path} names {named!r}, which is not in the capture.",
            suggestion="Send that file too, or remove its name from the frame.",
            reason="file_missing",
            file=path,
            pointer=frame.pointer,
        )
    return normal


def _normal(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/")).removeprefix("./") if path else ""


def _leftovers(path: str, absent: list[str], joined: list[PosedFrame], rgb: list[str]) -> list[Finding]:
    findings = []
    if absent:
        listed = ", ".join(absent[:8]) + (" ..." if len(absent) > 8 else "")
        findings.append(
            Finding("frames_without_image", f"{len(absent)} frames of {path} have no image here: {listed}.",
                    "Send their images, or remove the frames.")
        )  # fmt: skip
    used = {frame.rgb_path for frame in joined}
    for image in rgb:
        if image not in used:
            findings.append(
                Finding("image_without_camera", f"{image} has no camera in {path} and is left out.",
                        "Add a frame for it, or remove the image.", view=match_key(image))
            )  # fmt: skip
    return findings
