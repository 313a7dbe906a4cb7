"""Which uploaded file is which view: plain view names decide where they are given, else the order of the upload.

The reference's clients send six files of any names, in the order front, back, left, right, top, bottom. With cameras
the files keep their names, since the camera file speaks of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from meshwright.capture.files import twin_key
from meshwright.capture.layout import PLAIN_NAMES, match_key
from meshwright.capture.posed import view_name
from meshwright.errors import InvalidFileCount

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def name_views(names: Sequence[str], *, has_cameras: bool) -> list[str]:
    """A distinct, safe name for each view, in the order of the upload."""
    keys = [match_key(name) for name in names]
    if not has_cameras and len(set(keys)) == len(keys) and set(keys) <= set(PLAIN_NAMES):
        return keys
    is_by_order = len(names) == len(PLAIN_NAMES) and not set(keys) & set(PLAIN_NAMES)
    if is_by_order and not has_cameras:
        return list(PLAIN_NAMES)
    own = [view_name(name) for name in names]
    if all(map(_SAFE.fullmatch, own)) and _are_distinct(keys) and _are_distinct(own):
        return own
    return [f"view_{index:02d}" for index in range(len(names))]


def pair(views: Sequence[str], view_files: Sequence[str], files: Sequence[str], role: str) -> list[str]:
    """The view that each file of another role belongs to: by name where all names say so, else by order.

    Raises:
        InvalidFileCount: reason ``depth_count`` or ``masks_count``.
    """
    by_key = _by_key(views, view_files)
    keys = [match_key(name) for name in files]
    is_enough = role == "masks" or len(keys) == len(views)  # a view may lack a mask; one alone may not lack its depth
    if is_enough and all(key in by_key for key in keys) and _are_distinct(keys):
        return [by_key[key] for key in keys]
    if len(files) != len(views):
        raise InvalidFileCount(
            f"There are {len(views)} views and {len(files)} {role} files.",
            suggestion=f"Send one {role} file for each view, in the same order, or none at all.",
            reason=f"{role}_count",
            views=len(views),
            files=len(files),
        )
    return list(views)


def _by_key(views: Sequence[str], view_files: Sequence[str]) -> Mapping[str, str]:
    keys = [match_key(name) for name in view_files]
    if not _are_distinct(keys):
        return {}
    return dict(zip(keys, views, strict=True))


def _are_distinct(names: Sequence[str]) -> bool:
    return len({twin_key(name) for name in names}) == len(names)
