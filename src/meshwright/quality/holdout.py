"""Which views are kept back from the engines, so that a result is also measured where nobody could tune it."""

from __future__ import annotations

from collections.abc import Sequence

from meshwright.errors import InputError

MIN_VIEWS = 8  # with fewer, a view kept back costs more surface than its measurement is worth


def choose_holdout(names: Sequence[str], holdout: int | Sequence[str]) -> tuple[str, ...]:
    """The views to keep back: those named, or ``holdout`` of them spread evenly over the order of views.

    Raises:
        InputError: a view is not there, there are fewer than 8 views, or fewer than half of them would be left.
    """
    held = _spread(names, holdout) if isinstance(holdout, int) else tuple(dict.fromkeys(holdout))
    unknown = [name for name in held if name not in names]
    if unknown:
        raise InputError(
            f"There is no view named {unknown[0]!r} to hold out.",
            suggestion=f"The capture has {', '.join(names)}.",
            reason="holdout_unknown",
        )
    if held and (len(names) < MIN_VIEWS or 2 * len(held) > len(names)):
        raise InputError(
            f"{len(held)} of {len(names)} views cannot be held out.",
            suggestion=f"Hold out at most half of the views of a capture of at least {MIN_VIEWS}.",
            reason="holdout_too_many",
        )
    return held


def _spread(names: Sequence[str], count: int) -> tuple[str, ...]:
    if count < 0:
        raise InputError(
            "A negative number of views cannot be held out.",
            suggestion="Give 0 or more.",
            reason="holdout_negative",
        )
    count = min(count, len(names))
    return tuple(names[int((i + 0.5) * len(names) / count)] for i in range(count))
