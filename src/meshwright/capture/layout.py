"""Which files of a capture belong to which view: folders by their names, files by what their names share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from meshwright.capture.capture import Finding
from meshwright.capture.posed import view_name
from meshwright.errors import InvalidFileCount

PLAIN_NAMES = ("front", "back", "left", "right", "top", "bottom")
RGB_FOLDERS = ("multi_views", "rgb", "images", "views")
DEPTH_FOLDERS = ("depth_renders", "depth", "depths")
MASK_FOLDERS = ("masks", "mask")
RGB_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".exr", ".npy", ".jpg", ".jpeg", ".webp")

Role = Literal["rgb", "depth", "mask"]
# Words of file names that say the role and not the view.
_ROLE_WORDS: dict[str, Role] = {"depth": "depth", "depths": "depth", "mask": "mask", "masks": "mask"}
_FILLERS = {"rgb", "view", "views", "image", "img", "color", "colour", "render", "renders"} | set(_ROLE_WORDS)
_WORDS = re.compile(r"[A-Za-z]+|[0-9]+")


@dataclass(frozen=True)
class ViewFiles:
    """The paths of one view."""

    name: str
    rgb: str
    depth: str | None = None
    mask: str | None = None


@dataclass(frozen=True)
class Layout:
    """The views of a capture without cameras, in order, and remarks."""

    views: tuple[ViewFiles, ...]
    findings: tuple[Finding, ...] = ()


def capture_root(paths: Iterable[str]) -> str:
    """The folder inside that holds the capture: "" or, where all lies in one folder, that folder."""
    paths = list(paths)
    tops = {path.split("/", 1)[0] for path in paths if "/" in path}
    known = {*RGB_FOLDERS, *DEPTH_FOLDERS, *MASK_FOLDERS, "sparse"}
    if len(tops) == 1 and not tops & known and not any("/" not in path and _is_image(path) for path in paths):
        return tops.pop() + "/"
    return ""


def find_views(paths: Iterable[str], max_views: int) -> Layout:
    """Pair RGB, depth and mask files into views, by name and, where names share nothing, by order.

    Six views without plain names are front, back, left, right, top, bottom in their natural order.

    Raises `InvalidFileCount`: no image, too many views, or depth or mask files that do not match the views one to one.
    """
    files = files_by_role(paths)
    rgb = files["rgb"]
    if not rgb:
        raise InvalidFileCount(
            "The capture holds no images.",
            suggestion="Put the views into multi_views/, rgb/, images/ or views/, or name them front.png, back.png ...",
            reason="no_views",
        )
    check_view_count(len(rgb), max_views)
    keys = _distinct_keys(rgb)
    findings: list[Finding] = []
    depth = _matched(keys, rgb, files["depth"], "depth", findings)
    mask = _matched(keys, rgb, files["mask"], "mask", findings)
    names = _view_names(keys, rgb, findings)
    views = [ViewFiles(names[i], rgb[i], depth.get(i), mask.get(i)) for i in range(len(rgb))]
    return Layout(tuple(sorted(views, key=lambda v: _place(v.name))), tuple(findings))


def check_view_count(count: int, max_views: int) -> None:
    """`InvalidFileCount` where there are more views than allowed."""
    if count > max_views:
        raise InvalidFileCount(
            f"The capture holds {count} views; the limit is {max_views}.",
            suggestion="Keep the sharpest views from all sides.",
            reason="too_many_views",
            limit=max_views,
        )


def files_by_role(paths: Iterable[str]) -> dict[Role, list[str]]:
    """The capture's images by role, in natural order: from the known folders, else from names at the top."""
    paths = sorted(paths, key=natural_key)
    rgb = _in_folder(paths, RGB_FOLDERS, RGB_SUFFIXES)
    depth, mask = (
        _in_folder(paths, DEPTH_FOLDERS, DEPTH_SUFFIXES), _in_folder(paths, MASK_FOLDERS, (*RGB_SUFFIXES, ".npy"))
    )  # fmt: skip
    flat: dict[Role, list[str]] = {"rgb": [], "depth": [], "mask": []}
    for path in paths:
        if "/" not in path and path.lower().endswith((*RGB_SUFFIXES, *DEPTH_SUFFIXES)):
            flat[_role(path)].append(path)
    flat["rgb"] = [path for path in flat["rgb"] if path.lower().endswith(RGB_SUFFIXES)]
    return {"rgb": rgb or flat["rgb"], "depth": depth or flat["depth"], "mask": mask or flat["mask"]}


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key by which view_2 comes before view_10."""
    return tuple(
        (0, int(w), "") if w[0] in "0123456789" else (1, 0, w.lower()) for w in re.findall(r"[0-9]+|[^0-9]+", text)
    )


def match_key(path: str) -> str:
    """What a view's files share: the words of the name without those that say the role."""
    words = _WORDS.findall(view_name(path))
    kept = [str(int(w)) if w.isdigit() else w.lower() for w in words if w.lower() not in _FILLERS]
    return "_".join(kept) or view_name(path).lower()


def _in_folder(paths: list[str], folders: tuple[str, ...], suffixes: tuple[str, ...]) -> list[str]:
    for folder in folders:
        found = [
            p
            for p in paths
            if p.lower().startswith(folder + "/") and p.count("/") == 1 and p.lower().endswith(suffixes)
        ]
        if found:
            return found
    return []


def _role(path: str) -> Role:
    words = [w.lower() for w in _WORDS.findall(view_name(path))]
    roles: list[Role] = [_ROLE_WORDS[w] for w in words if w in _ROLE_WORDS]
    return roles[0] if roles else "rgb"


def _is_image(path: str) -> bool:
    return path.lower().endswith((*RGB_SUFFIXES, *DEPTH_SUFFIXES))


def _distinct_keys(rgb: list[str]) -> list[str]:
    keys = [match_key(path) for path in rgb]
    for key in keys:
        if keys.count(key) > 1:
            twins = [path for path, other in zip(rgb, keys, strict=True) if other == key]
            raise InvalidFileCount(
                f"{' and '.join(twins[:2])} name the same view.",
                suggestion="Keep one image per view.",
                reason="duplicate_view",
                files=twins[:8],
            )
    return keys


def _matched(keys: list[str], rgb: list[str], files: list[str], role: Role, findings: list[Finding]) -> dict[int, str]:
    """Index of view -> file, by name; by order where no name matches and the counts agree."""
    if not files:
        return {}
    by_key = {match_key(path): path for path in files}
    found = {i: by_key[key] for i, key in enumerate(keys) if key in by_key}
    if not found and len(files) == len(rgb):
        findings.append(
            Finding("paired_by_order", f"The {role} files share no names with the views and were paired in order.",
                    f"Give each {role} file its view's name.")
        )  # fmt: skip
        return dict(enumerate(files))
    missing = [rgb[i] for i in range(len(rgb)) if i not in found]
    extra = sorted(set(files) - set(found.values()), key=natural_key)
    if extra or (missing and role == "depth"):
        what = f"{missing[0]} has no {role} file" if missing else f"{extra[0]} belongs to no view"
        raise InvalidFileCount(
            f"There are {len(rgb)} views and {len(files)} {role} files, and {what}.",
            suggestion=f"Give one {role} file per view, with the view's name, or none at all.",
            reason=f"{role}_count",
            missing=missing[:8],
            extra=extra[:8],
        )
    return found


def _view_names(keys: list[str], rgb: list[str], findings: list[Finding]) -> list[str]:
    if len(keys) == 6 and not set(keys) & set(PLAIN_NAMES):
        findings.append(
            Finding("named_by_order",
                    "The six views have no plain names; they were taken as front, back, left, right, top, bottom.",
                    "Name the files front, back, left, right, top and bottom.", severity="info")
        )  # fmt: skip
        return list(PLAIN_NAMES)
    return [key if key in PLAIN_NAMES else view_name(path) for key, path in zip(keys, rgb, strict=True)]


def _place(name: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    return (PLAIN_NAMES.index(name) if name in PLAIN_NAMES else len(PLAIN_NAMES), natural_key(name))
