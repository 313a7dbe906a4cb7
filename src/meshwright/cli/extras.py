"""Verbs that need an extra say so in a sentence, where it is not installed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from meshwright.errors import InputError

if TYPE_CHECKING:
    from meshwright.service.settings import Settings

# Extras by the libraries that only they bring.
LIBRARIES = {
    "client": ("httpx",),
    "service": ("fastapi", "uvicorn", "sqlalchemy", "alembic", "pydantic_settings", "structlog", "obstore"),
}


@contextmanager
def extra(name: str) -> Generator[None]:
    """Imports of an extra; one that is missing becomes an `InputError` that tells how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES[name]:
            raise
        raise InputError(
            f"This needs the extra `{name}`, which is not installed.",
            suggestion=f'pip install "meshwright[{name}]"',
            reason="extra_missing",
        ) from error


def load_settings(**given: Any) -> Settings:
    """The service's settings from the environment and ``.env``; what is given and not None comes before them.

    Raises:
        InputError: reason ``bad_setting``, which names the variable.
    """
    with extra("service"):
        from pydantic import ValidationError

        from meshwright.service.settings import Settings
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "MESHWRIGHT_" + "_".join(str(part) for part in first["loc"]).upper()
        raise InputError(
            f"{name} cannot be used: {first['msg']}.",
            suggestion="See docs/operations.md for the settings.",
            reason="bad_setting",
        ) from error
