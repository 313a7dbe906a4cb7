"""The fields of a submission: which names mean files of which role, which mean values, and what values may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from meshwright.capture.limits import DEFAULT_LIMITS
from meshwright.capture.strict_json import parse_json
from meshwright.engines.registry import BOTH, engine_names, find_engine, parse_options
from meshwright.errors import EngineUnavailable, InputError
from meshwright.service.worker.run_job import refuse_machine_options

Role = Literal["views", "depth", "masks", "cameras", "archive"]

# The reference's API names, then the names of its README and ours.
FILE_FIELDS: dict[str, Role] = {
    "views": "views",
    "multi_views": "views",
    "depth_renders": "depth",
    "depth": "depth",
    "masks": "masks",
    "cameras": "cameras",
    "archive": "archive",
}
TEXT_FIELDS: dict[str, str] = {
    "model_type": "engine",
    "model": "engine",
    "options": "options",
    "name": "name",
    "webhook_url": "webhook_url",
    "cache": "cache",
    "deadline_s": "deadline_s",
    "retention_s": "retention_s",
    "device": "device",
}
NAME_LENGTH = 200
YEAR_S = 366 * 86_400.0


def _checked_engine(text: str) -> str:
    """A name, several with commas, ``both`` or ``auto``; each is known, whether or not it is installed here."""
    text = text.strip().lower()
    if text in ("auto", "both"):
        return text
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names or any(name not in engine_names() for name in names):
        raise ValueError(f"must be one of {', '.join((*engine_names(), 'both', 'auto'))}, or several with commas")
    return ",".join(names)


def _checked_name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    return text.strip()


class Submission(BaseModel):
    """The values of a submission, with their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    engine: Annotated[str, AfterValidator(_checked_engine)] = "auto"
    options: dict[str, Any] = Field(default_factory=dict)
    name: Annotated[str, Field(max_length=NAME_LENGTH), AfterValidator(_checked_name)] | None = None
    webhook_url: str | None = Field(default=None, max_length=2048)
    cache: bool = False
    deadline_s: float | None = Field(default=None, gt=0, le=YEAR_S)
    retention_s: float | None = Field(default=None, ge=60, le=10 * YEAR_S)
    device: Literal["auto", "cpu", "cuda"] = "auto"


def read_submission(values: Mapping[str, str]) -> Submission:
    """The values of a form; empty ones are as if they were not there.

    Raises:
        InputError: reason ``bad_field`` or ``bad_option``; the message names the field.
        InvalidFileFormat: ``options`` is no JSON object.
    """
    given: dict[str, Any] = {name: value for name, value in values.items() if value != ""}
    if "options" in given:
        given["options"] = parse_json(str(given["options"]).encode(), "options", DEFAULT_LIMITS)
    try:
        submission = Submission.model_validate(given)
    except ValidationError as error:
        raise bad_field(error, TEXT_FIELDS) from error
    check_options(submission.engine, submission.options)
    return submission


def bad_field(error: ValidationError, known: Mapping[str, str] | None = None) -> InputError:
    """The first complaint of pydantic, in our words; ``known`` maps names that clients use to ours."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(re.sub(r"[^\w.-]", "?", str(part))[:64] for part in first["loc"]) or "body"
    shown = next((theirs for theirs, ours in (known or {}).items() if ours == field), field)
    return InputError(
        f"The field {shown!r} cannot be used: {first['msg'].removeprefix('Value error, ')}.",
        suggestion="See docs/api.md, or /docs, for the fields and their ranges.",
        reason="bad_field",
        field=shown,
    )


def check_options(engine: str, options: Mapping[str, Any]) -> None:
    """Refuse options that no engine of the request takes; an engine that is not installed here is left to its worker.

    Raises:
        InputError: reason ``bad_option``.
    """
    refuse_machine_options(options)
    wanted = {"auto": engine_names(), "both": BOTH}.get(engine, tuple(engine.split(",")))
    engines = []
    for name in wanted:
        try:
            engines.append(find_engine(name))
        except EngineUnavailable:
            return
    known = {option for one in engines for option in one.options_type.model_fields}
    for one in engines:
        foreign = known - set(one.options_type.model_fields)
        parse_options(one, {key: value for key, value in options.items() if key not in foreign})
